"""`ratelimit_probe` against a site that is really served: proof where limits are enforced, an error anywhere else."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from tests.django.lying import admitted, lying, refused
from tests.faults.probed import settings as probed
from tests.servers import ServerUnderTest
from tests.sites import Site, SiteFactory

Served = Callable[..., Site]


@pytest.fixture
def served(site: SiteFactory, redis_server: ServerUnderTest, settings: Any) -> Served:
    """`served(quota, kind)`: the site over Redis, on several workers or on an event loop; its SECRET_KEY is ours."""
    settings.SECRET_KEY = probed.SECRET_KEY

    def start(probe: dict[str, object] | None = None, kind: str = "uvicorn", **more: str) -> Site:
        env = {
            "DJANGO_SETTINGS_MODULE": probed.__name__,
            "RATE_LIMIT_STORE_URL": redis_server.url,
            "RATE_LIMIT_BUCKETS": json.dumps({"probe": {"quota": "1/m", "burst": 3} if probe is None else probe}),
            **more,
        }
        app = "tests.faults.probed.serving"
        if kind == "uvicorn":
            return site("uvicorn", app=f"{app}:asgi", env=env)
        return site("gunicorn", "--workers=2", "--threads=4", app=f"{app}:wsgi", env=env)

    return start


def proof(site: Site, *arguments: str, path: str = "/ratelimit/probe/") -> list[str]:
    """What the command says."""
    out = StringIO()
    call_command("ratelimit_probe", site.url + path, *arguments, stdout=out)
    return out.getvalue().splitlines()


def no_proof(site: Site, *arguments: str, path: str = "/ratelimit/probe/") -> str:
    """What the command says before it fails, and why it does."""
    out = StringIO()
    with pytest.raises(CommandError) as failed:
        call_command("ratelimit_probe", site.url + path, *arguments, stdout=out)
    return f"{out.getvalue()}{failed.value}"


@pytest.mark.parametrize("kind", ["gunicorn", "uvicorn"])
def test_a_site_that_enforces_is_proved_to_by_several_people_at_once(served: Served, kind: str) -> None:
    running = served(kind=kind)
    with ThreadPoolExecutor(4) as pool:
        proofs = list(pool.map(lambda _: proof(running), range(8)))
    assert {found[1] for found in proofs} == {"enforced: exactly 3 admitted, and 3 refused"}
    assert all(found[0].startswith("6 requests in ") and found[0].endswith("3 x 200, 3 x 429") for found in proofs)


def test_after_the_wait_that_was_named_one_more_is_admitted(served: Served) -> None:
    found = proof(served({"quota": "20/m", "burst": 2}), "--wait", "--refusals=1", "--enforcing=financial")
    assert (found[1], found[3]) == ("enforced: exactly 2 admitted, and 1 refused", "admitted")
    assert found[2] in [f"waiting {seconds} s, as told" for seconds in (1, 2, 3)]


def test_a_site_in_shadow_fails(served: Served) -> None:
    said = no_proof(served(RATE_LIMIT_SHADOW="true"))
    assert said.endswith("not proved: 0 of 3 refused, 13 findings")
    assert "6 x 200\n" in said
    assert "request 4: status is 200, not 429\n" in said
    assert "bucket probe: shadow\n" in said


def test_a_site_with_the_kill_switch_on_fails(served: Served) -> None:
    assert "RATE_LIMIT_ENABLED is false, the kill switch" in no_proof(served(RATE_LIMIT_ENABLED="false"))


def test_another_bucket_can_be_asked_for_too_and_other_pages_prove_nothing(served: Served) -> None:
    running = served()
    said = no_proof(running, "--enforcing=financial", "--enforcing=read", "--enforcing=no")
    assert "bucket read: shadow\nbucket no: no such bucket\n" in said
    assert "bucket financial" not in said
    assert "X-RateLimit-Policy is read, not probe" in no_proof(running, path="/plain/")
    assert "X-RateLimit-Policy is read, not probe" in no_proof(running, path="/missing/")
    assert "200 without X-RateLimit-Policy: no limiter answers there" in no_proof(running, path="/exempt/")


def test_units_that_come_back_meanwhile_are_said_to_be_the_reason(served: Served) -> None:
    running = served({"quota": "1000/s", "burst": 1})
    assert "meanwhile: give the bucket probe a slower quota" in no_proof(running, "--refusals=20")


def test_a_refusal_after_the_wait_that_was_named_is_no_proof() -> None:
    with lying(admitted(1), admitted(0), refused(retry_after=1)) as url:
        out = StringIO()
        with pytest.raises(CommandError, match="after 1 s, which Retry-After named, the answer is 429, not 200"):
            call_command("ratelimit_probe", url, "--refusals=2", "--wait", stdout=out)
    assert out.getvalue().splitlines()[1:] == ["enforced: exactly 2 admitted, and 2 refused", "waiting 1 s, as told"]
