"""The proof in the database: a request with a record in it is carried out exactly once, whatever dies.

For a bucket with `record="database"`, and beside the store's claim:

1. The wrapper of `@ratelimit` admits, not the middleware: only where the view is called can a row be written in the
   transaction of what the view does.
2. A transaction begins, and the row is written first. A second request that gets as far (the store was emptied, the
   first one outlived its claim) meets the unique constraint, waits for the first one's end and then finds its answer.
3. The view runs and is rendered, its answer goes into the row, and both are committed together, or neither.
4. After that the claim is settled: committed is completed, rolled back is released. Where the process died before,
   or the store lost its data, the claim is in doubt, but the row is not: it is there and is the answer, or it is
   not there and nothing was done. A refusal in doubt is therefore looked up here before it is believed.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import IntegrityError, OperationalError, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import QuerySet
from django.utils import timezone

from django_ratelimit_gcra.captures import result_of
from django_ratelimit_gcra.http import denial_response
from django_ratelimit_gcra.models import IdempotencyRecord
from django_ratelimit_gcra.passage import admit
from django_ratelimit_gcra.routing import Demand, keeps_rows
from django_ratelimit_gcra.state import RateLimitState, base_request
from ratelimit_core import Admission, Verdict
from ratelimit_core.answers import Answer, Result, decode, encode, outcome
from ratelimit_core.buckets import Record
from ratelimit_core.commands import Claim, Outcome
from ratelimit_core.decision import Held
from ratelimit_core.keys import record_parts

_IN_DOUBT = frozenset({Verdict.REPLAY, Verdict.OUTCOME_UNKNOWN})
_WAIT_MS = 1000  # for a transaction that is writing the same record
_RETRY_US = 1_000_000
_LOCK_NOT_AVAILABLE = "55P03"  # PostgreSQL's SQLSTATE for lock_timeout
_SQLITE_BUSY = frozenset({5, 6})  # SQLITE_BUSY and SQLITE_LOCKED

CallView = Callable[[], Any]


class Taken(Exception):
    """The record has a row."""


class Busy(Exception):
    """The record is being written, or on SQLite anything is."""


def run(request: object, state: RateLimitState, demands: Iterable[Demand], call_view: CallView) -> Any:
    """Admit a request whose bucket keeps rows, and run its view once, in the transaction of its row."""
    held = None
    before = None
    for demand in demands:
        prior = state.admission
        refused = _admit(request, state, demand)
        if refused is not None:
            return _refusal(request, state, refused)
        found = _held(state, prior)
        held, before = (held, before) if found is None else (found, prior)
    return call_view() if held is None else _run_once(request, state, held, before, call_view)


def find(claim: Claim) -> IdempotencyRecord | None:
    """The row of a record, unless it has expired."""
    return _rows(claim).filter(expires__gt=timezone.now()).first()


def answer_of(row: IdempotencyRecord) -> Answer:
    """What a row answers."""
    body = None if row.body is None else bytes(row.body)
    return Answer(row.status, tuple((str(name), str(value)) for name, value in row.headers), body)


def put_answer(row: IdempotencyRecord, result: Result) -> None:
    """Write an answer into a row: what of it the store would keep."""
    row.status, headers, row.body = decode(encode(result))
    row.headers = [list(pair) for pair in headers]


def new_row(claim: Claim, bucket: str) -> IdempotencyRecord:
    """A row without an answer, not saved."""
    identity, name = record_parts(claim.key)
    now = timezone.now()
    return IdempotencyRecord(
        identity=identity,
        name=name,
        bucket=bucket,
        fingerprint=claim.fingerprint,
        created=now,
        expires=now + timedelta(microseconds=claim.retention_us),
    )


def _admit(request: object, state: RateLimitState, demand: Demand) -> Admission | None:
    """The refusal, or None; one that is in doubt is decided by the row."""
    prior = state.admission
    refused = admit(request, [demand])
    claim = None if refused is None else _doubted(refused)
    if refused is None or claim is None:
        return refused
    row = find(claim)
    if row is not None:
        return refused.ruled(*_ruling(row, claim))
    state.admission = prior
    return admit(request, [demand._replace(takeover=True)])


def _doubted(refused: Admission) -> Claim | None:
    decision = refused.decision
    shield = refused.sought
    known = shield is not None and decision.verdict in _IN_DOUBT and keeps_rows(refused.config, decision.bucket)
    return shield.claim if shield is not None and known else None


def _ruling(row: IdempotencyRecord, claim: Claim) -> tuple[Verdict, Answer | None]:
    """What a row says to this request; one that an operator wrote need not know the fingerprint."""
    if row.fingerprint not in (claim.fingerprint, ""):
        return Verdict.KEY_REUSED, None
    return Verdict.REPLAY, answer_of(row)


def _held(state: RateLimitState, prior: Admission | None) -> Held | None:
    """The claim that asks for a row; one that is only observed doesn't."""
    admission = state.admission
    before = () if prior is None else prior.held
    for held in () if admission is None else admission.held:
        if held.bucket.record is Record.DATABASE and held.shield.claim and held.shield.at is None:
            return None if held in before else held
    return None


def _refusal(request: object, state: RateLimitState, refused: Admission) -> Any:
    state.admission = refused
    return denial_response(base_request(request), state.limiter.denial(refused))


def _run_once(request: object, state: RateLimitState, held: Held, before: Admission | None, call_view: CallView) -> Any:
    """Run the view in the row's transaction, and settle when that has ended, whatever ends it."""
    admission = state.admission
    assert admission is not None  # it holds `held`
    claim = held.shield.claim
    assert claim is not None
    ending = Result(undone=True)  # until the commit says otherwise; after a commit that was not seen the row says it
    try:
        response, ending = _commit(request, state, held, claim, call_view)
    except Taken:
        refused = _overtaken(admission, claim)
        ending = _as_result(refused)
        response = _refusal(request, state, refused)
    except Busy:
        response = _refusal(request, state, admission.ruled(Verdict.IN_PROGRESS, wait_us=_RETRY_US))
    finally:
        state.limiter.settle(admission, ending, before)
        settled = tuple(one for one in admission.held if before is None or one not in before.held)
        state.admission = (state.admission or admission).without(settled)
    return response


def _commit(
    request: object, state: RateLimitState, held: Held, claim: Claim, call_view: CallView
) -> tuple[Any, Result]:
    """One transaction: the row, the view, the answer."""
    alias = router.db_for_write(IdempotencyRecord)
    row = new_row(claim, held.bucket.name)
    with ExitStack() as stack:
        _begin(stack, alias, row)
        response = _rendered(request, call_view())
        result = result_of(response, state.released)
        ending = outcome(held.bucket, result, explicit=held.explicit)
        rolled_back = transaction.get_rollback(using=alias)
        if ending is Outcome.DECLINED:
            if not rolled_back:
                row.delete(using=alias)
        elif rolled_back or ending is not Outcome.COMPLETED:
            transaction.set_rollback(True, using=alias)
            return response, result._replace(undone=True)
        else:
            put_answer(row, result)
            row.save(using=alias, update_fields=["status", "headers", "body"])
    return response, result


def _rendered(request: object, response: Any) -> Any:
    """Render inside the transaction: a page that can't be rendered must not have been paid for."""
    if getattr(response, "is_rendered", True):
        return response
    context = getattr(request, "parser_context", None)
    if context is not None:  # REST framework chooses the renderer when the view's method has ended
        response = context["view"].finalize_response(request, response, *context["args"], **context["kwargs"])
    return response.render()


def _begin(stack: ExitStack, alias: str, row: IdempotencyRecord) -> None:
    """Begin the view's transaction and write the row; raises Taken and Busy."""
    with busy_said():
        _enter(stack, alias)
        write_first(row, alias)


def write_first(row: IdempotencyRecord, alias: str) -> None:
    """Write a row unless there is one that still counts; raises Taken."""
    if _written(row, alias):
        return
    rows = IdempotencyRecord.objects.using(alias).filter(identity=row.identity, name=row.name)
    if not rows.filter(expires__lte=row.created).delete()[0] or not _written(row, alias):
        raise Taken


@contextmanager
def busy_said() -> Iterator[None]:
    """Raise Busy for the database's own words for it."""
    try:
        yield
    except OperationalError as error:
        if _is_busy(error):
            raise Busy from error
        raise


def _enter(stack: ExitStack, alias: str) -> None:
    try:
        stack.enter_context(transaction.atomic(using=alias, durable=True))
    except RuntimeError as error:
        raise ImproperlyConfigured(
            f"a view whose bucket has record='database' runs inside another transaction on '{alias}', in which its row "
            "would prove nothing; with ATOMIC_REQUESTS put @transaction.non_atomic_requests on the view"
        ) from error


def _written(row: IdempotencyRecord, alias: str) -> bool:
    """Write the row; False where there is one already, once whoever wrote it has committed."""
    try:
        with transaction.atomic(using=alias), _bounded_wait(transaction.get_connection(alias)):
            row.save(using=alias, force_insert=True)
    except IntegrityError:
        return False
    return True


@contextmanager
def _bounded_wait(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Wait for another transaction's row for a second at most; SQLite waits as long as its `timeout` says."""
    if connection.vendor != "postgresql":
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('lock_timeout'), set_config('lock_timeout', %s, true)", [f"{_WAIT_MS}ms"]
        )
        (before, _) = cursor.fetchone()
        yield
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [before])


def _is_busy(error: OperationalError) -> bool:
    """Whether somebody else is writing: psycopg, psycopg2 and sqlite3 say so in their own ways."""
    cause = error.__cause__
    state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
    return state == _LOCK_NOT_AVAILABLE or code in _SQLITE_BUSY


def _overtaken(admission: Admission, claim: Claim) -> Admission:
    """What the row says that was there first; it may be gone again."""
    row = find(claim)
    if row is None:
        return admission.ruled(Verdict.IN_PROGRESS, wait_us=_RETRY_US)
    return admission.ruled(*_ruling(row, claim))


def _as_result(ruled: Admission) -> Result:
    """The row's answer for the store's record; nothing where the row gave none."""
    return Result(undone=True) if ruled.answer is None else Result(*ruled.answer)


def _rows(claim: Claim) -> QuerySet[IdempotencyRecord]:
    """The record's row, where it is written: a replica may not have it yet."""
    identity, name = record_parts(claim.key)
    alias = router.db_for_write(IdempotencyRecord)
    return IdempotencyRecord.objects.using(alias).filter(identity=identity, name=name)
