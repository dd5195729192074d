"""`@ratelimit` and `@exempt`: where they may stand, what they ask for, and what happens where nobody sees them."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import iscoroutinefunction
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client, RequestFactory
from django.views import View

from django_ratelimit_gcra.decorators import exempt, ratelimit
from django_ratelimit_gcra.labels import is_exempt, labels_on
from ratelimit_core import ConfigurationError, CostError
from ratelimit_core.testing import ManualClock
from testproject import samples
from tests.django import places as views
from tests.django.test_middleware import HEADERS, Ask, ask, policies, remaining

__all__ = ["ask"]

MIDDLEWARE = "django_ratelimit_gcra.middleware.RateLimitMiddleware"


@pytest.fixture(params=[True, False], ids=["with middleware", "without"])
def maybe_middleware(request: pytest.FixtureRequest, settings: Any) -> bool:
    """The decorators keep their promise with the middleware and without it."""
    if not request.param:
        settings.MIDDLEWARE = [one for one in settings.MIDDLEWARE if one != MIDDLEWARE]
    return bool(request.param)


# Literal values


@pytest.mark.parametrize("cost", [-1, 1.5, True, "1", None])
def test_a_literal_cost_that_cannot_be_charged_stops_the_import(cost: Any) -> None:
    with pytest.raises(CostError, match="cost = "):
        ratelimit("read", cost=cost)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"bucket": 7}, "bucket"),
        ({"bucket": "read", "scope": 7}, "scope"),
        ({"bucket": "read", "identity": "ann"}, "identity"),
        ({"bucket": "read", "methods": "POST"}, "methods"),
    ],
)
def test_an_option_that_cannot_be_used_is_named(options: Any, named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        ratelimit(**options)


def test_what_is_no_view_is_refused() -> None:
    class Plain:
        pass

    with pytest.raises(TypeError, match="no dispatch"):
        ratelimit("read")(Plain)
    with pytest.raises(TypeError, match="without a request"):
        ratelimit("read")(lambda *_: None)(1, 2, 3)


def test_a_function_that_rest_framework_runs_is_refused_with_advice() -> None:
    with pytest.raises(TypeError, match="below @api_view"):
        ratelimit("read")(views.rest_function)


def test_a_view_keeps_its_kind_and_its_name() -> None:
    assert iscoroutinefunction(ratelimit("read")(views.aok))
    assert not iscoroutinefunction(ratelimit("read")(views.ok))
    assert ratelimit("read")(views.ok).__name__ == "ok"
    assert isinstance(views.Labelled, type)
    assert exempt(views.ok) is views.ok
    del views.ok._ratelimit_exempt  # type: ignore[attr-defined]


# Without a middleware that sees the label


@pytest.mark.parametrize("path", ["/plain/", "/async/", "/class/", "/overridden/"])
def test_a_label_limits_without_any_middleware_too(
    ask: Ask, clock: ManualClock, places: None, maybe_middleware: bool, path: str
) -> None:
    assert [remaining(ask(path)) for _ in range(10)] == list(range(9, -1, -1))
    refused = ask(path)
    assert refused.status_code == 429
    assert set(HEADERS) | {"Retry-After"} <= set(refused.headers)
    assert refused.json()["bucket"] == "read"
    assert sum(samples.calls.values()) == 10


@pytest.mark.parametrize("path", ["/partial/", "/async-overridden/", "/direct/", "/hidden-stack/"])
def test_a_hidden_label_refuses_by_itself(
    ask: Ask, clock: ManualClock, places: None, maybe_middleware: bool, path: str
) -> None:
    assert [ask(path).status_code for _ in range(5)] == [200, 200, 200, 429, 429]
    refused = ask(path)
    assert refused.headers["Retry-After"] == "3"
    assert set(HEADERS) <= set(refused.headers)
    assert sum(samples.calls.values()) == 3


@pytest.mark.parametrize("path", ["/samples/decorated-method/", "/samples/decorated-dispatch/"])
def test_a_method_decorator_limits_without_any_middleware_too(
    ask: Ask, clock: ManualClock, maybe_middleware: bool, path: str
) -> None:
    assert [ask(path, "post").status_code for _ in range(4)] == [200, 200, 200, 429]


def test_a_hidden_label_of_the_default_bucket_is_charged_once_and_enforced(ask: Ask, fresh: Any, places: None) -> None:
    fresh.RATE_LIMIT_SHADOW = False
    responses = [ask("/hidden-default/") for _ in range(11)]
    assert [remaining(response) for response in responses[:10]] == list(range(9, -1, -1))
    assert responses[-1].status_code == 429
    assert samples.calls == {"ok": 10}


def test_a_view_that_returns_no_response_gets_djangos_own_complaint(
    clock: ManualClock, places: None, maybe_middleware: bool
) -> None:
    with pytest.raises(ValueError, match="didn't return an HttpResponse"):
        Client().get("/none/")


def test_a_view_that_calls_a_labelled_view_charges_both(
    ask: Ask, clock: ManualClock, places: None, maybe_middleware: bool
) -> None:
    response = ask("/calls-another/")
    assert policies(response) == "write, read"
    assert remaining(response) == 2


def test_a_request_may_come_as_a_keyword(clock: ManualClock) -> None:
    response = views.plain(request=RequestFactory().get("/"))
    assert policies(response) == "read"


def test_an_exempt_view_leaves_the_labels_that_it_shows_alone(ask: Ask, clock: ManualClock, places: None) -> None:
    assert policies(ask("/class/", "post")) is None
    assert ask("/class/", "post").status_code == 200


# Several buckets


@pytest.mark.parametrize("path", ["/stacked-equal/", "/hidden-stack/", "/twice/"])
def test_stacked_labels_are_all_or_nothing(
    ask: Ask, clock: ManualClock, places: None, maybe_middleware: bool, path: str
) -> None:
    assert [ask(path).status_code for _ in range(4)] == [200, 200, 200, 429]
    refused = ask(path)
    limits = dict(part.split(";", 1) for part in refused.headers["RateLimit"].split(", "))
    assert limits['"write"'] == "r=0;t=3"
    assert refused.json()["violated-policies"] == ["write"]
    if path == "/stacked-equal/":
        assert limits['"read"'].startswith("r=7;"), "a refusal charged the other bucket"


def test_stacked_labels_of_different_cost_are_each_charged_their_own(
    ask: Ask, clock: ManualClock, places: None, maybe_middleware: bool
) -> None:
    limits = dict(part.split(";", 1) for part in ask("/stacked-other/").headers["RateLimit"].split(", "))
    assert limits['"read"'].startswith("r=8;")
    assert limits['"write"'].startswith("r=2;")


def test_a_refusal_of_the_first_leaves_the_second_alone(ask: Ask, clock: ManualClock, places: None) -> None:
    for _ in range(10):
        ask("/plain/")
    refused = ask("/stacked-other/")
    assert policies(refused) == "read"
    assert remaining(ask("/direct/")) == 2


# Cost, scope, identity


def test_a_request_costs_what_its_function_says(ask: Ask, clock: ManualClock) -> None:
    assert remaining(ask("/samples/weighted/?items=3")) == 7
    assert remaining(ask("/samples/weighted/?items=0")) == 7
    assert ask("/samples/weighted/?items=8").status_code == 429
    assert remaining(ask("/samples/weighted/?items=7")) == 0


def test_a_cost_that_never_fits_is_413_and_charges_nothing(ask: Ask, clock: ManualClock) -> None:
    refused = ask("/samples/weighted/?items=11")
    assert refused.status_code == 413
    assert "Retry-After" not in refused.headers
    assert remaining(ask("/samples/weighted/")) == 9
    assert samples.calls == {"weighted": 1}


def test_each_scope_has_its_own_budget(ask: Ask, clock: ManualClock, places: None, maybe_middleware: bool) -> None:
    assert [remaining(ask(path)) for path in ("/talks/1/", "/talks/1/", "/talks/2/")] == [9, 8, 9]
    assert [remaining(ask(path)) for path in ("/tenant/", "/plain/", "/tenant/")] == [9, 9, 8]


def test_a_login_is_charged_to_the_account_from_wherever_it_comes(clock: ManualClock, places: None) -> None:
    def log_in(name: str, address: str) -> int:
        return remaining(Client().post("/login/", {"username": name}, REMOTE_ADDR=address))

    assert [log_in("ann", f"203.0.113.{last}") for last in range(3)] == [9, 8, 7]
    assert log_in("bob", "203.0.113.0") == 9
    assert [log_in("", "203.0.113.0") for _ in range(2)] == [9, 8], "no account: the address is charged"


def test_two_views_with_the_same_label_are_charged_by_their_own_arguments(clock: ManualClock) -> None:
    def talks(request: HttpRequest, pk: int) -> HttpResponse:
        return HttpResponse() if pk == 2 else other(request, pk=2)

    view = ratelimit("read", scope=views.conversation)(talks)
    other = ratelimit("read", scope=views.conversation)(talks)
    request = RequestFactory().get("/")
    view(request, pk=1)
    assert [remaining(ratelimit("read", scope=one)(views.ok)(RequestFactory().get("/"))) for one in "123"] == [8, 8, 9]


def test_an_identity_may_be_given_whole(ask: Ask, clock: ManualClock, places: None) -> None:
    assert [remaining(ask(f"/keyed/?key={key}")) for key in ("a", "a", "b")] == [9, 8, 9]
    assert remaining(ask("/keyed/?key=" + "%7B%7D%7C~%0A" * 2_000)) == 9


# Django REST framework


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("path", "method", "bucket"),
    [
        ("/rest/class/", "get", "write"),
        ("/rest/dispatch/", "get", "write"),
        ("/rest/method/", "post", "write"),
        ("/rest/function/", "get", "write"),
        ("/rest/things/shake/", "post", "write"),
    ],
)
def test_a_label_on_a_rest_view_charges_the_user_whom_rest_framework_found(
    clock: ManualClock, places: None, maybe_middleware: bool, path: str, method: str, bucket: str
) -> None:
    token = views.token_for(User.objects.create_user("ann"))
    responses = [getattr(Client(REMOTE_ADDR=f"203.0.113.{n}"), method)(path, headers=token) for n in range(3)]
    assert policies(responses[0]) == bucket
    assert [remaining(response) for response in responses] == [2, 1, 0]
    refused = getattr(Client(), method)(path, headers=token)
    assert refused.status_code == 429
    assert set(HEADERS) | {"Retry-After"} <= set(refused.headers)
    assert sum(samples.calls.values()) == 3


@pytest.mark.django_db
def test_a_method_that_a_rest_view_does_not_know_is_charged_too(clock: ManualClock, places: None) -> None:
    response = Client().put("/rest/class/", headers=views.token_for(User.objects.create_user("ann")))
    assert (response.status_code, policies(response)) == (405, "write")


@pytest.mark.django_db
@pytest.mark.parametrize(("method", "bucket"), [("get", "read"), ("post", "write"), ("put", "write")])
def test_a_rest_view_that_nobody_admitted_is_observed_on_the_way_out(
    ask: Ask, clock: ManualClock, places: None, method: str, bucket: str
) -> None:
    responses = [ask("/rest/bare/", method) for _ in range(12)]
    assert 429 not in {response.status_code for response in responses}
    assert policies(responses[0]) == bucket
    assert remaining(responses[-1]) == 0


@pytest.mark.django_db
def test_an_observed_rest_view_charges_the_token_user(clock: ManualClock, places: None) -> None:
    token = views.token_for(User.objects.create_user("ann"))
    found = [remaining(Client(REMOTE_ADDR=f"203.0.113.{n}").get("/rest/bare/", headers=token)) for n in range(2)]
    assert found == [9, 8]


@pytest.mark.django_db(transaction=True)
async def test_an_observed_rest_view_charges_the_token_user_on_an_event_loop(clock: ManualClock, places: None) -> None:
    user = await User.objects.acreate_user("ann")
    token = await asyncio.to_thread(views.token_for, user)
    first = await AsyncClient().get("/rest/bare/", headers=token)
    second = await AsyncClient().get("/rest/bare/", headers={**token, "x-forwarded-for": "203.0.113.9"})
    other = await AsyncClient().get("/rest/bare/")
    assert [remaining(one) for one in (first, second, other)] == [9, 8, 9]


@pytest.mark.django_db
def test_an_exempt_rest_view_and_one_under_undecorated_off_are_left_alone(ask: Ask, fresh: Any, places: None) -> None:
    assert policies(ask("/rest/exempted/")) is None
    assert policies(ask("/rest/bare/", "options")) is None
    fresh.RATE_LIMIT_UNDECORATED = "off"
    assert policies(ask("/rest/bare/")) is None


@pytest.mark.django_db
def test_a_rest_view_that_has_run_is_not_refused_afterwards(ask: Ask, fresh: Any, places: None) -> None:
    fresh.RATE_LIMIT_SHADOW = False
    fresh.RATE_LIMIT_UNDECORATED = "mode"
    fresh.RATE_LIMIT_RULES = [{"bucket": "write", "path": "/rest/", "methods": ["POST"]}]
    for method, bucket in (("post", "write"), ("get", "read")):
        responses = [ask("/rest/bare/", method) for _ in range(12)]
        assert {response.status_code for response in responses} == {200}
        assert policies(responses[-1]) == bucket


@pytest.mark.django_db
def test_a_wrong_token_is_refused_by_rest_framework_and_costs_nobody_anything(
    ask: Ask, clock: ManualClock, places: None
) -> None:
    response = ask("/rest/bare/", headers={"authorization": "Token nonsense"})
    assert response.status_code == 401
    assert policies(response) is None


def test_a_view_can_not_be_both_exempt_and_limited() -> None:
    with pytest.raises(TypeError, match="keep one"):
        exempt(ratelimit("read")(views.ok))
    with pytest.raises(TypeError, match="keep one"):
        ratelimit("read")(exempt(lambda request: None))


def test_what_derives_from_an_exempt_class_is_not_exempt() -> None:
    @exempt
    class Health(View):
        def get(self, request: HttpRequest) -> HttpResponse:
            return HttpResponse()

    class Payment(Health):
        pass

    assert is_exempt(Health.as_view(), "GET")
    assert not is_exempt(Payment.as_view(), "GET")


# Labels


def test_the_outermost_label_comes_first() -> None:
    view: Callable[..., Any] = ratelimit("read")(ratelimit("write", methods=["post"])(views.ok))
    first, second = labels_on(view)
    assert (first.bucket, second.bucket, second.methods) == ("read", "write", frozenset({"POST"}))


def test_a_failing_function_of_the_request_runs_no_view(clock: ManualClock) -> None:
    def broken(request: HttpRequest) -> int:
        raise LookupError("no such plan")

    view = ratelimit("read", cost=broken)(views.ok)
    with pytest.raises(LookupError):
        view(RequestFactory().get("/"))
    assert not samples.calls


def test_a_cost_function_sees_what_the_view_sees(clock: ManualClock) -> None:
    request = RequestFactory().get("/?n=4")
    view = ratelimit("read", cost=lambda asked: int(asked.GET["n"]))(views.ok)
    response: HttpResponse = view(request)
    assert remaining(response) == 6


def test_a_method_s_own_label_speaks_louder_than_its_class_s_exemption() -> None:
    @exempt
    class Health(View):
        def get(self, request: HttpRequest) -> HttpResponse:
            return HttpResponse()

        @ratelimit("financial")
        def post(self, request: HttpRequest) -> HttpResponse:
            return HttpResponse()

    view = Health.as_view()
    assert (is_exempt(view, "GET"), is_exempt(view, "POST")) == (True, False)
