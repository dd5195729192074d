"""The metrics of a Django site: who may read them, what they count, and that they change no answer."""

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.contrib.contenttypes.models import ContentType
from django.core.checks import CheckMessage
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client, RequestFactory, override_settings
from django.urls import path
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from django_ratelimit_gcra import checks, metricchecks, runtime
from django_ratelimit_gcra.layers import Layer
from django_ratelimit_gcra.sinks import announce, default_sinks
from django_ratelimit_gcra.views import metrics
from ratelimit_core import Config, ConfigurationError, Event, Mode
from ratelimit_core.config import Override
from ratelimit_core.logsink import LogSink
from ratelimit_core.metrics import PrometheusSink
from ratelimit_core.testing import ManualClock, RecordingSink

TOKEN = "t0ken-of-the-tests"


@pytest.fixture
def token(settings: Any) -> dict[str, str]:
    """The header of a scraper, on a site that has a token."""
    settings.RATE_LIMIT_METRICS_TOKEN = TOKEN
    return {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def sinks() -> Iterator[Any]:
    """`sinks(...)`: what `use_sinks` does, undone after the test."""
    yield runtime.use_sinks
    runtime.use_sinks()


def values(name: str, response: Any) -> dict[tuple[str, ...], float]:
    found = text_string_to_metric_families(response.content.decode())
    return {
        tuple(label for _, label in sorted(sample.labels.items())): sample.value
        for family in found
        for sample in family.samples
        if sample.name == name
    }


def person(*, permitted: bool, **flags: bool) -> Client:
    """Somebody signed in; the permission's model is another's, so any will do."""
    user = User(username="somebody", **flags)
    user.save()
    if permitted:
        anywhere, _ = ContentType.objects.get_or_create(app_label="django_ratelimit_gcra", model="idempotencyrecord")
        found, _ = Permission.objects.get_or_create(codename="view_dashboard", defaults={"content_type": anywhere})
        user.user_permissions.add(found)
    client = Client()
    client.force_login(user)
    return client


# --- who may read


def test_the_token_opens_and_nothing_is_kept_by_a_cache(token: dict[str, str]) -> None:
    response = Client().get("/metrics/", headers=token)
    assert response.status_code == 200
    assert response["Content-Type"].startswith("text/plain; version=")
    assert "no-store" in response["Cache-Control"]
    assert values("rl_build_info", response)


async def test_the_token_opens_in_an_event_loop_too(token: dict[str, str]) -> None:
    response = await AsyncClient().get("/metrics/", headers=token)
    assert response.status_code == 200


def test_a_scraper_gets_the_format_that_it_asks_for(token: dict[str, str]) -> None:
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    response = Client().get("/metrics/", headers={**token, **accept})
    assert response["Content-Type"].startswith("application/openmetrics-text")
    assert response.content.endswith(b"# EOF\n")


@pytest.mark.parametrize(
    "header",
    [
        "",
        TOKEN,
        f"Basic {TOKEN}",
        "Bearer",
        "Bearer ",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"Bearer x {TOKEN}",
        "Bearer \u00f6\u00e4",
        "Bearer None",
    ],
)
@pytest.mark.parametrize("configured", [TOKEN, None, ""])
def test_without_the_token_nobody_unknown_reads(settings: Any, header: str, configured: str | None) -> None:
    settings.RATE_LIMIT_METRICS_TOKEN = configured
    response = Client().get("/metrics/", headers={"Authorization": header} if header else {})
    assert response.status_code == 403
    assert b"rl_" not in response.content
    assert "no-store" in response["Cache-Control"]


def test_the_scheme_is_read_in_any_case(token: dict[str, str]) -> None:
    assert Client().get("/metrics/", headers={"Authorization": f"bearer  {TOKEN} "}).status_code == 200


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("permitted", "flags", "status"),
    [
        (True, {"is_staff": True}, 200),
        (False, {"is_staff": True, "is_superuser": True}, 200),
        (False, {"is_staff": True}, 403),
        (True, {"is_staff": False}, 403),
        (False, {"is_staff": False, "is_superuser": True}, 403),
    ],
)
def test_staff_who_may_see_the_dashboard_read_by_choice(permitted: bool, flags: dict[str, bool], status: int) -> None:
    assert person(permitted=permitted, **flags).get("/metrics/").status_code == status


@pytest.mark.django_db
def test_a_wrong_token_is_not_made_good_by_a_session() -> None:
    client = person(permitted=True, is_staff=True)
    assert client.get("/metrics/", headers={"Authorization": "Bearer wrong-token-of-the-tests"}).status_code == 403


@pytest.mark.django_db
def test_who_is_not_active_any_more_does_not_read() -> None:
    request = RequestFactory().get("/metrics/")
    request.user = User.objects.create_superuser("gone", is_active=False)
    assert metrics(request).status_code == 403


def test_a_site_without_users_has_its_token() -> None:
    assert metrics(RequestFactory().get("/metrics/")).status_code == 403


@pytest.mark.parametrize("method", ["post", "put", "delete"])
def test_metrics_are_only_read(token: dict[str, str], method: str) -> None:
    assert getattr(Client(), method)("/metrics/", headers=token).status_code == 405


@pytest.mark.parametrize("value", [False, None])
def test_without_the_setting_there_is_nothing(settings: Any, token: dict[str, str], value: bool | None) -> None:
    settings.RATE_LIMIT_METRICS = value
    response = Client().get("/metrics/", headers=token)
    assert (response.status_code, b"rl_" in response.content) == (404, False)


def test_scrapes_are_never_limited_and_charge_nobody(token: dict[str, str], clock: ManualClock) -> None:
    for _ in range(50):
        response = Client().get("/metrics/", headers=token)
        assert (response.status_code, "X-RateLimit-Limit" in response) == (200, False)
    assert Client().get("/samples/plain/")["X-RateLimit-Remaining"] == "9"


# --- what is counted


def test_requests_are_counted_by_bucket_and_verdict(token: dict[str, str], clock: ManualClock) -> None:
    def counted() -> dict[tuple[str, ...], float]:
        return values("rl_requests_total", Client().get("/metrics/", headers=token))

    before = counted()
    for _ in range(12):
        Client().get("/samples/plain/")
    grown = {labels: count - before[labels] for labels, count in counted().items() if count != before[labels]}
    assert grown == {("false", "read", "false"): 10, ("true", "read", "false"): 2}


def test_the_metrics_stand_beside_the_sites_own_sinks(sinks: Any, settings: Any) -> None:
    mine = RecordingSink()
    sinks(mine)
    runtime.limiter()
    assert [type(sink) for sink in runtime._runtime._told] == [PrometheusSink, Recorder, RecordingSink]
    settings.RATE_LIMIT_METRICS = False
    runtime.limiter()
    assert runtime._runtime._told[1:] == (mine,)


def test_a_changed_configuration_is_announced_to_who_wants_to_know(sinks: Any, token: dict[str, str]) -> None:
    sinks(RecordingSink())
    runtime.limiter()
    try:
        runtime.announce(Config.default({"read": {"quota": "7/m", "burst": 7}}))
        found = values("rl_policy_info", Client().get("/metrics/", headers=token))
        assert found["read", "shadow", "7/m:7", "open"] == 1
        assert found["read", "shadow", "60/m:10", "open"] == 0
    finally:
        announce(default_sinks(Config.default()), Config.default())


def test_a_switch_and_its_end_are_shown_as_the_policy_in_force(token: dict[str, str]) -> None:
    switched = Layer(1, "read", Override(Mode.ENFORCE), "a reason", "somebody", timezone.now(), None)
    for layers, enforced in (((switched,), 1), ((), 0)):
        runtime.adopt(layers)
        found = values("rl_policy_info", Client().get("/metrics/", headers=token))
        assert found["read", "enforce", "60/m:10", "open"] == enforced
        assert found["read", "shadow", "60/m:10", "open"] == 1 - enforced


def test_metrics_without_prometheus_client_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ratelimit_core.metrics", None)
    with pytest.raises(ConfigurationError, match=r"RATE_LIMIT_METRICS = 'true' .*\[prometheus\]"):
        default_sinks(Config.default())
    with override_settings(RATE_LIMIT_METRICS="yes"):
        assert [message.id for message in checks.check_settings(None)] == ["ratelimit.E001"]


# --- sinks are guests


def answers() -> list[tuple[int, dict[str, str], bytes]]:
    found = [Client().get("/samples/plain/") for _ in range(12)]
    return [(one.status_code, dict(one.items()), one.content) for one in found]


class Flooding:
    """A sink that makes as much of each event as it can."""

    def __init__(self) -> None:
        self.log = LogSink(most=1_000_000)

    def __call__(self, event: Event, /) -> None:
        for _ in range(200):
            self.log(event)


def raising(event: Event, /) -> None:
    raise RuntimeError("full")


@pytest.mark.parametrize("guest", [raising, Flooding(), LogSink(), print])
def test_no_sink_changes_an_answer(guest: Any, sinks: Any, settings: Any) -> None:
    from ratelimit_core.testing import enforcing

    settings.RATE_LIMIT_METRICS = False
    with enforcing(ManualClock(1_800_000_000_000_000)):
        alone = answers()
    settings.RATE_LIMIT_METRICS = True
    sinks(guest)
    with enforcing(ManualClock(1_800_000_000_000_000)):
        assert answers() == alone
    assert {status for status, _, _ in alone} == {200, 429}


# --- checks


def of_urls(settings: Any, *views: Any) -> list[CheckMessage]:
    urls = ModuleType("urls_of_one_test")
    urls.urlpatterns = [path(f"{number}/", view) for number, view in enumerate(views)]  # type: ignore[attr-defined]
    settings.ROOT_URLCONF = urls
    return [one for one in checks.check_views(None) if str(one.id) == "ratelimit.E017"]


def wrapped(request: HttpRequest, inner: Any = metrics) -> HttpResponse:
    return HttpResponse(inner(request))


def test_an_address_for_metrics_that_are_off_is_an_error(settings: Any) -> None:
    assert of_urls(settings, metrics) == []
    settings.RATE_LIMIT_METRICS = False
    assert of_urls(settings, wrapped) == []
    (message,) = of_urls(settings, wrapped, metrics)
    assert "The view at /1/ shows metrics" in message.msg
    assert message.hint


@pytest.mark.parametrize(
    ("said", "on", "place", "ids"),
    [
        ("WEB_CONCURRENCY=4", True, None, ["ratelimit.W008"]),
        ("WEB_CONCURRENCY=4", True, "/run/metrics", []),
        ("WEB_CONCURRENCY=4", False, None, []),
        (None, True, None, []),
    ],
)
def test_several_processes_need_a_place_for_their_metrics(
    settings: Any, monkeypatch: pytest.MonkeyPatch, said: str | None, on: bool, place: str | None, ids: list[str]
) -> None:
    settings.RATE_LIMIT_METRICS = on
    if place:
        monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", place)
    assert [message.id for message in metricchecks.of_processes(said)] == ids
