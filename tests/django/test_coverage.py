"""`ratelimit_coverage`: what it says of every place is what the door does there."""

import json
from functools import partial
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import path, re_path

from django_ratelimit_gcra import runtime
from django_ratelimit_gcra.decorators import exempt, ratelimit
from django_ratelimit_gcra.protection import Covered, Protection, State, coverage
from django_ratelimit_gcra.urlconf import places as all_places
from ratelimit_core.testing import RecordingSink
from tests.django import rest, switches
from tests.django.places import Bare, Direct, ok

pytestmark = pytest.mark.django_db
MIDDLEWARE = "django_ratelimit_gcra.middleware.RateLimitMiddleware"


class Urls:
    """A URL conf of a few places."""

    def __init__(self, *patterns: Any) -> None:
        self.urlpatterns = list(patterns)


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("ratelimit_coverage", *arguments, stdout=out)
    return out.getvalue()


def failing(*arguments: str) -> tuple[str, str]:
    """What was printed, and why it failed."""
    out = StringIO()
    with pytest.raises(CommandError) as failed:
        call_command("ratelimit_coverage", *arguments, stdout=out)
    return out.getvalue(), str(failed.value)


def covered(place: str, has_middleware: bool = True) -> Covered:
    return next(
        one for one in coverage(runtime.limiter().config, has_middleware) if one.route.place.rstrip("$") == place
    )


def protections(place: str, has_middleware: bool = True) -> list[Protection]:
    return list(covered(place, has_middleware).protections)


def in_words(place: str, method: str, has_middleware: bool = True) -> str:
    """What protects one method: `write enforced: @ratelimit`."""
    (found,) = (one for one in protections(place, has_middleware) if method in one.methods)
    return " ".join((*found.buckets, f"{found.state}: {found.why}"))


# What no look at the source finds: a view that calls another one, the second of a list of decorators.
MORE = {"/calls-another/": {"read"}, "/twice/": {"write"}}


def differences() -> list[str]:
    """Where a request meets other buckets than foretold, or not in earnest where it should, or the reverse."""
    client = Client(raise_request_exception=False)
    sink = RecordingSink()
    runtime.use_sinks(sink)
    wrong = []
    for one in coverage(runtime.limiter().config, has_middleware=True):
        for found in one.protections:
            more = MORE.get(one.route.place, set()).difference(found.buckets)
            for method in found.methods:
                sink.events.clear()
                answer = client.generic(method, f"{one.route.path}?cost=1", headers={"accept": "application/json"})
                met = {event.bucket: event.enforced for event in sink.events if event.bucket not in more}
                foretold = dict.fromkeys(found.buckets, found.state is State.ENFORCED)
                if "hidden" in found.why:  # the default comes first
                    met = {name: enforced for name, enforced in met.items() if name in foretold}
                # without a bucket of that name a request fails; REST framework's own 401 comes before any throttle
                if met != foretold and "names no bucket" not in found.why and (met or answer.status_code != 401):
                    wrong.append(f"{method} {one.route.path}: {foretold} was foretold, {met} was met")
    return wrong


@pytest.fixture
def _no_sinks() -> Any:
    yield
    runtime.use_sinks()


@pytest.mark.usefixtures("places", "clock", "_no_sinks")
@pytest.mark.parametrize("undecorated", ["shadow", "mode", "off"])
def test_every_place_of_the_tests_is_protected_as_foretold(settings: Any, undecorated: str) -> None:
    settings.RATE_LIMIT_UNDECORATED = undecorated
    settings.RATE_LIMIT_BUCKETS = {"write": {"burst": 200}, "read": {"burst": 200}, "rooms": {"quota": "1/s:99"}}
    settings.RATE_LIMIT_RULES = [
        {"bucket": "rooms", "path": "/undecorated/"},
        {"bucket": "rooms", "namespace": "shop", "methods": ["POST"]},
        {"bucket": "rooms", "pattern": r"/rest/b\w+/"},
    ]
    assert differences() == []


@pytest.mark.usefixtures("clock", "_no_sinks")
def test_every_place_of_the_throttles_tests_is_protected_as_foretold(settings: Any) -> None:
    settings.ROOT_URLCONF = "tests.django.rest"
    settings.RATE_LIMIT_BUCKETS = {"write": {"burst": 500}, "read": {"burst": 500}}
    assert differences() == []


@pytest.mark.usefixtures("clock", "_no_sinks")
def test_every_place_of_the_testproject_is_protected_as_foretold(settings: Any) -> None:
    settings.RATE_LIMIT_BUCKETS = {"write": {"burst": 500}, "read": {"burst": 500}}
    assert differences() == []


@pytest.mark.usefixtures("places")
@pytest.mark.parametrize(
    ("place", "method", "said"),
    [
        ("/plain/", "GET", "read observed: @ratelimit"),
        ("/undecorated/", "GET", "read observed: default of the method"),
        ("/undecorated/", "POST", "write observed: default of the method"),
        ("/post-only/", "GET", "read observed: default of the method"),
        ("/post-only/", "POST", "write enforced: @ratelimit"),
        ("/paid/", "POST", "financial enforced: @ratelimit"),
        ("/hidden-pays/<str:how>/", "POST", "financial enforced: @ratelimit, hidden from the middleware"),
        ("/direct/", "GET", "write enforced: @ratelimit"),
        ("/gone/", "GET", "exempt: @exempt"),
        ("/exempted-class/", "GET", "exempt: @exempt"),
        ("/class/", "POST", "exempt: @exempt"),
        ("/unknown/", "GET", "nowhere none: @ratelimit names no bucket"),
        ("/stacked-equal/", "POST", "read write enforced: @ratelimit"),
        ("/rest/bare/", "POST", "write observed: default of the method, no throttle"),
        ("/rest/method/", "POST", "write enforced: @ratelimit"),
        ("/rest/method/", "GET", "read observed: default of the method, no throttle"),
        ("/rest/things/shake/", "POST", "write enforced: @ratelimit"),
        ("/office/login/", "POST", "write observed: default of the method"),
    ],
)
def test_a_place_says_what_protects_it_and_why(place: str, method: str, said: str) -> None:
    assert in_words(place, method) == said


@pytest.mark.usefixtures("places")
def test_without_the_middleware_only_decorators_and_throttles_protect() -> None:
    assert in_words("/paid/", "POST", has_middleware=False) == "financial enforced: @ratelimit"
    assert in_words("/paid/", "GET", has_middleware=False) == "none: no middleware"
    assert in_words("/undecorated/", "POST", has_middleware=False) == "none: no middleware"
    assert in_words("/gone/", "GET", has_middleware=False) == "none: no middleware"
    assert in_words("/rest/bare/", "POST", has_middleware=False) == "none: neither throttle nor middleware"


def test_throttles_protect_and_leave_other_methods_to_rules_and_defaults(settings: Any) -> None:
    settings.ROOT_URLCONF = Urls(
        path("pays/", rest.Financial.as_view()),
        path("any/", rest.Unnamed.as_view()),
        path("typo/", rest.Financial.as_view(throttle_bucket="finacial")),
    )
    settings.RATE_LIMIT_UNDECORATED = "off"
    assert in_words("/pays/", "POST") == "financial enforced: throttle"
    assert in_words("/pays/", "GET") == "read observed: default of the method"
    assert in_words("/any/", "GET") == "none: RATE_LIMIT_UNDECORATED is off"
    assert in_words("/typo/", "GET") == "finacial none: throttle_bucket names no bucket"


@pytest.mark.usefixtures("places")
def test_modes_and_switches_show(settings: Any) -> None:
    settings.RATE_LIMIT_BUCKETS = {
        "read": {"mode": "off"},
        "write": {"mode": "canary", "canary_percent": 10},
    }
    assert in_words("/plain/", "GET") == "read off: @ratelimit"
    assert in_words("/undecorated/", "GET") == "read off: default of the method"
    assert in_words("/post-only/", "POST") == "write canary: @ratelimit"
    assert in_words("/undecorated/", "POST") == "write observed: default of the method"
    assert in_words("/stacked-equal/", "POST") == "read write canary: @ratelimit"
    settings.RATE_LIMIT_ENABLED = False
    assert in_words("/paid/", "POST") == "financial off: @ratelimit"


def test_rules_are_matched_by_a_path_that_could_be_asked_for(settings: Any) -> None:
    settings.ROOT_URLCONF = Urls(
        path("rooms/<int:pk>/messages/<uuid:message>/", ok, name="message"),
        re_path(r"^reports/(?P<year>[0-9]{4})/(\w+)/$", ok),
        re_path(r"^(?:left|right)/$", ok),
        path("100%/<slug:of>/", ok),
    )
    settings.RATE_LIMIT_RULES = [
        {"bucket": "write", "pattern": r"/rooms/\d+/messages/[0-9a-f-]{36}/"},
        {"bucket": "write", "path": "/reports/*/"},
        {"bucket": "write", "pattern": "/100%/[a-z]+/$"},
    ]
    assert [route.path for route in all_places()] == [
        "/rooms/1/messages/00000000-0000-4000-8000-000000000000/",
        "/reports/2026/a/",
        "/^(?:left|right)/$",
        "/100%/a/",
    ]
    assert in_words("/rooms/<int:pk>/messages/<uuid:message>/", "GET") == "write enforced: rule"
    assert in_words(r"/reports/(?P<year>[0-9]{4})/(\w+)/", "GET") == "write enforced: rule"
    assert in_words("/100%/<slug:of>/", "GET") == "write enforced: rule"


def test_one_view_at_two_places_is_listed_twice(settings: Any) -> None:
    settings.ROOT_URLCONF = Urls(path("a/", ok), path("b/", ok))
    settings.RATE_LIMIT_RULES = [{"bucket": "write", "path": "/b/"}]
    assert (in_words("/a/", "GET"), in_words("/b/", "GET")) == (
        "read observed: default of the method",
        "write enforced: rule",
    )


def test_a_table_is_printed_for_people_and_json_for_programs() -> None:
    lines = run().splitlines()
    assert lines[0].split() == ["place", "methods", "bucket", "why"]
    assert "/payouts/ POST financial enforced @ratelimit" in [" ".join(line.split()) for line in lines]
    assert "/samples/plain/ GET, POST, ... read observed @ratelimit" in [" ".join(line.split()) for line in lines]
    (pay,) = (one for one in json.loads(run("--json"))["places"] if one["name"] == "pay")
    assert pay == {
        "place": "/bookings/<int:pk>/pay/",
        "name": "pay",
        "view": "testproject.marketplace.views.pay",
        "any_method": False,
        "protections": [
            {"methods": ["GET"], "buckets": ["read"], "state": "observed", "why": "default of the method"},
            {"methods": ["POST"], "buckets": ["financial"], "state": "enforced", "why": "@ratelimit"},
        ],
        "money": True,
        "lacks": [],
    }


MONEY = [
    (path("shop/pay/", ok), "POST: only observed"),
    (path("shop/pay/", ratelimit("read")(ok)), "POST: only observed"),
    (path("shop/pay/", ratelimit("auth_bootstrap")(ok)), "POST: only observed"),
    (path("shop/Checkout/", exempt(partial(ok))), "POST: exempt"),
    (path("do/", ok, name="refund_order"), "POST: only observed"),
    (path("payments/", ratelimit("nowhere")(ok)), "POST: nothing protects it"),
    (path("wallet/", Bare.as_view()), "POST: only observed"),
]


@pytest.mark.parametrize(("pattern", "lack"), MONEY)
def test_a_place_that_looks_like_money_and_is_not_protected_fails(settings: Any, pattern: Any, lack: str) -> None:
    settings.ROOT_URLCONF = Urls(pattern, path("plain/", ok))
    printed, error = failing()
    place = f"/{pattern.pattern}"
    assert error == f"1 that look like money are not protected: {place}"
    assert printed.splitlines()[-1].endswith(f"looks like money, and {lack}")
    found = json.loads(failing("--json")[0])["places"]
    assert [one["lacks"] for one in found] == [[lack], []]


def test_writing_in_the_bucket_for_reading_fails_even_if_it_is_enforced(settings: Any) -> None:
    settings.ROOT_URLCONF = Urls(path("pay/", ratelimit("read")(ok)))
    settings.RATE_LIMIT_BUCKETS = {"read": {"mode": "enforce"}}
    assert "POST: in the bucket for reading" in failing()[0]


def test_a_bucket_that_is_off_fails(settings: Any) -> None:
    settings.ROOT_URLCONF = Urls(path("pay/", ratelimit("financial")(ok)))
    settings.RATE_LIMIT_ENABLED = False
    assert "POST: its bucket is off" in failing()[0]


@pytest.mark.parametrize(
    "pattern",
    [
        path("pay/", ratelimit("financial")(ok)),
        path("orders/", Direct.as_view()),
        path("orders/", ratelimit("read")(ratelimit("write")(ok))),
        path("articles/<int:order>/", ok),
    ],
)
def test_a_place_that_is_protected_or_never_writes_or_is_no_money_passes(settings: Any, pattern: Any) -> None:
    settings.ROOT_URLCONF = Urls(pattern)
    assert "looks like money" not in run()


def test_what_looks_like_money_and_what_is_meant_to_be_as_it_is_can_be_said(settings: Any) -> None:
    settings.ROOT_URLCONF = Urls(path("pay/", ok, name="webhook"), path("tips/", ok))
    assert "/tips/" in failing("--money=Tip")[1]
    assert "/pay/" not in failing("--money=Tip")[1]
    assert "looks like money" not in run("--allow=/pay/")
    assert "looks like money" not in run("--allow=webhook")
    assert failing("--allow=/typo/") == ("", "--allow = /typo/: no place has this path or name")
    assert failing("--money=, ")[1] == "--money = ', ': give words with commas between them, such as pay,checkout"


def test_it_asks_the_site_whether_it_has_the_middleware(settings: Any) -> None:
    settings.ROOT_URLCONF = Urls(path("pay/", ok))
    assert settings.MIDDLEWARE.count(MIDDLEWARE) == 1
    settings.MIDDLEWARE = []
    assert "POST: nothing protects it" in failing()[0]


@pytest.mark.usefixtures("places")
def test_what_another_process_switched_counts() -> None:
    switches.row("write", mode="shadow")
    found = next(one for one in json.loads(run("--json"))["places"] if one["place"] == "/direct/")
    assert {one["state"] for one in found["protections"]} == {"observed"}
