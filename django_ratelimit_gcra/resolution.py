"""Ending what is in doubt, by an operator's word: the words of `ratelimit_reset --idempotency` and of the admin."""

import logging
from typing import NamedTuple

from django.db import router

from django_ratelimit_gcra import records
from django_ratelimit_gcra.models import IdempotencyRecord
from ratelimit_core import Identity, Limiter
from ratelimit_core.answers import Result
from ratelimit_core.buckets import Record
from ratelimit_core.commands import Outcome
from ratelimit_core.shielding import Wish, record_claim

_logger = logging.getLogger("django_ratelimit_gcra")

DONE = 1
_WORKED_ON = 2
_COMPLETED = 3
_SAID = {
    0: "there is no such record in doubt: nothing of it is known, or it may run again already",
    DONE: "resolved",
    _WORKED_ON: "it is being worked on: wait until its lease has ended",
    _COMPLETED: "it is completed already, and its answer is replayed",
}


class Word(NamedTuple):
    """What an operator says of a record: a status is the answer to give from now on, None lets the request run again.

    `key` is the client's idempotency key, `fingerprint` the request's where it sent none.
    """

    bucket: str
    identity: Identity
    key: str | None
    fingerprint: str | None
    status: int | None
    body: bytes
    content_type: str
    reason: str

    @property
    def result(self) -> Result:
        """The answer to replay."""
        return Result(self.status, (("Content-Type", self.content_type),), self.body)

    def __str__(self) -> str:
        said = "released" if self.status is None else f"marked completed with status {self.status}"
        named = f"key {self.key!r}" if self.key is not None else f"record {self.fingerprint}"
        return f"{self.bucket}: {self.identity}, {named}: {said}: {self.reason}"


def resolve(limiter: Limiter, word: Word, who: str) -> tuple[bool, str]:
    """Whether the record was resolved, and what to say; logs what was done, why and by whom. Raises StoreError."""
    bucket = limiter.config.policy(word.bucket).bucket
    claim = record_claim(limiter.config.namespace, bucket, word.identity, Wish("", word.key, word.fingerprint))
    if bucket.record is Record.DATABASE and records.find(claim) is not None:
        return False, _SAID[_COMPLETED]
    state = limiter.resolve(
        word.bucket,
        word.identity,
        ending=Outcome.RELEASED if word.status is None else Outcome.COMPLETED,
        result=word.result,
        idempotency_key=word.key,
        fingerprint=word.fingerprint,
    )
    done = state == DONE
    if bucket.record is Record.DATABASE and word.status is not None and state != _WORKED_ON:
        _write(records.new_row(claim, word.bucket), word)  # the row decides: without it the request would run again
        done = True
    if done:
        log(str(word), who)
    return done, _SAID[DONE if done else state]


def _write(row: IdempotencyRecord, word: Word) -> None:
    records.put_answer(row, word.result)
    row.save(using=router.db_for_write(IdempotencyRecord), force_insert=True)


def log(what: str, who: str) -> None:
    """Write down what an operator did."""
    _logger.warning("%s (by %s)", what, who)
