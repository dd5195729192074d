"""The admin of idempotency records: what may be seen and by whom, and that every change has a reason in its log."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from django_ratelimit_gcra import runtime
from django_ratelimit_gcra.models import IdempotencyRecord
from ratelimit_core import Identity
from ratelimit_core.answers import Result
from ratelimit_core.testing import ManualClock

pytestmark = pytest.mark.django_db
PLACE = "/admin/django_ratelimit_gcra/idempotencyrecord/"


@pytest.fixture
def record() -> IdempotencyRecord:
    now = timezone.now()
    return IdempotencyRecord.objects.create(
        identity="user:42",
        name="n" * 64,
        bucket="financial",
        fingerprint="f" * 64,
        status=201,
        headers=[["Content-Type", "text/plain"]],
        body=b"a secret answer",
        created=now,
        expires=now + timedelta(days=1),
    )


def staff(*permissions: str) -> Client:
    """Somebody who may see records, and what else is named."""
    user = User.objects.create_user("staff", is_staff=True)
    names = ("view_idempotencyrecord", *permissions)
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    client = Client()
    client.force_login(user)
    return client


def act(client: Client, record: IdempotencyRecord, action: str, **data: Any) -> Any:
    return client.post(PLACE, {"action": action, "_selected_action": [record.pk], **data})


def test_the_list_and_the_detail_are_read_only(record: IdempotencyRecord) -> None:
    client = staff("change_idempotencyrecord", "delete_idempotencyrecord", "add_idempotencyrecord")
    assert b"user:42" in client.get(PLACE).content
    detail = client.get(f"{PLACE}{record.pk}/change/")
    assert detail.status_code == 200
    assert b'name="_save"' not in detail.content
    assert client.get(f"{PLACE}add/").status_code == 403
    assert client.post(f"{PLACE}{record.pk}/delete/", {"post": "yes"}).status_code == 403


def test_answers_are_for_those_who_may_see_them(record: IdempotencyRecord) -> None:
    place = f"{PLACE}{record.pk}/change/"
    assert b"secret" not in staff().get(place).content
    User.objects.all().delete()
    assert b"a secret answer" in staff("view_answer").get(place).content


def test_an_answer_that_was_not_kept_is_said_to_be(record: IdempotencyRecord) -> None:
    IdempotencyRecord.objects.update(body=None)
    assert b"(not kept)" in staff("view_answer").get(f"{PLACE}{record.pk}/change/").content


def test_an_action_needs_the_right_to_change(record: IdempotencyRecord) -> None:
    act(staff(), record, "release", apply="yes", reason="because")
    assert IdempotencyRecord.objects.exists()


@pytest.mark.parametrize("action", ["release", "mark_completed"])
def test_an_action_asks_for_a_reason_first(record: IdempotencyRecord, action: str) -> None:
    client = staff("change_idempotencyrecord")
    for data in ({}, {"apply": "yes", "reason": ""}):
        page = act(client, record, action, **data)
        assert page.status_code == 200
        assert b'name="reason"' in page.content
        assert f'value="{action}"'.encode() in page.content
    assert IdempotencyRecord.objects.get().status == 201
    assert not LogEntry.objects.exists()


def test_a_release_deletes_the_proof_and_is_logged_with_its_reason(record: IdempotencyRecord) -> None:
    client = staff("change_idempotencyrecord")
    assert act(client, record, "release", apply="yes", reason="the bank says no").status_code == 302
    assert not IdempotencyRecord.objects.exists()
    entry = LogEntry.objects.get()
    assert (entry.user.get_username(), entry.object_id) == ("staff", str(record.pk))
    assert entry.get_change_message() == "released: the bank says no"


def test_another_answer_is_written_and_logged_with_its_reason(record: IdempotencyRecord) -> None:
    client = staff("change_idempotencyrecord")
    answer = {"status": "200", "content_type": "application/json", "body": '{"paid": 5}'}
    assert act(client, record, "mark_completed", apply="yes", reason="by telephone", **answer).status_code == 302
    row = IdempotencyRecord.objects.get()
    assert row.body is not None
    assert (row.status, row.headers, bytes(row.body)) == (200, [["Content-Type", "application/json"]], b'{"paid": 5}')
    assert LogEntry.objects.get().get_change_message() == "marked completed with status 200: by telephone"


@pytest.mark.parametrize("status", ["100", "404", "500", "x"])
def test_only_a_success_can_be_written(record: IdempotencyRecord, status: str) -> None:
    client = staff("change_idempotencyrecord")
    act(client, record, "mark_completed", apply="yes", reason="x", status=status, content_type="text/plain")
    assert IdempotencyRecord.objects.get().status == 201


IN_DOUBT = {"bucket": "financial", "user": "42", "fingerprint": "f" * 64, "reason": "by telephone"}
ANSWER = {"completed": "yes", "status": "201", "content_type": "text/plain", "body": "paid"}


def admitted() -> Any:
    return runtime.limiter().admit(Identity.user(42), "financial", fingerprint="f" * 64)


@pytest.fixture
def in_doubt(clock: ManualClock) -> None:
    runtime.limiter().settle(admitted(), Result(raised=True))


def test_what_the_store_is_in_doubt_about_is_resolved_with_an_answer(in_doubt: None) -> None:
    client = staff("change_idempotencyrecord")
    assert b"Resolve an unknown outcome" in client.get(f"{PLACE}resolve/").content
    assert client.post(f"{PLACE}resolve/", {**IN_DOUBT, **ANSWER}).status_code == 302
    denial = runtime.limiter().denial(admitted())
    assert (denial.status, denial.body) == (201, b"paid")
    assert "marked completed with status 201: by telephone" in LogEntry.objects.get().get_change_message()


def test_what_the_store_is_in_doubt_about_is_released(in_doubt: None, clock: ManualClock) -> None:
    clock.advance_us(60_000_000)
    data = {**IN_DOUBT, **ANSWER, "completed": ""}
    assert staff("change_idempotencyrecord").post(f"{PLACE}resolve/", data).status_code == 302
    assert admitted().allowed


@pytest.mark.parametrize("kind", ["text/plain\r\nX-Evil: 1", "text", "text/html; charset=a b"])
def test_a_content_type_that_is_none_is_refused(in_doubt: None, record: IdempotencyRecord, kind: str) -> None:
    client = staff("change_idempotencyrecord")
    page = client.post(f"{PLACE}resolve/", {**IN_DOUBT, **ANSWER, "content_type": kind})
    assert b"errorlist" in page.content
    act(client, record, "mark_completed", apply="yes", reason="x", status="200", content_type=kind)
    assert IdempotencyRecord.objects.get().status == 201


def test_a_request_that_somebody_else_was_charged_for_is_resolved_too(clock: ManualClock) -> None:
    company, ann = Identity.key("company"), Identity.user(42)
    held = runtime.limiter().admit(ann, "financial", idempotency_key="k1", identity=company)
    runtime.limiter().settle(held, Result(raised=True))
    data = {**IN_DOUBT, **ANSWER, "fingerprint": "", "key": "k1", "charged": "company"}
    assert staff("change_idempotencyrecord").post(f"{PLACE}resolve/", data).status_code == 302
    again = runtime.limiter().admit(ann, "financial", idempotency_key="k1", identity=company)
    assert runtime.limiter().denial(again).body == b"paid"


def test_what_nobody_knows_of_is_said_and_not_logged(clock: ManualClock) -> None:
    page = staff("change_idempotencyrecord").post(f"{PLACE}resolve/", {**IN_DOUBT, **ANSWER})
    assert b"no such record in doubt" in page.content
    assert not LogEntry.objects.exists()


def test_a_store_that_is_down_is_said(settings: Any) -> None:
    settings.RATE_LIMIT_STORE_URL = "redis://127.0.0.1:1/0"
    page = staff("change_idempotencyrecord").post(f"{PLACE}resolve/", {**IN_DOUBT, **ANSWER})
    assert b"The store can&#x27;t be reached" in page.content


@pytest.mark.parametrize(
    "wrong", [{"key": "k"}, {"fingerprint": ""}, {"fingerprint": "", "key": "\u00e9"}, {"reason": ""}]
)
def test_a_word_that_leaves_something_open_is_refused(in_doubt: None, wrong: dict[str, str]) -> None:
    page = staff("change_idempotencyrecord").post(f"{PLACE}resolve/", {**IN_DOUBT, **ANSWER, **wrong})
    assert b"errorlist" in page.content
    assert not LogEntry.objects.exists()


def test_only_who_may_change_records_may_resolve(in_doubt: None) -> None:
    assert staff().get(f"{PLACE}resolve/").status_code == 403
