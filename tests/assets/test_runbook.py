"""The runbook: a section for each alert, and commands that do what the page says."""

import shlex
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from django_ratelimit_gcra import runtime
from django_ratelimit_gcra.models import PolicyOverride
from ratelimit_core import Identity
from ratelimit_core.answers import Result
from tests.assets.files import RULES, blocks, headings, languages
from tests.assets.test_rules import ALERTS
from tests.faults.probed import settings as probed
from tests.prometheus import promtool
from tests.servers import ServerUnderTest
from tests.sites import Site, SiteFactory

MANAGE = "python manage.py "
COMMANDS = blocks("console")
SECTIONS = {title: lines for title, text in headings().items() if (lines := blocks("console", text))}
NAMED = {
    *("ratelimit_status", "ratelimit_shadow", "ratelimit_switch", "ratelimit_reset", "ratelimit_explain"),
    *("ratelimit_probe", "ratelimit_coverage", "check"),
}
DEMO = "https://shop.example"
CHANGE = "--undo 17"  # the number that `--history` shows
ALICE = Identity.user(42)
# What the page's records in doubt are called: by a client's key, or by the request's fingerprint.
KEYS = ("order-1017", "order-1018")
FINGERPRINT = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


@pytest.fixture
def shop(settings: Any, redis_server: ServerUnderTest, namespace: str, site: SiteFactory) -> Callable[[], Site]:
    """A limiter on Redis with payments in doubt; `shop()` starts a site that shares it and has the probe's page."""
    settings.RATE_LIMIT_STORE_URL = redis_server.url
    settings.RATE_LIMIT_NAMESPACE = namespace
    for key, fingerprint in (*((key, "f" * 64) for key in KEYS), (None, FINGERPRINT)):
        leave_in_doubt(key, fingerprint)
    settings.SECRET_KEY = probed.SECRET_KEY  # signs the probe's tickets
    env = {
        "DJANGO_SETTINGS_MODULE": probed.__name__,
        "RATE_LIMIT_STORE_URL": redis_server.url,
        "RATE_LIMIT_NAMESPACE": namespace,
        "RATE_LIMIT_BUCKETS": '{"probe": {"quota": "1/m", "burst": 3}}',
    }
    return lambda: site("uvicorn", app="tests.faults.probed.serving:asgi", env=env)


def leave_in_doubt(key: str | None, fingerprint: str) -> None:
    limiter = runtime.limiter()
    limiter.reset(ALICE, "financial")
    admission = limiter.admit(ALICE, "financial", idempotency_key=key, fingerprint=fingerprint)
    assert admission.allowed
    limiter.settle(admission, Result(raised=True))


def test_every_alert_has_a_section_with_what_to_look_at_and_what_to_do() -> None:
    sections = headings()
    assert list(sections) == ["Runbook: rate limits", *ALERTS, "Scraping", "The metrics"]
    for alert in ALERTS:
        text = sections[alert]
        assert f"*{min(ALERTS[alert])}" in text or f"*{max(ALERTS[alert])}" in text
        assert "**Look**" in text
        assert "**Do**" in text
        assert "```" in text


def test_code_blocks_hold_nothing_but_commands_and_queries_that_tests_run() -> None:
    assert languages() == {"console", "promql", "yaml"}
    assert [line for line in COMMANDS if not line.startswith(MANAGE)] == []
    assert {shlex.split(line)[2] for line in COMMANDS} == NAMED


def test_prometheus_accepts_the_page_s_configuration_beside_the_rules(tmp_path: Path) -> None:
    (tmp_path / "prometheus.yml").write_text("\n".join(blocks("yaml")))
    (tmp_path / RULES.name).write_bytes(RULES.read_bytes())
    code, said = promtool("check", "config", "prometheus.yml", cwd=tmp_path)
    assert code == 0, said
    assert "SUCCESS: 10 rules found" in said


@pytest.mark.django_db
@pytest.mark.parametrize("title", SECTIONS)
def test_the_commands_of_a_section_do_what_it_says_one_after_the_other(title: str, shop: Callable[[], Site]) -> None:
    address = shop().url if DEMO in "".join(SECTIONS[title]) else DEMO
    for line in SECTIONS[title]:
        here = line.removeprefix(MANAGE).replace(DEMO, address)
        if CHANGE in line:
            here = here.replace(CHANGE, f"--undo {PolicyOverride.objects.latest('pk').pk}")
        name, *arguments = shlex.split(here)
        out = StringIO()
        call_command(name, *arguments, stdout=out, stderr=out)
        assert out.getvalue().strip(), line
