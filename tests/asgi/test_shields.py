"""The shield at the ASGI door: a payment is made once, and whoever asks again gets its answer."""

import asyncio
import json

import pytest

import asgi_ratelimit
from asgi_ratelimit import RateLimitMiddleware
from asgi_ratelimit.scope import Message, Receive, Scope, Send
from ratelimit_core import Mode, RateLimitError
from ratelimit_core.answers import LARGEST_BODY
from ratelimit_core.commands import Outcome
from ratelimit_core.events import Layer
from tests.asgi.driving import Hello, scope_of
from tests.asgi.paying import SECOND_US, Posted, Shop, Till, paying, post
from tests.faults.payments import Recorder


def code(exchange: Posted) -> str:
    found: str = json.loads(exchange.body)["code"]
    return found


# --- the second click


@pytest.mark.parametrize("key", [None, "k1"])
@pytest.mark.parametrize("later_us", [50_000, 12 * SECOND_US, 3_600 * SECOND_US])
async def test_the_second_click_gets_the_first_ones_answer(key: str | None, later_us: int) -> None:
    till = Till()
    first = await till.post(key=key)
    till.clock.advance_us(later_us)
    second = await till.post(key=key)
    assert till.shop.effects == 1
    assert (first.status, second.status) == (201, 201)
    assert first.body == second.body == b"receipt 1"
    assert second.headers["content-type"] == "text/plain"
    assert second.headers["idempotent-replayed"] == "true"
    assert second.headers["content-length"] == "9"
    assert "idempotent-replayed" not in first.headers


async def test_a_replay_spends_no_unit_holds_no_lease_and_works_while_the_quota_is_exhausted() -> None:
    till = Till()
    await till.post()
    assert till.left() == 0
    assert (await till.post()).status == 201
    assert (await till.post(b"other")).status == 429
    till.clock.advance_us(12 * SECOND_US)
    assert (await till.post()).status == 201
    assert till.left() == 1
    assert (await till.post(b"other")).status == 201
    assert till.shop.effects == 2


async def test_the_form_and_then_the_payment_both_pass() -> None:
    till = Till()
    assert [(await till.post(method=method)).status for method in ("GET", "HEAD", "POST")] == [201, 201, 201]


async def test_a_click_while_the_first_is_being_worked_on_is_told_to_ask_again_and_then_gets_the_answer() -> None:
    seen: list[Posted] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(await till.post())
        await till.shop(scope, receive, send)

    till = Till(app)
    first, third = await till.post(), await till.post()
    assert (seen[0].status, code(seen[0]), seen[0].headers["retry-after"]) == (409, "in_progress", "1")
    assert (first.body, third.body, till.shop.effects) == (b"receipt 1", b"receipt 1", 1)


async def test_a_click_after_the_last_byte_finds_the_answer() -> None:
    till = Till()
    seen: list[int] = []

    class Impatient(Posted):
        async def send(self, message: Message) -> None:
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                seen.append((await till.post(b"x")).status)
            await super().send(message)

    exchange = Impatient([b"x"])
    headers = [("host", "shop.example"), ("content-type", "application/json")]
    await till.app(scope_of("/pay", "POST", headers, user="ann"), exchange.receive, exchange.send)
    assert (exchange.status, seen, till.shop.effects) == (201, [201], 1)


async def test_the_application_gets_the_body_it_would_have_got() -> None:
    till = Till(bucket=paying(quota="100/s:100"))
    large = [bytes([number]) * 700_000 for number in range(5)]
    for chunks in ([b""], [b"one"], [b"one", b"", b"two"], large):
        await post(till.app, chunks)
        assert till.shop.bodies[-1] == b"".join(chunks)
    assert (await post(till.app, large)).headers["idempotent-replayed"] == "true"


# --- what tells one payment from another


async def test_the_same_key_for_anything_else_is_refused() -> None:
    till = Till(bucket=paying(quota="100/s:100"))
    await till.post(key="k1")
    others = [
        await till.post(b'{"amount": 6}', key="k1"),
        await till.post(path="/pay/2", key="k1"),
        await till.post(key="k1", query_string=b"twice=1"),
        await till.post(key="k1", method="PUT"),
        await till.post(key="k1", content_type="text/plain"),
        await till.post(key="k1", root_path="/shop"),
    ]
    assert [(other.status, code(other)) for other in others] == [(422, "key_reused")] * 6
    assert till.shop.effects == 1
    assert (await till.post(key='"k1"')).body == b"receipt 1"


async def test_equal_bodies_for_two_bookings_are_two_payments() -> None:
    till = Till(bucket=paying(quota="100/s:100"))
    bodies = [(await till.post(path=f"/bookings/{pk}/pay")).body for pk in (17, 18, 17)]
    assert bodies == [b"receipt 1", b"receipt 2", b"receipt 1"]


@pytest.mark.parametrize("key", [None, "k1"])
async def test_another_users_payment_is_another_record(key: str | None) -> None:
    till = Till()
    first = await till.post(path="/wallet/1", user="23", key=key)
    second = await till.post(path="/wallet/12", user="3", key=key)
    third = await till.post(path="/wallet/1", user="3", key=None if key is None else "k2")
    assert [first.body, second.body, third.status] == [b"receipt 1", b"receipt 2", 429]


async def test_a_fresh_key_lifts_a_derived_record_for_a_deliberate_second_payment() -> None:
    till = Till(bucket=paying(quota="100/s:100"))
    bodies = [(await till.post(key=key)).body for key in (None, None, "k1", "k2", "k1")]
    assert bodies == [b"receipt 1", b"receipt 1", b"receipt 2", b"receipt 3", b"receipt 2"]


async def test_equal_forms_are_equal_whatever_their_boundaries_tokens_and_charsets_are() -> None:
    till = Till(bucket=paying(quota="100/s:100"))
    for boundary, token in (("one", "a"), ("two", "b")):
        body = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="csrfmiddlewaretoken"\r\n\r\n{token}\r\n'
            f'--{boundary}\r\nContent-Disposition: form-data; name="amount"\r\n\r\n5\r\n--{boundary}--\r\n'
        ).encode()
        assert (await till.post(body, content_type=f"multipart/form-data; boundary={boundary}")).body == b"receipt 1"
    for body, charset in (
        (b"csrfmiddlewaretoken=a&amount=5", ""),
        (b"amount=%35&csrfmiddlewaretoken=b", "; charset=x"),
    ):
        answer = await till.post(body, content_type="application/x-www-form-urlencoded" + charset)
        assert answer.body == b"receipt 2"


async def test_a_forms_hidden_key_protects_without_javascript() -> None:
    till = Till(bucket=paying(idempotency="required", quota="100/s:100"))
    form = "application/x-www-form-urlencoded"
    keys = ("k1", "k1", "k2")
    bodies = [(await till.post(f"amount=5&idempotency_key={key}".encode(), content_type=form)).body for key in keys]
    assert bodies == [b"receipt 1", b"receipt 1", b"receipt 2"]
    assert (await till.post(b"amount=6&idempotency_key=k1", content_type=form)).status == 422
    assert code(await till.post(b"amount=5", content_type=form)) == "key_required"


# --- how a payment ends


@pytest.mark.parametrize(
    ("status", "key", "again", "effects"),
    [
        (302, None, 302, 1),
        (402, None, 402, 2),
        (402, "k1", 402, 1),
        (404, "k1", 404, 2),
        (500, None, 409, 1),
        (503, "k1", 409, 1),
        (204, None, 204, 1),
    ],
)
async def test_what_is_replayed_run_again_or_in_doubt(status: int, key: str | None, again: int, effects: int) -> None:
    shop = Shop(status, (b"location", b"/done"), (b"set-cookie", b"a=b"))
    till = Till(shop, paying(quota="100/s:100"))
    first, second = await till.post(key=key), await till.post(key=key)
    assert (first.status, second.status, shop.effects) == (status, again, effects)
    if second.headers.get("idempotent-replayed"):
        assert second.headers["location"] == "/done"
        assert "set-cookie" not in second.headers
        assert ("content-length" in second.headers) is (status != 204)


async def test_a_declined_card_is_released_and_its_unit_is_not_given_back() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        asgi_ratelimit.release(scope, "declined")
        await till.shop(scope, receive, send)

    till = Till(app)
    assert (await till.post()).body == b"receipt 1"
    assert code(await till.post()) == "rate_limited"
    till.clock.advance_us(12 * SECOND_US)
    assert (await till.post()).body == b"receipt 2"


@pytest.mark.parametrize(("on_error", "second"), [("unknown", 409), ("release", 500)])
async def test_an_exception_leaves_the_outcome_unknown_unless_the_bucket_says_otherwise(
    on_error: str, second: int
) -> None:
    runs: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        runs.append("run")
        raise RuntimeError("on purpose")

    till = Till(app, paying(quota="100/s:100", on_error=on_error))
    with pytest.raises(RuntimeError, match="on purpose"):
        await till.post()
    if second == 409:
        again = await till.post()
        assert (again.status, code(again), len(runs)) == (409, "outcome_unknown", 1)
        assert "retry-after" not in again.headers
    else:
        with pytest.raises(RuntimeError, match="on purpose"):
            await till.post()
        assert len(runs) == 2


@pytest.mark.parametrize("size", [LARGEST_BODY, LARGEST_BODY + 1])
async def test_an_answer_that_is_too_large_to_keep_is_not_replayed_and_not_run_again(size: int) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for at in range(0, size, 1_000):
            chunk = b"x" * min(1_000, size - at)
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body"})

    till = Till(app)
    first, second = await till.post(), await till.post()
    assert len(first.body) == size
    assert (second.status, len(second.body) == size) == ((200, True) if size <= LARGEST_BODY else (409, False))
    if size > LARGEST_BODY:
        assert code(second) == "replay"


async def test_a_file_that_the_server_sends_itself_is_not_replayed() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.pathsend", "path": "/srv/receipt"})

    till = Till(app)
    assert [(await till.post()).status for _ in range(2)] == [200, 409]


async def test_a_client_that_hangs_up_while_it_sends_is_not_admitted() -> None:
    till = Till()
    exchange = Posted([])
    messages: list[Message] = [{"type": "http.request", "body": b"x", "more_body": True}, {"type": "http.disconnect"}]

    async def receive() -> Message:
        return messages.pop(0)

    await till.app(scope_of("/pay", "POST", user="ann"), receive, exchange.send)
    assert (exchange.messages, till.shop.effects, till.left()) == ([], 0, 1)


@pytest.mark.parametrize("started", [False, True])
async def test_a_cancelled_payment_frees_the_lease_and_leaves_its_outcome_unknown(started: bool) -> None:
    before = asyncio.all_tasks()
    running = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if started:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        running.set()
        await asyncio.Event().wait()

    till = Till(app, paying(quota="100/s:100"))
    task = asyncio.ensure_future(till.post())
    await running.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asyncio.all_tasks() == before
    assert code(await till.post()) == "outcome_unknown"
    assert (await post(RateLimitMiddleware(Shop(), till.limiter, default="pay"), b"other")).status == 201


async def test_an_unfinished_response_leaves_the_outcome_unknown() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    till = Till(app)
    await till.post()
    assert code(await till.post()) == "outcome_unknown"


# --- bad input


@pytest.mark.parametrize(
    ("key", "status"),
    [
        ("", 400),
        ('""', 400),
        ("x", 201),
        ('"x"', 201),
        ("x" * 255, 201),
        ("x" * 256, 400),
        ("a b", 400),
        ("é", 400),
        ("a\tb", 400),
        ("\x00", 400),
        ('"open', 400),
    ],
)
async def test_keys(key: str, status: int) -> None:
    till = Till()
    answer = await till.post(key=key)
    assert (answer.status, till.left()) == (status, 1 if status == 400 else 0)
    if status == 400:
        assert code(answer) == "key_malformed"


@pytest.mark.parametrize("second", ["k1", "k2"])
async def test_a_key_that_was_sent_twice_is_malformed(second: str) -> None:
    till = Till(bucket=paying(quota="100/s:100"))
    twice = await till.post(key="k1", headers=[("idempotency-key", second)])
    assert (twice.status, code(twice)) == (400, "key_malformed")
    assert till.left() == 100


async def test_a_required_key_that_is_missing_and_a_user_that_is_missing_cost_nothing() -> None:
    till = Till(bucket=paying(idempotency="required"))
    assert code(await till.post()) == "key_required"
    assert till.left() == 1
    anonymous = await till.post(key="k1", user=None)
    assert (anonymous.status, code(anonymous)) == (401, "user_required")


@pytest.mark.parametrize("declared", [False, True])
async def test_a_body_above_the_limit_is_refused_and_costs_nothing(declared: bool) -> None:
    till = Till(bucket=paying(max_body=10))
    headers = [("content-length", "11")] if declared else []
    refused = await post(till.app, [b"12345", b"67890", b"1"], headers=headers)
    assert (refused.status, code(refused), till.left()) == (413, "body_too_large", 1)
    assert "retry-after" not in refused.headers
    assert len(refused.chunks) == (3 if declared else 0)
    assert (await post(till.app, [b"12345", b"67890"])).status == 201


@pytest.mark.parametrize("length", ["", "eleven", "-1", "\u0661"])
async def test_a_content_length_that_is_no_number_is_not_believed(length: str) -> None:
    till = Till(bucket=paying(max_body=10))
    headers = [("content-length", length.encode().decode("latin-1"))]
    assert (await post(till.app, b"1234567890", headers=headers)).status == 201


async def test_ten_thousand_replays_are_held_by_their_own_quota() -> None:
    till = Till()
    await till.post()
    answers = [await till.post() for _ in range(30)]
    assert [answer.status for answer in answers] == [201] * 20 + [429] * 10
    assert answers[-1].headers["retry-after"] == "1"


# --- shadow, and off


async def test_shadow_replays_nothing_refuses_nobody_and_leaves_nothing_to_replay() -> None:
    till = Till(bucket=paying(mode=Mode.SHADOW, max_body=10, quota="100/s:100"))
    keys = [None, None, "k1", "k1", ""]
    answers = [await till.post(b"x", key=key) for key in keys]
    answers.append(await post(till.app, [b"12345", b"67890", b"1"]))
    answers.append(await till.post(b"y", key="k1"))
    assert [answer.status for answer in answers] == [201] * 7
    assert [answer.body for answer in answers] == [f"receipt {number}".encode() for number in range(1, 8)]
    assert till.shop.bodies[5] == b"12345678901"
    assert not any("retry-after" in answer.headers for answer in answers)
    earnest = Till(bucket=paying(quota="100/s:100"), store=till.limiter.store)
    assert [(await earnest.post(b"x", key="k1")).body for _ in range(2)] == [b"receipt 1"] * 2


async def test_a_bucket_that_is_off_reads_no_body_first() -> None:
    received: list[str] = []

    class Lazy(Posted):
        async def receive(self) -> Message:
            received.append("received")
            return await super().receive()

    till = Till(Hello(), paying(mode=Mode.OFF))
    exchange = Lazy([b"x"])
    await till.app(scope_of("/pay", "POST", user="ann"), exchange.receive, exchange.send)
    assert (exchange.status, received) == (200, [])


# --- what the application may ask


async def test_a_processors_key_is_the_same_until_there_is_an_answer() -> None:
    keys: list[str | None] = []
    endings = iter(["raise", "release", "answer"])

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        keys.append(asgi_ratelimit.idempotency_key(scope, "secret"))
        assert asgi_ratelimit.idempotency_key(scope, b"another") != keys[-1]
        assert asgi_ratelimit.still_held(scope)
        ending = next(endings)
        if ending == "raise":
            raise RuntimeError("on purpose")
        if ending == "release":
            asgi_ratelimit.release(scope, "declined")
        await till.shop(scope, receive, send)

    till = Till(app, paying(quota="100/s:100", on_error="release"))
    with pytest.raises(RuntimeError):
        await till.post()
    till.clock.advance_us(1)
    await till.post()
    till.clock.advance_us(1)
    await till.post()
    assert keys[0] == keys[1] != keys[2]
    assert keys[0] is not None
    assert len(keys[0]) == 64


async def test_without_a_record_there_is_no_key_and_without_a_limiter_a_clear_error() -> None:
    app = Hello()
    till = Till(app, paying(idempotency=None))
    await till.post()
    assert asgi_ratelimit.idempotency_key(app.scopes[0], "secret") is None
    for ask in (
        asgi_ratelimit.still_held,
        lambda scope: asgi_ratelimit.release(scope, "declined"),
        lambda scope: asgi_ratelimit.idempotency_key(scope, "secret"),
    ):
        with pytest.raises(RateLimitError, match="no RateLimitMiddleware"):
            ask(scope_of())
    with pytest.raises(RateLimitError, match="needs a reason"):
        asgi_ratelimit.release(app.scopes[0], "")


async def test_a_lease_on_a_shared_resource_is_one_for_everybody() -> None:
    async def resource(scope: Scope) -> str:
        return str(scope["path"]).rpartition("/")[2]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for path, user in (("/a/17", "bob"), ("/b/17", "cid"), ("/a/18", "dan")):
            inner = await post(
                RateLimitMiddleware(Shop(), till.limiter, default="pay", lease_on=resource), b"x", path, user=user
            )
            seen.append(inner.status)
        await till.shop(scope, receive, send)

    seen: list[int] = []
    till = Till(app, lease_on=resource)
    assert (await till.post(path="/a/17")).status == 201
    assert seen == [429, 429, 201]


# --- doors in doors


async def test_two_middlewares_around_one_application_are_one_claim() -> None:
    till = Till()
    app = RateLimitMiddleware(till.app, till.limiter, default="pay")
    assert [(await post(app, b"x")).body for _ in range(2)] == [b"receipt 1"] * 2
    assert till.shop.effects == 1


async def test_the_sinks_hear_how_it_ended() -> None:
    sink = Recorder()
    till = Till(sinks=[sink])
    await till.post()
    await till.post()
    assert [event.layer for event in sink.decided] == [Layer.NONE, Layer.IDEMPOTENCY]
    assert [(event.outcome, event.lost) for event in sink.settled] == [(Outcome.COMPLETED, False)]


async def test_a_form_that_can_not_be_read_is_compared_byte_by_byte() -> None:
    till = Till(bucket=paying(quota="100/s:100"))
    given = [b"--one\r\nbroken", b"--one\r\nbroken", b"--one\r\nbroken!"]
    bodies = [(await till.post(body, content_type="multipart/form-data; boundary=one")).body for body in given]
    assert bodies == [b"receipt 1", b"receipt 1", b"receipt 2"]
