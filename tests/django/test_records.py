"""The record in the database: exactly one effect, whatever becomes of the store, on SQLite and on PostgreSQL."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from threading import Event, Thread
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Group
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError, connection, transaction
from django.http import HttpRequest, HttpResponseBase
from django.test import AsyncClient, Client, RequestFactory
from django.utils import timezone

from django_ratelimit_gcra import records, runtime
from django_ratelimit_gcra.models import IdempotencyRecord
from ratelimit_core import Identity
from ratelimit_core.limiter import Options
from ratelimit_core.testing import ManualClock, enforcing
from testproject.samples import calls
from tests.django import payments


@pytest.fixture(scope="session")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    name = str(tmp_path_factory.mktemp("sqlite") / "records.sqlite3")
    return {"ENGINE": "django.db.backends.sqlite3", "NAME": name, "OPTIONS": {"timeout": 0.2}}


@pytest.fixture
def pays(settings: Any, database: str, clock: ManualClock) -> Iterator["Shop"]:
    settings.ROOT_URLCONF = "tests.django.payments"
    settings.RATE_LIMIT_BUCKETS = {"payment": payments.BUCKET}
    with ExitStack() as stack:
        yield Shop(clock, stack)


class Shop:
    """Somebody who pays, and a store that can be emptied or can go back in time."""

    def __init__(self, clock: ManualClock, stack: ExitStack) -> None:
        self.clock = clock
        self._stack = stack
        self.client = Client(raise_request_exception=False)

    def pay(self, key: str = "k1", how: str = "", place: str = "/pay/", **extra: Any) -> Any:
        headers = {"Idempotency-Key": key, "X-How": how, **extra}
        return self.client.post(place, {"amount": "5"}, headers=headers)

    def die_in_the_middle(self) -> None:
        """A worker has claimed this payment and is never heard of again."""
        fingerprint = IdempotencyRecord.objects.get().fingerprint
        self.empty_the_store()
        options: Options = {"idempotency_key": "k1", "fingerprint": fingerprint}
        assert runtime.limiter().admit(Identity.key("ann"), "payment", **options).holds
        self.clock.advance_us(60_000_000)

    def empty_the_store(self) -> None:
        self._stack.enter_context(enforcing(self.clock))


def paid() -> int:
    return Group.objects.count()


def answers(response: Any) -> tuple[int, bytes, str | None, bool]:
    replayed = response.headers.get("Idempotent-Replayed") == "true"
    return response.status_code, response.content, response.headers.get("Location"), replayed


def test_a_payment_is_answered_again_without_a_second_effect(pays: Shop) -> None:
    first = pays.pay()
    again = pays.pay()
    assert answers(first)[0] == 201
    assert answers(again) == (*answers(first)[:3], True)
    assert "Set-Cookie" not in again.headers
    assert again.headers["X-RateLimit-Remaining"] == first.headers["X-RateLimit-Remaining"]
    assert paid() == 1
    row = IdempotencyRecord.objects.get()
    assert row.body is not None
    assert (row.identity, row.bucket, row.status, bytes(row.body)) == ("key:ann", "payment", 201, first.content)


def test_the_row_answers_when_the_store_has_lost_everything(pays: Shop) -> None:
    first = pays.pay()
    pays.empty_the_store()
    assert answers(pays.pay()) == (*answers(first)[:3], True)
    assert answers(pays.pay()) == (*answers(first)[:3], True)
    assert paid() == calls["payment"] == 1


def test_a_worker_that_died_after_the_commit_is_answered_for_by_the_row(pays: Shop) -> None:
    first = pays.pay()
    pays.die_in_the_middle()
    again = pays.pay()
    assert answers(again) == (*answers(first)[:3], True)
    assert again.headers["X-RateLimit-Remaining"] == "49"
    assert paid() == 1


def test_a_worker_that_died_before_the_commit_is_made_good_once(pays: Shop) -> None:
    pays.pay()
    pays.die_in_the_middle()
    IdempotencyRecord.objects.all().delete()
    Group.objects.all().delete()
    first = pays.pay()
    assert answers(first)[::3] == (201, False)
    assert answers(pays.pay()) == (*answers(first)[:3], True)
    assert paid() == 1


def test_a_claim_that_is_still_worked_on_is_not_taken_over(pays: Shop) -> None:
    pays.pay()
    pays.die_in_the_middle()
    pays.clock.advance_us(-60_000_000)
    assert pays.pay().json()["code"] == "in_progress"


def test_where_the_bucket_only_observes_no_row_is_written(pays: Shop, settings: Any) -> None:
    settings.RATE_LIMIT_BUCKETS = {"payment": {**payments.BUCKET, "mode": "off"}}
    assert not answers(pays.pay())[3]
    assert not answers(pays.pay())[3]
    assert (paid(), IdempotencyRecord.objects.count()) == (2, 0)


def test_the_views_own_waits_are_not_shortened(pays: Shop, database: str) -> None:
    if database == "postgresql":
        assert pays.pay(place="/lock-timeout/").content == b"0"


def test_a_commit_that_fails_leaves_nothing_and_may_be_tried_again(pays: Shop) -> None:
    assert pays.pay(place="/bad-commit/").status_code == 500
    assert (paid(), IdempotencyRecord.objects.count()) == (0, 0)
    assert pays.pay(place="/bad-commit/", key="k1").status_code == 500
    assert calls["payment"] == 2


def test_an_async_view_is_refused_before_anything_is_charged(pays: Shop) -> None:
    with pytest.raises(ImproperlyConfigured, match="not async"):
        asyncio.run(payments.asynchronous(posted(lambda: None)))


def test_a_store_that_says_completed_without_a_row_is_not_believed(pays: Shop) -> None:
    pays.pay()
    IdempotencyRecord.objects.all().delete()
    Group.objects.all().delete()
    assert answers(pays.pay())[0] == 201
    assert paid() == 1


def test_the_same_key_for_another_request_is_refused_by_the_row_too(pays: Shop) -> None:
    pays.pay()
    pays.empty_the_store()
    other = pays.client.post("/pay/", {"amount": "6"}, headers={"Idempotency-Key": "k1"})
    assert other.status_code == 422
    assert other.json()["code"] == "key_reused"
    assert answers(pays.pay())[3]
    assert paid() == 1


def test_somebody_elses_key_names_another_row(pays: Shop) -> None:
    assert answers(pays.pay()) != answers(pays.pay(**{"X-Who": "bob"}))
    assert paid() == IdempotencyRecord.objects.count() == 2


@pytest.mark.parametrize("how", ["raise", "500", "exit", "template"])
def test_what_fails_is_rolled_back_and_runs_again(pays: Shop, how: str) -> None:
    try:
        assert pays.pay(how=how).status_code == 500
    except SystemExit:
        assert how == "exit"
    assert paid() == IdempotencyRecord.objects.count() == 0
    assert answers(pays.pay())[0] == 201
    assert paid() == 1
    assert calls["payment"] == 2


@pytest.mark.parametrize(("how", "status"), [("decline", 201), ("400", 400), ("429", 429)])
def test_a_refusal_keeps_what_the_view_wrote_but_no_answer(pays: Shop, how: str, status: int) -> None:
    assert answers(pays.pay(how=how))[::3] == (status, False)
    assert (paid(), IdempotencyRecord.objects.count()) == (1, 0)
    assert answers(pays.pay(how=how))[::3] == (status, False)


def test_a_refusal_ends_the_attempt_for_the_processor_also_when_the_view_undoes_its_rows(pays: Shop) -> None:
    payments.keys.clear()
    for how in ("500", "undo", "decline", ""):
        pays.pay(how=how)
        pays.clock.advance_us(1)
    assert Group.objects.count() == 2  # of the decline and of the payment
    failed, undone, declined, paid = payments.keys
    assert failed == undone
    assert len({undone, declined, paid}) == 3


@pytest.mark.parametrize("how", ["", "500"])
def test_a_record_made_before_the_bucket_kept_rows_is_believed(pays: Shop, settings: Any, how: str) -> None:
    settings.RATE_LIMIT_BUCKETS = {"payment": {**payments.BUCKET, "record": "store"}}
    first = pays.pay(how=how)
    settings.RATE_LIMIT_BUCKETS = {"payment": payments.BUCKET}
    again = pays.pay()
    if how:
        assert (again.status_code, again.json()["code"]) == (409, "outcome_unknown")
    else:
        assert (again.status_code, again.content) == (first.status_code, first.content)
    assert calls["payment"] == 1


def test_a_404_that_the_view_raises_is_rolled_back(pays: Shop) -> None:
    assert pays.pay(how="missing").status_code == 404
    assert (paid(), IdempotencyRecord.objects.count()) == (0, 0)


@pytest.mark.parametrize("how", ["redirect", "402"])
def test_a_definite_answer_is_kept_in_the_row(pays: Shop, how: str) -> None:
    first = pays.pay(how=how)
    pays.empty_the_store()
    assert answers(pays.pay(how=how)) == (*answers(first)[:3], True)
    assert paid() == 1


def test_a_stream_is_never_run_again_though_its_answer_is_not_kept(pays: Shop) -> None:
    assert b"".join(pays.pay(how="stream")) == b"ab"
    for _ in range(2):
        again = pays.pay(how="stream")
        assert (again.status_code, again.json()["code"]) == (409, "replay")
        pays.empty_the_store()
    assert paid() == 1


def test_an_expired_row_is_written_anew(pays: Shop) -> None:
    pays.pay()
    IdempotencyRecord.objects.update(expires=timezone.now() - timedelta(seconds=1))
    pays.empty_the_store()
    assert not answers(pays.pay())[3]
    assert paid() == 2
    assert IdempotencyRecord.objects.count() == 1


@pytest.mark.parametrize("place", ["/by-method/", "/by-class/", "/rest/", "/rest-function/"])
def test_the_row_is_written_wherever_the_decorator_stands(pays: Shop, place: str) -> None:
    first = pays.pay(place=place)
    assert first.status_code in (200, 201)
    pays.empty_the_store()
    assert answers(pays.pay(place=place)) == (*answers(first)[:3], True)
    assert answers(pays.pay(place=place)) == (*answers(first)[:3], True)
    assert paid() == 1


def test_a_plain_view_keeps_its_row_under_an_asgi_server_too(pays: Shop) -> None:
    def post() -> Any:
        return async_to_sync(AsyncClient().post)("/pay/", {"amount": "5"}, headers={"Idempotency-Key": "k1"})

    first = post()
    assert answers(post()) == (*answers(first)[:3], True)
    pays.empty_the_store()
    assert answers(post()) == (*answers(first)[:3], True)
    assert paid() == 1


def test_without_the_middleware_the_row_is_written_all_the_same(pays: Shop, settings: Any) -> None:
    settings.MIDDLEWARE = []
    first = pays.pay()
    pays.empty_the_store()
    assert answers(pays.pay()) == (*answers(first)[:3], True)
    assert paid() == 1


def test_a_second_request_waits_for_the_first_ones_row_and_is_told_to_come_back(pays: Shop) -> None:
    begun, go_on = Event(), Event()
    found: list[HttpResponseBase] = []

    def wait() -> None:
        begun.set()
        assert go_on.wait(30)

    def first() -> None:
        found.append(payments.waits(posted(wait)))
        connection.close()

    thread = Thread(target=first)
    thread.start()
    assert begun.wait(30)
    pays.empty_the_store()
    busy = payments.waits(posted(lambda: None))
    go_on.set()
    thread.join(30)
    assert busy.status_code == 409
    assert busy.headers["Retry-After"] == "1"
    assert b'"in_progress"' in busy.content
    again = payments.waits(posted(lambda: None))
    assert (again.content, again.headers["Idempotent-Replayed"]) == (found[0].content, "true")  # type: ignore[attr-defined]
    assert paid() == 1


def posted(begun: Any) -> HttpRequest:
    request = RequestFactory().post("/waits/", headers={"Idempotency-Key": "k1"})
    request.begun = begun  # type: ignore[attr-defined]  # the view calls it
    return request


@pytest.mark.parametrize(("field", "busy"), [("sqlstate", "55P03"), ("pgcode", "55P03"), ("pgcode", "08006")])
def test_a_wait_that_was_too_long_is_told_by_either_driver_of_postgresql(field: str, busy: str) -> None:
    class Driver(Exception):
        """What psycopg calls `sqlstate`, psycopg2 calls `pgcode`."""

    cause = Driver()
    setattr(cause, field, busy)
    with pytest.raises(records.Busy if busy == "55P03" else OperationalError), records.busy_said():
        raise OperationalError from cause


def test_a_view_inside_another_transaction_is_refused_and_nothing_runs(pays: Shop) -> None:
    with transaction.atomic(), pytest.raises(ImproperlyConfigured, match="non_atomic_requests"):
        payments.waits(posted(lambda: None))
    assert paid() == 0
    assert answers(pays.pay())[0] == 201


def test_nothing_is_left_held_by_whatever_end(pays: Shop) -> None:
    for number, how in enumerate(["", "raise", "500", "decline", "stream"] * 2):
        pays.pay(key=f"k{number}", how=how)
    assert not pays.client.post("/pay/", headers={"Idempotency-Key": "last"}).headers.get("Retry-After")
