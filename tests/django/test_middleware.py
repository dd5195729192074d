"""The middleware: which bucket a request is admitted to, and what the client sees; sync and async."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import iscoroutinefunction
from django.contrib.auth.models import User
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client, RequestFactory
from django.test.utils import CaptureQueriesContext

from django_ratelimit_gcra import runtime
from django_ratelimit_gcra.middleware import RateLimitMiddleware
from django_ratelimit_gcra.state import state_of
from ratelimit_core import Admission, Identity
from ratelimit_core.testing import ManualClock
from testproject import samples
from testproject.samples.views import stacked

Ask = Callable[..., Any]

HEADERS = (
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "X-RateLimit-Policy",
    "RateLimit-Policy",
    "RateLimit",
)
HTML = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """`ask("/path/", "post", ...)`, by a client of the WSGI kind or of the ASGI kind."""

    def sync(path: str, method: str = "get", **options: Any) -> Any:
        return getattr(Client(raise_request_exception=False), method)(path, **options)

    def asynchronous(path: str, method: str = "get", **options: Any) -> Any:
        return asyncio.run(getattr(AsyncClient(raise_request_exception=False), method)(path, **options))

    return sync if request.param == "sync" else asynchronous


def policies(response: Any) -> str | None:
    found: str | None = response.headers.get("X-RateLimit-Policy")
    return found


def remaining(response: Any) -> int:
    return int(response.headers["X-RateLimit-Remaining"])


# What a client sees


@pytest.mark.parametrize("view", ["plain", "async", "async-class"])
def test_ten_requests_count_down_and_the_eleventh_is_refused_with_every_header(
    ask: Ask, clock: ManualClock, view: str
) -> None:
    address = f"/samples/{view}/"
    assert [remaining(ask(address)) for _ in range(10)] == list(range(9, -1, -1))
    refused = ask(address)
    assert refused.status_code == 429
    expected = ["10", "0", "1800000010", "read", '"read";q=10;w=10', '"read";r=0;t=1']
    assert [refused.headers[name] for name in HEADERS] == expected
    assert refused.headers["Retry-After"] == "1"
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert refused.headers["Cache-Control"] == "no-store"
    assert refused.json()["code"] == "rate_limited"
    assert sum(samples.calls.values()) == 10


def test_waiting_exactly_retry_after_is_admitted_and_a_microsecond_less_is_not(ask: Ask, clock: ManualClock) -> None:
    responses = [ask("/samples/decorated-class/", "post") for _ in range(4)]
    assert [response.status_code for response in responses] == [200, 200, 200, 429]
    wait_us = int(responses[-1].headers["Retry-After"]) * 1_000_000
    clock.advance_us(wait_us - 1)
    assert ask("/samples/decorated-class/", "post").status_code == 429
    clock.advance_us(1)
    assert ask("/samples/decorated-class/", "post").status_code == 200


def test_a_switched_shadow_flag_enforces_read_and_counts_down(ask: Ask, fresh: Any) -> None:
    fresh.RATE_LIMIT_SHADOW_READ = False
    assert [remaining(ask("/samples/plain/")) for _ in range(10)] == list(range(9, -1, -1))
    refused = ask("/samples/plain/")
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) > 1400
    assert samples.calls == {"plain": 10}


def test_a_shadowed_request_runs_and_is_not_told_to_wait(ask: Ask, fresh: Any) -> None:
    responses = [ask("/samples/plain/") for _ in range(12)]
    assert [response.status_code for response in responses] == [200] * 12
    assert "Retry-After" not in responses[-1].headers
    assert remaining(responses[-1]) == 0


def test_a_toggled_setting_resets_no_budget(ask: Ask, fresh: Any) -> None:
    for _ in range(10):
        ask("/samples/plain/")
    fresh.RATE_LIMIT_SHADOW_READ = False
    assert ask("/samples/plain/").status_code == 429


def test_a_refusal_carries_cors_headers_and_a_preflight_costs_nothing(ask: Ask, clock: ManualClock) -> None:
    origin = {"origin": "http://localhost:3000"}
    preflight = {**origin, "access-control-request-method": "GET"}
    for _ in range(12):
        assert policies(ask("/samples/plain/", "options", headers=preflight)) is None
    for _ in range(10):
        assert ask("/samples/plain/", headers=origin).status_code == 200
    refused = ask("/samples/plain/", headers=origin)
    assert refused.status_code == 429
    assert refused.headers["Access-Control-Allow-Origin"] == "http://localhost:3000"
    assert "Retry-After" in refused.headers["Access-Control-Expose-Headers"]


def test_options_is_left_alone_below_cors_too(ask: Ask, clock: ManualClock) -> None:
    for path in ("/samples/decorated-class/", "/samples/hidden/", "/nowhere/"):
        assert policies(ask(path, "options")) is None


def test_a_browser_reads_a_page_with_the_same_headers(ask: Ask, clock: ManualClock) -> None:
    for _ in range(10):
        ask("/samples/plain/")
    refused = ask("/samples/plain/", headers=HTML)
    problem = ask("/samples/plain/")
    assert refused.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "<h1>Too Many Requests</h1>" in refused.content.decode()
    for name in (*HEADERS, "Retry-After", "Cache-Control"):
        assert refused.headers[name] == problem.headers[name]


def test_headers_stand_on_streams_and_on_errors_of_the_view(ask: Ask, clock: ManualClock) -> None:
    assert remaining(ask("/samples/raising/missing/")) == 9
    assert remaining(ask("/samples/raising/denied/")) == 8
    assert remaining(ask("/samples/async-raising/runtime/")) == 7
    assert remaining(Client().get("/samples/stream/")) == 6


def test_every_header_stands_once(ask: Ask, clock: ManualClock, places: None) -> None:
    for path in ("/plain/", "/hidden-stack/", "/calls-another/", "/template/"):
        names = [name.lower() for name, _ in ask(path).items()]
        assert len(set(names)) == len(names)
        assert len([name for name in names if "ratelimit" in name]) == 6


def test_the_kill_switch_calls_no_store_and_says_off(ask: Ask, fresh: Any) -> None:
    fresh.RATE_LIMIT_ENABLED = False
    fresh.RATE_LIMIT_SHADOW_READ = False
    fresh.RATE_LIMIT_STORE_URL = "redis://127.0.0.1:1"
    responses = [ask("/samples/plain/") for _ in range(12)]
    assert {response.status_code for response in responses} == {200}
    assert policies(responses[-1]) == "off"
    assert "X-RateLimit-Remaining" not in responses[-1].headers


@pytest.mark.parametrize("value", ["1", "true", "YES", "on", True])
def test_enabled_written_as_one_does_not_switch_the_limiter_off(ask: Ask, fresh: Any, value: object) -> None:
    fresh.RATE_LIMIT_ENABLED = value
    fresh.RATE_LIMIT_SHADOW = False
    assert [ask("/samples/decorated-class/", "post").status_code for _ in range(4)] == [200, 200, 200, 429]


# Which bucket


@pytest.mark.parametrize(
    ("path", "method", "bucket"),
    [
        ("/samples/plain/", "get", "read"),
        ("/samples/plain/", "post", "read"),
        ("/samples/undecorated/", "get", "read"),
        ("/samples/undecorated/", "post", "write"),
        ("/samples/exempted/", "get", None),
        ("/samples/async/", "get", "read"),
        ("/samples/decorated-class/", "get", "write"),
        ("/samples/decorated-method/", "get", "read"),
        ("/samples/decorated-method/", "post", "write"),
        ("/samples/decorated-dispatch/", "post", "write"),
        ("/samples/async-class/", "get", "read"),
        ("/samples/hidden/", "get", "read, write"),
        ("/samples/stacked/", "get", "read, write"),
        ("/samples/paid/", "get", "read"),
        ("/samples/paid/", "post", "financial"),
        ("/health/", "get", "auth_bootstrap"),
        ("/health/", "head", "auth_bootstrap"),
        ("/nowhere/", "get", "read"),
        ("/nowhere/", "delete", "write"),
    ],
)
@pytest.mark.django_db
def test_each_place_has_its_bucket(ask: Ask, clock: ManualClock, path: str, method: str, bucket: str | None) -> None:
    assert policies(ask(path, method)) == bucket


@pytest.mark.parametrize(
    ("path", "method", "bucket"),
    [
        ("/post-only/", "get", "read"),
        ("/post-only/", "post", "write"),
        ("/paid-reads/", "get", "financial"),
        ("/paid-reads/", "head", "financial"),
        ("/paid-reads/", "delete", "write"),
        ("/class/", "get", "read"),
        ("/class/", "head", "read"),
        ("/class/", "post", None),
        ("/overridden/", "get", "read"),
        ("/async-overridden/", "get", "read, write"),
        ("/twice/", "get", "read, write"),
        ("/direct/", "get", "write"),
        ("/direct/", "head", "write"),
        ("/exempted-class/", "get", None),
        ("/partial/", "get", "read, write"),
        ("/cached/", "get", "read"),
        ("/calls-another/", "get", "write, read"),
    ],
)
def test_each_placement_is_honoured(
    ask: Ask, clock: ManualClock, places: None, path: str, method: str, bucket: str | None
) -> None:
    assert policies(ask(path, method)) == bucket


def test_a_decorated_view_beats_a_rule_and_a_rule_beats_the_default(ask: Ask, fresh: Any) -> None:
    fresh.RATE_LIMIT_RULES = [
        {"bucket": "auth_bootstrap", "path": "/samples/"},
        {"bucket": "write", "url_name": "samples:undecorated", "methods": ["GET"]},
    ]
    assert policies(ask("/samples/plain/")) == "read"
    assert policies(ask("/samples/undecorated/")) == "write"
    assert policies(ask("/samples/undecorated/", "post")) == "auth_bootstrap"
    assert policies(ask("/samples/nowhere/")) == "auth_bootstrap"
    assert policies(ask("/samples/exempted/")) is None
    assert policies(ask("/nowhere/")) == "read"


def test_a_rule_by_namespace_covers_its_views(ask: Ask, fresh: Any, places: None) -> None:
    fresh.RATE_LIMIT_RULES = [{"bucket": "write", "namespace": "shop"}]
    assert policies(ask("/shop/ok/")) == "write"
    assert policies(ask("/undecorated/")) == "read"


def test_a_rule_is_enforced_where_the_default_only_observes(ask: Ask, fresh: Any) -> None:
    fresh.RATE_LIMIT_SHADOW = False
    fresh.RATE_LIMIT_RULES = [{"bucket": "write", "url_name": "undecorated", "methods": ["POST"]}]
    assert [ask("/samples/undecorated/", "post").status_code for _ in range(4)] == [200, 200, 200, 429]
    assert {ask("/samples/undecorated/").status_code for _ in range(12)} == {200}


def test_a_shielded_rule_leaves_reads_to_the_default_bucket(ask: Ask, fresh: Any) -> None:
    fresh.RATE_LIMIT_RULES = [{"bucket": "financial", "path": "/samples/undecorated/"}]
    assert policies(ask("/samples/undecorated/")) == "read"
    assert ask("/samples/undecorated/", "post").status_code == 401


@pytest.mark.parametrize("path", ["/samples/undecorated/", "/nowhere/"])
def test_what_nobody_named_is_observed_by_default(ask: Ask, fresh: Any, path: str) -> None:
    fresh.RATE_LIMIT_SHADOW = False
    responses = [ask(path) for _ in range(12)]
    assert 429 not in {response.status_code for response in responses}
    assert remaining(responses[-1]) == 0


@pytest.mark.parametrize("path", ["/samples/undecorated/", "/nowhere/"])
def test_undecorated_as_mode_refuses(ask: Ask, fresh: Any, path: str) -> None:
    fresh.RATE_LIMIT_SHADOW = False
    fresh.RATE_LIMIT_UNDECORATED = "mode"
    responses = [ask(path) for _ in range(11)]
    assert 429 not in {response.status_code for response in responses[:10]}
    assert responses[-1].status_code == 429
    assert responses[-1].headers["Retry-After"]


@pytest.mark.parametrize("path", ["/samples/undecorated/", "/nowhere/"])
def test_undecorated_as_off_leaves_alone(ask: Ask, fresh: Any, path: str) -> None:
    fresh.RATE_LIMIT_UNDECORATED = "off"
    assert policies(ask(path)) is None
    assert policies(ask("/samples/plain/")) == "read"
    assert policies(ask("/samples/paid/")) == "read"


def test_the_other_methods_of_a_decorated_view_are_limited_in_earnest(ask: Ask, fresh: Any) -> None:
    fresh.RATE_LIMIT_SHADOW = False
    statuses = [ask("/samples/paid/").status_code for _ in range(11)]
    assert statuses == [200] * 10 + [429]


def test_the_admins_login_and_our_own_pages_there_are_never_refused(ask: Ask, fresh: Any, places: None) -> None:
    fresh.RATE_LIMIT_SHADOW = False
    fresh.RATE_LIMIT_UNDECORATED = "mode"
    for path in ("/office/login/", "/office/chart/"):
        assert {ask(path).status_code for _ in range(12)} == {200}
    assert [ask("/office/ok/").status_code for _ in range(12)] == [429] * 12


def test_a_rule_may_refuse_the_admins_login(ask: Ask, fresh: Any, places: None) -> None:
    fresh.RATE_LIMIT_RULES = [{"bucket": "write", "path": "/office/login/"}]
    assert [ask("/office/login/").status_code for _ in range(4)] == [200, 200, 200, 429]


@pytest.mark.django_db
def test_the_real_admins_login_answers_however_often(ask: Ask, fresh: Any) -> None:
    fresh.RATE_LIMIT_SHADOW = False
    fresh.RATE_LIMIT_UNDECORATED = "mode"
    assert {ask("/admin/login/").status_code for _ in range(11)} == {200}


def test_an_unknown_bucket_is_an_error_and_not_another_buckets_limit(
    ask: Ask, clock: ManualClock, places: None
) -> None:
    assert ask("/unknown/").status_code == 500
    assert not samples.calls


def test_the_view_can_look_at_the_decision(ask: Ask, clock: ManualClock, places: None) -> None:
    assert ask("/says/").content == b"read 9"


def test_before_any_decision_there_is_none() -> None:
    state = state_of(RequestFactory().get("/"))
    assert (state.admission, state.decision, state.decisions) == (None, None, ())


# Who is charged


@pytest.mark.django_db
def test_two_users_behind_one_address_have_two_budgets_and_one_user_on_two_addresses_has_one(
    clock: ManualClock,
) -> None:
    ann, bob = (User.objects.create_user(name) for name in ("ann", "bob"))
    browser, other = Client(), Client()
    browser.force_login(ann)
    other.force_login(bob)
    assert [remaining(browser.get("/samples/plain/")) for _ in range(2)] == [9, 8]
    assert remaining(other.get("/samples/plain/")) == 9
    assert remaining(browser.get("/samples/plain/", REMOTE_ADDR="203.0.113.9")) == 7


@pytest.mark.django_db(transaction=True)
async def test_two_users_have_two_budgets_on_an_event_loop_too(clock: ManualClock) -> None:
    browser, other = AsyncClient(), AsyncClient()
    await browser.aforce_login(await User.objects.acreate_user("ann"))
    await other.aforce_login(await User.objects.acreate_user("bob"))
    assert remaining(await browser.get("/samples/async/")) == 9
    assert remaining(await browser.get("/samples/async/")) == 8
    assert remaining(await other.get("/samples/async/")) == 9


def test_an_anonymous_payment_is_401_and_costs_nobody_anything(ask: Ask, clock: ManualClock) -> None:
    for _ in range(5):
        refused = ask("/samples/paid/", "post")
        assert refused.status_code == 401
        assert "Retry-After" not in refused.headers
        assert remaining(refused) == 1
    assert not samples.calls


@pytest.mark.django_db
def test_a_signed_in_payment_runs_after_any_number_of_anonymous_ones(clock: ManualClock) -> None:
    for _ in range(3):
        Client().post("/samples/paid/")
    browser = Client()
    browser.force_login(User.objects.create_user("ann"))
    assert browser.post("/samples/paid/").status_code == 200


@pytest.mark.django_db
def test_a_public_page_costs_no_query_and_stays_cacheable(clock: ManualClock) -> None:
    with CaptureQueriesContext(
        connection,
    ) as queries:
        response = Client().get("/samples/plain/")
    assert len(queries) == 0
    assert "Vary" not in response.headers or "Cookie" not in response.headers["Vary"]


@pytest.mark.django_db(transaction=True)
async def test_a_public_page_stays_cacheable_on_an_event_loop(clock: ManualClock) -> None:
    response = await AsyncClient().get("/samples/async/")
    assert "Cookie" not in response.headers.get("Vary", "")


@pytest.mark.django_db
def test_a_page_that_reads_the_user_varies_by_cookie(clock: ManualClock, places: None) -> None:
    assert "Cookie" in Client().get("/reads-user/").headers["Vary"], "the test above could not fail"


def test_ten_thousand_forged_addresses_are_one(clock: ManualClock) -> None:
    client = Client()
    statuses = [
        client.get("/samples/plain/", headers={"x-forwarded-for": f"198.51.{n // 250}.{n % 250}"}).status_code
        for n in range(1_000)
    ]
    assert statuses.count(200) == 10


def test_a_trusted_proxy_is_believed(ask: Ask, fresh: Any) -> None:
    fresh.RATE_LIMIT_TRUSTED_PROXIES = ["127.0.0.1"]
    for last in range(1, 4):
        assert remaining(ask("/samples/plain/", headers={"x-forwarded-for": f"198.51.100.{last}"})) == 9


# The view is called once, whatever it raises


@pytest.mark.parametrize(("failure", "status"), [("runtime", 500), ("missing", 404), ("denied", 403)])
@pytest.mark.parametrize("kind", ["", "async-"])
def test_a_raising_view_runs_once_and_is_charged_once(
    ask: Ask, clock: ManualClock, kind: str, failure: str, status: int
) -> None:
    response = ask(f"/samples/{kind}raising/{failure}/")
    assert response.status_code == status
    assert sum(samples.calls.values()) == 1
    assert remaining(response) == 9


def test_a_view_that_exits_runs_once(clock: ManualClock) -> None:
    with pytest.raises(SystemExit):
        Client().get("/samples/raising/exit/")
    assert samples.calls == {"raising_exit": 1}


def test_a_view_that_exits_on_an_event_loop_runs_once(clock: ManualClock) -> None:
    with pytest.raises(SystemExit):
        asyncio.run(AsyncClient().get("/samples/raising/exit/"))
    assert samples.calls == {"raising_exit": 1}


def test_a_view_that_raises_404_is_not_admitted_twice(ask: Ask, clock: ManualClock) -> None:
    assert policies(ask("/samples/raising/missing/")) == "read"
    assert remaining(ask("/samples/raising/missing/")) == 8


def test_a_404_of_an_exempt_view_is_left_alone(ask: Ask, clock: ManualClock, places: None) -> None:
    response = ask("/gone/")
    assert (response.status_code, policies(response)) == (404, None)


def test_a_cost_that_cannot_be_charged_is_an_error_and_the_view_does_not_run(ask: Ask, clock: ManualClock) -> None:
    assert ask("/samples/weighted/?items=-1").status_code == 500
    assert not samples.calls


@pytest.mark.django_db
@pytest.mark.parametrize("how", ["returns", "raises", "streams"])
@pytest.mark.parametrize("kind", ["pays", "apays", "hidden-pays"])
def test_a_payment_leaves_nothing_behind_that_stops_the_next(
    clock: ManualClock, places: None, how: str, kind: str
) -> None:
    browser = Client(raise_request_exception=False)
    browser.force_login(User.objects.create_user("ann"))
    statuses = []
    for attempt in range(3):
        response = browser.post(f"/{kind}/{how}/", headers={"idempotency-key": f"attempt-{attempt}"})
        statuses.append(response.status_code)
        if response.streaming:
            assert list(response) == [b"a", b"b"]
        clock.advance_us(12_000_000)
    assert statuses == [500 if how == "raises" else 200] * 3
    assert samples.calls == {"pays": 3}


# Async


def test_the_middleware_is_asynchronous_where_what_it_wraps_is() -> None:
    async def inner(request: HttpRequest) -> HttpResponse:
        return HttpResponse()

    middleware: Any = RateLimitMiddleware(inner)
    assert iscoroutinefunction(middleware)
    assert iscoroutinefunction(middleware.process_view)
    plain: Any = RateLimitMiddleware(lambda request: HttpResponse())
    assert not iscoroutinefunction(plain)
    assert not iscoroutinefunction(plain.process_view)


async def test_forty_requests_at_once_spend_one_budget(clock: ManualClock) -> None:
    client = AsyncClient()
    responses = await asyncio.gather(*(client.get("/samples/async/") for _ in range(40)))
    assert sorted(response.status_code for response in responses) == [200] * 10 + [429] * 30


def test_async_views_under_a_sync_handler_keep_one_budget_over_many_loops(fresh: Any, redis_server: Any) -> None:
    fresh.RATE_LIMIT_STORE_URL = redis_server.url
    fresh.RATE_LIMIT_SHADOW_READ = False
    responses = [Client().get("/samples/async/") for _ in range(11)]
    assert [response.status_code for response in responses] == [200] * 10 + [429]
    assert runtime.limiter().store.describe()["errors"] == {}


def test_hidden_async_labels_under_a_sync_handler_reach_redis_from_every_loop(
    fresh: Any, places: None, redis_server: Any
) -> None:
    fresh.RATE_LIMIT_STORE_URL = redis_server.url
    responses = [Client().get("/async-overridden/") for _ in range(4)]
    assert [response.status_code for response in responses] == [200, 200, 200, 429]
    assert runtime.limiter().store.describe()["errors"] == {}


# The door around it


def test_what_an_asgi_door_outside_has_charged_is_not_charged_again(clock: ManualClock) -> None:
    outer = runtime.limiter().admit(Identity.ip("127.0.0.1"), "read")
    shared: dict[str, Any] = {"admission": outer}
    request = RequestFactory().get("/samples/stacked/")
    request.scope = {"asgi_ratelimit": shared}  # type: ignore[attr-defined]  # as an ASGIRequest has it

    def inner(request: HttpRequest) -> HttpResponse:
        assert middleware.process_view(request, stacked, (), {}) is None
        return stacked(request)

    middleware = RateLimitMiddleware(inner)
    response = middleware(request)
    merged: Admission = shared["admission"]
    assert [decision.bucket for decision in merged.decisions] == ["read", "write"]
    assert merged.decisions[0].remaining == outer.decision.remaining == 9
    assert policies(response) == "read, write"
    assert samples.calls == {"stacked": 1}
