"""Ending what is in doubt, by an operator's word: the words of `ratelimit_reset --idempotency` and of the admin."""

import logging
import re
from typing import NamedTuple

from django.db import router, transaction

from django_ratelimit_gcra import records
from django_ratelimit_gcra.models import IdempotencyRecord
from ratelimit_core import Identity, Limiter
from ratelimit_core.answers import Result
from ratelimit_core.buckets import Record
from ratelimit_core.commands import Claim, Outcome
from ratelimit_core.shielding import Wish, record_claim

_logger = logging.getLogger("django_ratelimit_gcra")

# RFC 9110 section 8.3.1, as far as an operator needs it; nothing that could end a header.
CONTENT_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+(; ?[\w.+-]+=[\w.+-]+)*", re.ASCII)
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

    `key` is the client's idempotency key, `fingerprint` the request's where it sent none. `owner` is whose request it
    was where `identity`, who was charged for it, is somebody else.
    """

    bucket: str
    identity: Identity
    key: str | None
    fingerprint: str | None
    status: int | None
    body: bytes
    content_type: str
    reason: str
    owner: Identity | None = None

    @property
    def result(self) -> Result:
        """The answer to replay."""
        return Result(self.status, (("Content-Type", self.content_type),), self.body)

    def __str__(self) -> str:
        said = "released" if self.status is None else f"marked completed with status {self.status}"
        named = f"key {self.key!r}" if self.key is not None else f"record {self.fingerprint}"
        whose = "" if self.owner is None else f" for {self.owner}"
        return f"{self.bucket}: {self.identity}{whose}, {named}: {said}: {self.reason}"


def resolve(limiter: Limiter, word: Word, who: str) -> tuple[bool, str]:
    """Whether the record was resolved, and what to say; logs what was done, why and by whom. Raises StoreError."""
    bucket = limiter.config.policy(word.bucket).bucket
    wish = Wish("", word.key, word.fingerprint, owner=word.owner)
    claim = record_claim(limiter.config.namespace, bucket, word.identity, wish)
    if bucket.record is not Record.DATABASE:
        state = _resolve_in_store(limiter, word)
    elif word.status is not None:
        state = _resolve_by_row(limiter, word, claim)
    else:
        state = _COMPLETED if records.find(claim) is not None else _resolve_in_store(limiter, word)
    if state == DONE:
        log(str(word), who)
    return state == DONE, _SAID[state]


def _resolve_in_store(limiter: Limiter, word: Word) -> int:
    return limiter.resolve(
        word.bucket,
        word.identity,
        ending=Outcome.RELEASED if word.status is None else Outcome.COMPLETED,
        result=word.result,
        idempotency_key=word.key,
        fingerprint=word.fingerprint,
        owner=word.owner,
    )


def _resolve_by_row(limiter: Limiter, word: Word, claim: Claim) -> int:
    """The row decides, whatever the store says: it is written first, and stays unless somebody is at work."""
    row = records.new_row(claim, word.bucket)
    records.put_answer(row, word.result)
    alias = router.db_for_write(IdempotencyRecord)
    try:
        with records.busy_said(), transaction.atomic(using=alias):
            records.write_first(row, alias)
            worked_on = _resolve_in_store(limiter, word) == _WORKED_ON
            transaction.set_rollback(worked_on, using=alias)
    except records.Taken:
        return _COMPLETED
    except records.Busy:
        return _WORKED_ON
    return _WORKED_ON if worked_on else DONE


def log(what: str, who: str) -> None:
    """Write down what an operator did."""
    _logger.warning("%s (by %s)", what, who)
