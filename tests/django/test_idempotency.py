"""A payment is carried out once, whatever is clicked or retried; what the second click gets."""

import asyncio
import re
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.core.handlers.asgi import ASGIRequest
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client
from django.utils import timezone

from django_ratelimit_gcra import runtime
from django_ratelimit_gcra.decorators import ratelimit
from django_ratelimit_gcra.state import state_of
from ratelimit_core import Identity, RateLimitError
from ratelimit_core.commands import Outcome
from ratelimit_core.testing import ManualClock
from testproject import samples
from testproject.marketplace.models import Booking, Charge, Instructor
from tests.django import paying
from tests.django.places import token_for

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.django.paying")]

MIDDLEWARE = "django_ratelimit_gcra.middleware.RateLimitMiddleware"
SECOND = 1_000_000


@pytest.fixture
def ann() -> User:
    return User.objects.create_user("ann")


@pytest.fixture
def browser(ann: User) -> Client:
    return browser_of(ann)


def browser_of(user: User, **options: Any) -> Client:
    browser = Client(raise_request_exception=False, **options)
    browser.force_login(user)
    return browser


def keyed(key: str) -> Any:
    return {"headers": {"idempotency-key": key}}


def runs() -> int:
    return samples.calls["paid"]


def is_replay(response: Any) -> bool:
    return bool(response.headers.get("Idempotent-Replayed") == "true")


# The second click


@pytest.mark.parametrize("options", [{}, keyed("k1")], ids=["derived", "explicit"])
@pytest.mark.parametrize("later_us", [0, 12 * SECOND, 3600 * SECOND])
def test_the_second_click_gets_the_first_ones_answer(
    browser: Client, clock: ManualClock, options: Any, later_us: int
) -> None:
    first = browser.post("/pay/", {"amount": "7"}, **options)
    clock.advance_us(later_us)
    second = browser.post("/pay/", {"amount": "7"}, **options)
    assert runs() == 1
    assert (first.status_code, is_replay(first)) == (201, False)
    assert (second.status_code, second.content, is_replay(second)) == (201, first.content, True)
    assert second.headers["Content-Type"] == first.headers["Content-Type"]
    assert "Retry-After" not in second.headers


def test_a_replay_spends_no_unit_of_the_quota(browser: Client, clock: ManualClock) -> None:
    browser.post("/pay/", **keyed("k1"))
    clock.advance_us(12 * SECOND)
    replay = browser.post("/pay/", **keyed("k1"))
    assert replay.headers["X-RateLimit-Remaining"] == "1"
    assert browser.post("/pay/", **keyed("k2")).status_code == 201


def test_a_replay_works_while_the_quota_is_exhausted(browser: Client, clock: ManualClock) -> None:
    browser.post("/pay/", **keyed("k1"))
    assert browser.post("/pay/", **keyed("k2")).status_code == 429
    assert is_replay(browser.post("/pay/", **keyed("k1")))


def test_replays_are_limited_by_a_quota_of_their_own(browser: Client, clock: ManualClock) -> None:
    browser.post("/pay/", **keyed("k1"))
    found = [browser.post("/pay/", **keyed("k1")) for _ in range(21)]
    assert [is_replay(one) for one in found] == [True] * 20 + [False]
    assert found[-1].status_code == 429
    assert found[-1].json()["violated-policies"] == ["financial-replay"]
    assert found[-1].headers["Retry-After"] == "1"


@pytest.mark.django_db(transaction=True)
def test_an_async_view_under_an_event_loop_is_replayed_too(ann: User, clock: ManualClock) -> None:
    client = AsyncClient()
    client.force_login(ann)
    first, second = (asyncio.run(client.post("/aends/201/", {"a": "1"})) for _ in range(2))
    assert (first.content, second.content, is_replay(second)) == (b"run 1", b"run 1", True)
    assert runs() == 1


@pytest.mark.parametrize("with_middleware", [True, False], ids=["with middleware", "without"])
@pytest.mark.django_db(transaction=True)
def test_an_async_stream_ends_with_its_last_byte(
    ann: User, clock: ManualClock, settings: Any, with_middleware: bool
) -> None:
    if not with_middleware:
        settings.MIDDLEWARE = [one for one in settings.MIDDLEWARE if one != MIDDLEWARE]
    client = AsyncClient()
    client.force_login(ann)

    async def read(path: str) -> tuple[list[bytes], Any]:
        response: Any = await client.post(path)
        chunks = [chunk async for chunk in response]
        return chunks, await client.post(path)

    chunks, again = asyncio.run(read("/aends/streams/"))
    assert (chunks, again.json()["code"]) == ([b"a", b"b"], "replay")


@pytest.mark.django_db(transaction=True)
def test_an_async_stream_that_breaks_off_leaves_the_outcome_unknown(ann: User, clock: ManualClock) -> None:
    client = AsyncClient()
    client.force_login(ann)

    async def read() -> Any:
        response: Any = await client.post("/aends/breaks-off/")
        with pytest.raises(RuntimeError):
            [chunk async for chunk in response]
        return await client.post("/aends/breaks-off/")

    assert asyncio.run(read()).json()["code"] == "outcome_unknown"


@pytest.mark.django_db(transaction=True)
def test_an_async_stream_that_a_client_leaves_is_no_success(ann: User, clock: ManualClock) -> None:
    client = AsyncClient()
    client.force_login(ann)

    async def leave() -> Any:
        response: Any = await client.post("/aends/streams/")
        chunks = aiter(response)
        await anext(chunks)
        await chunks.aclose()
        await sync_to_async(response.close)()  # as Django's handler does when the client has gone
        return await client.post("/aends/streams/")

    assert asyncio.run(leave()).json()["code"] == "outcome_unknown"


@pytest.mark.django_db(transaction=True)
def test_an_async_template_is_replayed_without_the_middleware_too(ann: User, clock: ManualClock, settings: Any) -> None:
    settings.MIDDLEWARE = [one for one in settings.MIDDLEWARE if one != MIDDLEWARE]
    client = AsyncClient()
    client.force_login(ann)
    first, second = (asyncio.run(client.post("/aends/template/")) for _ in range(2))
    assert (first.content, is_replay(second)) == (second.content, True)


def test_the_form_and_its_post_both_pass(browser: Client, clock: ManualClock) -> None:
    form = browser.get("/form/")
    key = re.search(r'<input type="hidden" name="idempotency_key" value="([\w-]{24})">', form.content.decode())
    assert key is not None
    assert browser.post("/form/", {"idempotency_key": key[1]}).status_code == 201
    assert is_replay(browser.post("/form/", {"idempotency_key": key[1]}))
    assert key[1] not in browser.get("/form/").content.decode()
    assert runs() == 1


# What is the same, and what is not


def test_the_same_key_for_another_request_is_refused(browser: Client, clock: ManualClock) -> None:
    assert browser.post("/bookings/17/pay/", {"amount": "7"}, **keyed("k1")).status_code == 201
    others = [
        browser.post("/bookings/17/pay/", {"amount": "8"}, **keyed("k1")),
        browser.post("/bookings/18/pay/", {"amount": "7"}, **keyed("k1")),
        browser.post("/bookings/17/pay/?express=1", {"amount": "7"}, **keyed("k1")),
        browser.post("/bookings/17/pay/", {"amount": "7"}, content_type="application/json", **keyed("k1")),
    ]
    assert [(one.status_code, one.json()["code"]) for one in others] == [(422, "key_reused")] * 4
    assert runs() == 1


def test_two_bookings_with_equal_bodies_are_two_payments(browser: Client, clock: ManualClock) -> None:
    assert browser.post("/bookings/17/pay/", {"amount": "7"}).status_code == 201
    clock.advance_us(12 * SECOND)
    assert browser.post("/bookings/18/pay/", {"amount": "7"}).status_code == 201
    assert runs() == 2


@pytest.mark.parametrize("options", [{}, keyed("k1")], ids=["derived", "explicit"])
def test_another_user_has_another_record(ann: User, browser: Client, clock: ManualClock, options: Any) -> None:
    bob = User.objects.create_user("bob")
    assert browser.post("/pay/", **options).json() == {"run": 1, "user": ann.pk}
    assert browser_of(bob).post("/pay/", **options).json() == {"run": 2, "user": bob.pk}


def test_a_token_user_and_a_session_user_share_their_records_and_others_do_not(
    ann: User, browser: Client, clock: ManualClock
) -> None:
    bob = User.objects.create_user("bob")
    first = browser.post("/rest/paid/", **keyed("k1"))
    again = Client(headers=token_for(ann) | {"idempotency-key": "k1"}).post("/rest/paid/")
    other = Client(headers=token_for(bob) | {"idempotency-key": "k1"}).post("/rest/paid/")
    assert (first.json()["run"], again.json()["run"], other.json()["run"]) == (1, 1, 2)
    assert is_replay(again)
    assert not is_replay(other)


def test_users_and_paths_never_run_together(clock: ManualClock) -> None:
    """`/bookings/1` of user 23 and `/bookings/12` of user 3 made one key where they were only strung together."""
    for pk, booking in ((23, 1), (3, 12)):
        user = User.objects.create_user(f"user{pk}", pk=pk)
        assert browser_of(user).post(f"/bookings/{booking}/pay/").status_code == 201
    assert runs() == 2


# How the first one ended


@pytest.mark.parametrize("how", ["declined", "400", "403", "404", "413", "429", "missing", "denied"])
@pytest.mark.parametrize("options", [{}, keyed("k1")], ids=["derived", "explicit"])
def test_what_did_nothing_runs_again_and_its_unit_stays_spent(
    browser: Client, clock: ManualClock, how: str, options: Any
) -> None:
    first = browser.post(f"/ends/{how}/", **options)
    again = browser.post(f"/ends/{how}/", **options)
    assert (again.status_code, again.json()["code"], again.headers["Retry-After"]) == (429, "rate_limited", "12")
    clock.advance_us(12 * SECOND)
    assert browser.post(f"/ends/{how}/", **options).status_code == first.status_code
    assert runs() == 2


@pytest.mark.parametrize("status", ["402", "409", "410", "422"])
def test_a_definite_refusal_is_replayed_under_an_explicit_key_only(
    browser: Client, clock: ManualClock, status: str
) -> None:
    browser.post(f"/ends/{status}/")
    clock.advance_us(12 * SECOND)
    assert browser.post(f"/ends/{status}/").content == b"run 2"
    clock.advance_us(12 * SECOND)
    assert browser.post(f"/ends/{status}/", **keyed("k1")).content == b"run 3"
    replay = browser.post(f"/ends/{status}/", **keyed("k1"))
    assert (replay.status_code, replay.content, is_replay(replay)) == (int(status), b"run 3", True)


@pytest.mark.parametrize("status", ["402", "409", "410", "422"])
def test_the_unit_of_a_definite_refusal_is_not_given_back(browser: Client, clock: ManualClock, status: str) -> None:
    """Card testing stays limited."""
    browser.post(f"/ends/{status}/")
    again = browser.post(f"/ends/{status}/")
    assert (again.status_code, again.headers["Retry-After"], runs()) == (429, "12", 1)


@pytest.mark.parametrize("options", [{}, keyed("k1")], ids=["derived", "explicit"])
def test_an_answer_that_asks_for_another_step_is_not_kept(browser: Client, clock: ManualClock, options: Any) -> None:
    """ "Needs 3-D Secure" was cached for a day, with its client secret."""
    secrets = []
    for _ in range(2):
        secrets.append(browser.post("/ends/asks-for-3-d-secure/", **options).json()["client_secret"])
        clock.advance_us(12 * SECOND)
    assert secrets == ["secret 1", "secret 2"]


def test_a_redirect_is_replayed_as_one(browser: Client, clock: ManualClock) -> None:
    for replayed in (False, True):
        response = browser.post("/ends/redirects/")
        assert (response.status_code, response.headers["Location"]) == (302, "/thanks/")
        assert is_replay(response) is replayed
    assert runs() == 1


def test_a_template_is_replayed_as_it_was_rendered(browser: Client, clock: ManualClock) -> None:
    first, second = (browser.post("/ends/template/") for _ in range(2))
    assert first.content == second.content
    assert is_replay(second)


def test_a_replay_to_a_browser_is_no_page_of_ours(browser: Client, clock: ManualClock) -> None:
    html = {"accept": "text/html", "idempotency-key": "k1"}
    browser.post("/ends/402/", headers=html)
    assert browser.post("/ends/402/", headers=html).content == b"run 1"


def test_cookies_and_internal_headers_are_not_kept(browser: Client, clock: ManualClock) -> None:
    assert "session" in browser.post("/ends/cookie/").cookies
    replay = browser.post("/ends/cookie/")
    assert is_replay(replay)
    assert not replay.cookies
    assert "X-Internal" not in replay.headers
    assert replay.headers["Location"] == "/receipt/"


@pytest.mark.parametrize("how", ["raises", "500", "503", "released-and-broken"])
@pytest.mark.parametrize("kind", ["ends", "aends"])
def test_a_failure_leaves_the_outcome_unknown(browser: Client, clock: ManualClock, how: str, kind: str) -> None:
    assert browser.post(f"/{kind}/{how}/", **keyed("k1")).status_code >= 500
    clock.advance_us(3600 * SECOND)
    retry = browser.post(f"/{kind}/{how}/", **keyed("k1"))
    assert (retry.status_code, retry.json()["code"]) == (409, "outcome_unknown")
    assert "Retry-After" not in retry.headers
    assert runs() == 1


def test_a_worker_that_is_told_to_exit_leaves_the_outcome_unknown(browser: Client, clock: ManualClock) -> None:
    with pytest.raises(SystemExit):
        browser.post("/ends/exits/", **keyed("k1"))
    assert browser.post("/ends/exits/", **keyed("k1")).json()["code"] == "outcome_unknown"


@pytest.mark.django_db(transaction=True)
def test_a_commit_that_fails_after_the_view_leaves_the_outcome_unknown(
    ann: User, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under ATOMIC_REQUESTS the view has returned its 201 by then, and a processor may have been asked."""
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", 1)
    browser = browser_of(ann)
    assert browser.post("/ends/breaks-commit/").status_code == 500
    assert browser.post("/ends/breaks-commit/").json()["code"] == "outcome_unknown"
    assert runs() == 1


def test_what_a_door_around_django_holds_is_left_to_it(ann: User, clock: ManualClock) -> None:
    """The ASGI door's admission is in the scope: Django settles what it took itself, and nothing else."""
    outer = runtime.limiter().admit(Identity.user(ann.pk), "financial", idempotency_key="k1", lease_on="till")
    request = ASGIRequest(
        {
            "type": "http",
            "method": "POST",
            "path": "/pay/",
            "headers": [(b"host", b"testserver")],
            "asgi_ratelimit": {"admission": outer},
        },
        BytesIO(),
    )
    request.user = ann
    view = ratelimit("financial")(paying.paid)
    assert view(request).status_code == 201
    held = runtime.limiter().admit(Identity.user("bob"), "financial", lease_on="till")
    assert held.decision.verdict == "concurrency_limited"
    runtime.limiter().settle(outer)
    assert runtime.limiter().admit(Identity.user("bob"), "financial", lease_on="till").allowed


def answering(get_response: Callable[[HttpRequest], HttpResponse]) -> Any:
    """A middleware that makes a polite answer of every exception."""

    class Answering:
        def __call__(self, request: HttpRequest) -> HttpResponse:
            return get_response(request)

        def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse:
            return HttpResponse("please try again", status=400)

    return Answering()


def test_a_failure_that_a_middleware_answers_politely_is_unknown_all_the_same(
    browser: Client, clock: ManualClock, settings: Any
) -> None:
    settings.MIDDLEWARE = [f"{__name__}.answering", *settings.MIDDLEWARE]
    assert browser.post("/ends/raises/").status_code == 400
    assert browser.post("/ends/raises/").json()["code"] == "outcome_unknown"
    assert runs() == 1


def test_a_bucket_may_say_that_a_failure_did_nothing(browser: Client, clock: ManualClock, settings: Any) -> None:
    settings.RATE_LIMIT_BUCKETS = {"financial": {"on_error": "release"}}
    for _ in range(2):
        assert browser.post("/ends/500/", **keyed("k1")).status_code == 500
        clock.advance_us(12 * SECOND)
    assert runs() == 2


@pytest.mark.parametrize("path", ["/ends/streams/", "/ends/long/"])
def test_what_could_not_be_kept_is_not_run_again(browser: Client, clock: ManualClock, path: str) -> None:
    first = browser.post(path)
    assert b"".join(first) if first.streaming else first.content
    retry = browser.post(path)
    assert (retry.status_code, retry.json()["code"]) == (409, "replay")
    assert "not kept" in retry.json()["detail"]
    assert runs() == 1


def test_a_stream_that_breaks_off_leaves_the_outcome_unknown(browser: Client, clock: ManualClock) -> None:
    with pytest.raises(RuntimeError):
        list(browser.post("/breaks-off/"))
    assert browser.post("/breaks-off/").json()["code"] == "outcome_unknown"


def test_a_stream_that_is_closed_before_its_end_leaves_the_outcome_unknown(browser: Client, clock: ManualClock) -> None:
    response = browser.post("/ends/streams/")
    assert browser.post("/ends/streams/").json()["code"] == "in_progress"
    response.close()
    assert browser.post("/ends/streams/").json()["code"] == "outcome_unknown"


# What the view finds


def test_the_key_for_a_processor_lasts_until_there_is_an_answer(
    ann: User, browser: Client, clock: ManualClock, settings: Any
) -> None:
    settings.RATE_LIMIT_BUCKETS = {"financial": {"on_error": "release"}}

    def key(status: int, **options: Any) -> str:
        found = browser.post(f"/looks/?status={status}", {"a": "1"}, **options).json()
        clock.advance_us(12 * SECOND)
        assert (found["held"], found["replayed"], found["fence"] > 0) == (True, False, True)
        return str(found["key"])

    assert re.fullmatch(r"[0-9a-f]{64}", key(500, **keyed("k1")))
    assert key(500, **keyed("k2")) == key(500, **keyed("k2"))
    assert len({key(500, **keyed(name)) for name in ("k1", "k2", "k3")}) == 3
    assert key(400, **keyed("k4")) != key(400, **keyed("k4"))


def test_users_who_are_charged_as_one_never_share_a_record(ann: User, browser: Client, clock: ManualClock) -> None:
    """Same key, other user: another record, always."""
    bob = browser_of(User.objects.create_user("bob"))
    every: list[Any] = [{}, keyed("k1")]
    for options in every:
        for client, user in ((browser, ann.pk), (bob, ann.pk + 1)):
            assert client.post("/for-the-company/", **options).json()["user"] == user
            clock.advance_us(12 * SECOND)
            assert is_replay(client.post("/for-the-company/", **options))
    assert runs() == 4


def test_without_a_claim_there_is_no_key_for_a_processor(browser: Client, clock: ManualClock) -> None:
    assert browser.get("/looks/").json() == {"key": None, "fence": 0, "held": True, "replayed": False}


def test_release_wants_a_reason(rf: Any) -> None:
    with pytest.raises(RateLimitError, match="say in a few words"):
        state_of(rf.post("/")).release("")


# Where the decorator stands


@pytest.mark.parametrize("with_middleware", [True, False], ids=["with middleware", "without"])
@pytest.mark.parametrize(
    "path", ["/pay/", "/class/", "/method/", "/hidden/", "/rest/function/", "/rest/payments/settle/"]
)
def test_the_shield_holds_wherever_the_decorator_stands(
    browser: Client, clock: ManualClock, settings: Any, path: str, with_middleware: bool
) -> None:
    if not with_middleware:
        settings.MIDDLEWARE = [one for one in settings.MIDDLEWARE if one != MIDDLEWARE]
    first, second = (browser.post(path, {"a": "1"}) for _ in range(2))
    assert (first.status_code, second.status_code, second.content) == (201, 201, first.content)
    assert is_replay(second)
    assert runs() == 1


@pytest.mark.parametrize(
    ("kind", "how"),
    [("ends", how) for how in ("template", "missing", "raises", "streams")]
    + [("aends", how) for how in ("template", "missing", "raises")],
)
def test_the_decorator_alone_knows_how_its_view_ended(
    browser: Client, clock: ManualClock, settings: Any, how: str, kind: str
) -> None:
    settings.MIDDLEWARE = [one for one in settings.MIDDLEWARE if one != MIDDLEWARE]
    first = browser.post(f"/{kind}/{how}/")
    assert not first.streaming or list(first) == [b"a", b"b"]
    found = browser.post(f"/{kind}/{how}/")
    expected = {"template": (200, True), "missing": (429, False), "raises": (409, False), "streams": (409, False)}
    assert (found.status_code, is_replay(found)) == expected[how]
    assert runs() == 1


def appending(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """A middleware that adds to the body and to the headers."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        response.content += b"!"
        response.headers["Link"] = response.headers.get("Link", "") + "</a>"
        return response

    return middleware


def test_a_middleware_that_adds_to_the_response_is_applied_once_to_a_replay(
    browser: Client, clock: ManualClock, settings: Any
) -> None:
    settings.MIDDLEWARE = [f"{__name__}.appending", *settings.MIDDLEWARE]
    first, second = (browser.post("/ends/201/") for _ in range(2))
    assert (first.content, second.content) == (b"run 1!", b"run 1!")
    assert (first.headers["Link"], second.headers["Link"]) == ("</a>", "</a>")
    assert is_replay(second)


# Leases


def test_a_lease_on_a_shared_resource_is_held_against_everybody(ann: User, browser: Client, clock: ManualClock) -> None:
    with runtime.limiter().guard(Identity.user("job"), "financial", lease_on="booking:17"):
        refused = browser.post("/shared/17/")
        assert (refused.status_code, refused.json()["code"]) == (429, "concurrency_limited")
        assert refused.headers["Retry-After"] == "1"
        assert browser.post("/shared/18/").status_code == 201
    clock.advance_us(12 * SECOND)
    assert browser.post("/shared/17/").status_code == 201


def test_a_throttle_takes_its_lease_on_a_shared_resource_too(browser: Client, clock: ManualClock) -> None:
    with runtime.limiter().guard(Identity.user("job"), "financial", lease_on="the till"):
        assert browser.post("/rest/shared/").json()["code"] == "concurrency_limited"
    assert browser.post("/rest/shared/").status_code == 201


# Shadow


def test_in_shadow_nothing_is_replayed_and_nobody_is_refused(ann: User, fresh: Any) -> None:
    fresh.RATE_LIMIT_SHADOW = True
    browser = browser_of(ann)
    found = [browser.post("/pay/", {"amount": str(n // 2)}, **keyed("k1")) for n in range(4)]
    assert [one.status_code for one in found] == [201] * 4
    assert not any(is_replay(one) or "Retry-After" in one.headers for one in found)
    assert browser.post("/pay/", **keyed("")).status_code == 201
    assert runs() == 5


def test_a_switch_to_enforce_replays_no_shadow_answer(ann: User, fresh: Any) -> None:
    browser = browser_of(ann)
    fresh.RATE_LIMIT_BUCKETS = {"financial": {"quota": "60/m", "burst": 60}}
    fresh.RATE_LIMIT_SHADOW = True
    assert browser.post("/pay/", **keyed("k1")).json()["run"] == 1
    fresh.RATE_LIMIT_SHADOW = False
    assert browser.post("/pay/", **keyed("k1")).json()["run"] == 2
    assert is_replay(browser.post("/pay/", **keyed("k1")))


def test_the_kill_switch_leaves_bodies_alone(ann: User, fresh: Any) -> None:
    fresh.RATE_LIMIT_ENABLED = False
    fresh.RATE_LIMIT_BUCKETS = {"financial": {"max_body": 1}}
    assert browser_of(ann).post("/pay/", {"amount": "7"}, **keyed("")).status_code == 201


# REST framework


def test_a_rest_view_replays_the_original_answer(browser: Client, clock: ManualClock) -> None:
    first, second = (browser.post("/rest/paid/", {"b": 1}, content_type="application/json") for _ in range(2))
    assert (second.status_code, second.content, is_replay(second)) == (201, first.content, True)
    assert second.headers["Content-Type"] == "application/json"
    assert runs() == 1


def test_a_rest_views_refusals_are_problems(browser: Client, clock: ManualClock) -> None:
    browser.post("/rest/paid/", **keyed("k1"))
    reused = browser.post("/rest/paid/", {"a": "1"}, **keyed("k1"))
    limited = browser.post("/rest/paid/", **keyed("k2"))
    anonymous = Client().post("/rest/paid/")
    found = [(one.status_code, one.json()["code"]) for one in (reused, limited, anonymous)]
    assert found == [(422, "key_reused"), (429, "rate_limited"), (401, "user_required")]
    assert {one.headers["Content-Type"] for one in (reused, limited, anonymous)} == {"application/problem+json"}
    assert anonymous.headers["WWW-Authenticate"] == "Token"


def test_a_sites_own_exception_handler_keeps_its_say_but_not_over_a_replay(browser: Client, clock: ManualClock) -> None:
    first = browser.post("/rest/handled/", **keyed("k1"))
    assert browser.post("/rest/handled/", **keyed("k2")).json() == {"ours": "throttled"}
    assert browser.post("/rest/handled/", **keyed("k1")).content == first.content


@pytest.mark.parametrize("content_type", ["application/json", "multipart"])
def test_a_body_that_rest_framework_has_read_already_is_told_apart(
    browser: Client, clock: ManualClock, content_type: str
) -> None:
    options: Any = {} if content_type == "multipart" else {"content_type": content_type}
    assert browser.post("/rest/looks-first/", {"a": "1"}, **keyed("k1"), **options).status_code == 201
    assert is_replay(browser.post("/rest/looks-first/", {"a": "1"}, **keyed("k1"), **options))
    assert browser.post("/rest/looks-first/", {"a": "2"}, **keyed("k1"), **options).status_code == 422


# Redis


def test_the_same_holds_on_redis(ann: User, settings: Any, namespace: str, redis_server: Any) -> None:
    samples.reset()
    settings.RATE_LIMIT_STORE_URL = redis_server.url
    settings.RATE_LIMIT_NAMESPACE = namespace
    browser = browser_of(ann)
    first = browser.post("/pay/", {"amount": "7"}, **keyed("k1"))
    second = browser.post("/pay/", {"amount": "7"}, **keyed("k1"))
    assert (second.status_code, second.content, is_replay(second)) == (201, first.content, True)
    assert browser.post("/pay/", {"amount": "8"}, **keyed("k1")).status_code == 422
    assert runs() == 1


# The demo


@pytest.mark.urls("testproject.urls")
def test_a_declined_page_of_the_demo_runs_again(browser: Client, clock: ManualClock) -> None:
    for _ in range(2):
        assert browser.post("/samples/declined/").status_code == 200
        clock.advance_us(12 * SECOND)
    assert samples.calls == {"declined": 2}


@pytest.mark.urls("testproject.urls")
def test_the_demos_payment_form_carries_a_key(browser: Client, ann: User, clock: ManualClock) -> None:
    teacher = Instructor.objects.create(user=User.objects.create_user("ada"), name="Ada", lesson_cents=100)
    booking = Booking.objects.create(student=ann, instructor=teacher, starts_at=timezone.now())
    url = f"/bookings/{booking.pk}/pay/"
    page = browser.get(url, headers={"accept": "text/html"}).content.decode()
    key = re.findall(r'name="idempotency_key" value="([^"]+)"', page)
    assert len(key) == 1
    fields = {"card": "4242424242424242", "idempotency_key": key[0]}
    first, second = (browser.post(url, fields, headers={"accept": "text/html"}) for _ in range(2))
    assert (first.status_code, second.status_code, is_replay(second)) == (302, 302, True)
    assert first.headers["Location"] == second.headers["Location"]
    assert Charge.objects.count() == 1


@pytest.mark.parametrize("url", ["/breaks/", "/rest-breaks/"])
def test_an_answer_that_somebody_made_of_a_failure_is_still_a_failure(
    browser: Client, clock: ManualClock, url: str
) -> None:
    """A decorator or an exception handler above answers 400; the payment may have been made."""
    assert browser.post(url, **keyed("k1")).status_code == 400
    clock.advance_us(60 * SECOND)
    retry = browser.post(url, **keyed("k1"))
    assert retry.status_code == 409
    assert runs() == 1


@pytest.mark.parametrize("url", ["/rest-envelops/", "/rest-envelops-inside/"])
def test_a_server_s_error_in_an_envelope_is_still_a_failure(browser: Client, clock: ManualClock, url: str) -> None:
    """An exception handler makes a 400 of a 503 that the view raised: the payment may have been made."""
    for _ in range(2):
        assert not is_replay(browser.post(url, **keyed("k1")))
        clock.advance_us(60 * SECOND)
    assert runs() == 1
    who = Identity.user(User.objects.get().pk)
    assert runtime.limiter().resolve("financial", who, ending=Outcome.RELEASED, idempotency_key="k1") == 1


def answering_first(get_response: Callable[[HttpRequest], HttpResponse]) -> Any:
    """A middleware whose process_view answers in the view's place when it is asked to."""

    class AnsweringFirst:
        def __call__(self, request: HttpRequest) -> HttpResponse:
            return get_response(request)

        def process_view(self, request: HttpRequest, *view: object) -> HttpResponse | None:
            return HttpResponse("closed today") if "X-Away" in request.headers else None

    return AnsweringFirst()


@pytest.mark.parametrize("path", ["/turned-away/", "/looks/"], ids=["a decorator", "a middleware below"])
@pytest.mark.parametrize("options", [{}, keyed("k1")], ids=["derived", "explicit"])
def test_an_answer_in_the_views_place_is_not_the_views(
    browser: Client, clock: ManualClock, settings: Any, path: str, options: Any
) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.answering_first"]
    settings.MIDDLEWARE = settings.MIDDLEWARE[: None if path == "/looks/" else -1]
    headers = options.get("headers", {})
    assert browser.post(path, headers={**headers, "X-Away": "1"}).status_code in (200, 302)
    clock.advance_us(12 * SECOND)
    found = browser.post(path, headers=headers)
    assert (runs(), is_replay(found), found.json()["held"]) == (1, False, True)
    assert is_replay(browser.post(path, headers=headers))


def test_a_middleware_below_the_limiter_adds_to_a_replay_once_too(
    browser: Client, clock: ManualClock, settings: Any
) -> None:
    """What is kept is the view's own answer: a replay passes the middleware below as the first answer did."""
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.appending"]
    for path, content in (("/ends/201/", b"run 1!"), ("/ends/template/", None)):
        first, second = (browser.post(path) for _ in range(2))
        assert (second.content, second.headers["Link"], is_replay(second)) == (first.content, "</a>", True)
        assert first.content.count(b"!") == second.content.count(b"!")
        assert content in (None, first.content)
        clock.advance_us(12 * SECOND)


def test_a_refusal_by_a_later_bucket_forgets_nothing(browser: Client, ann: User, clock: ManualClock) -> None:
    """The processor must see the same attempt when the view runs again at last."""
    paying.seen.clear()
    browser.post("/twice-limited/", **keyed("k1"))
    who = Identity.user(ann.pk)
    assert runtime.limiter().resolve("financial", who, ending=Outcome.RELEASED, idempotency_key="k1") == 1
    clock.advance_us(12 * SECOND)
    while runtime.limiter().admit(who, "write", scope="s").allowed:
        pass
    assert browser.post("/twice-limited/", **keyed("k1")).json()["bucket"] == "write"
    clock.advance_us(60 * SECOND)
    assert browser.post("/twice-limited/", **keyed("k1")).content == b"paid"
    assert len(paying.seen) == 2
    assert len(set(paying.seen)) == 1
