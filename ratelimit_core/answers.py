"""The answer of a shielded request: what of it is kept, how it is stored, and when a claim ends without one."""

import json
import re
from typing import NamedTuple

from ratelimit_core.buckets import Bucket, OnError
from ratelimit_core.commands import Outcome

LARGEST_BODY = 64 * 1024
_KEPT_HEADERS = frozenset(
    {
        "allow",
        "cache-control",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-location",
        "content-type",
        "etag",
        "expires",
        "last-modified",
        "link",
        "location",
        "vary",
    }
)
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.1
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_EXPLICIT_TOO = frozenset({402, 409, 410, 422})


class Result(NamedTuple):
    """How a handler ended.

    `body` is None for one that can't be kept: streamed. `released` is the reason given to `release()`. `raised` says
    that an exception left the handler; a status of None that there was no response at all (a job). `undone` says that
    a record beside the store proves that the handler left nothing behind, however it ended; `cut` that nobody saw
    how it ended, because the request was cancelled.
    """

    status: int | None = None
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = b""
    released: str | None = None
    raised: bool = False
    undone: bool = False
    cut: bool = False


class Answer(NamedTuple):
    """A stored answer; `body` is None where only the status could be kept."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes | None


def outcome(bucket: Bucket, result: Result, *, explicit: bool) -> Outcome:
    """How a claim ends.

    A success is kept; so is, under an explicit key, a definite refusal (402, 409, 410, 422). Any other refusal did
    nothing and is forgotten, as is what the handler released. An exception or a 5xx may have done its work: a
    rollback proves nothing about a foreign processor.
    """
    if result.undone:
        return Outcome.RELEASED
    if result.cut:
        return Outcome.UNKNOWN  # even with on_error="release": this is no failure, only an end unseen
    if result.raised or (result.status or 0) >= 500:
        return Outcome.RELEASED if bucket.on_error is OnError.RELEASE else Outcome.UNKNOWN
    if result.released is not None:
        return Outcome.DECLINED
    kept = result.status is None or result.status < 400 or (explicit and result.status in _EXPLICIT_TOO)
    return Outcome.COMPLETED if kept else Outcome.DECLINED


def encode(result: Result) -> bytes:
    """An answer as bytes: a line of JSON and the body; never `Set-Cookie`, never more than 64 KiB of body."""
    kept = result.body is not None and len(result.body) <= LARGEST_BODY
    headers = [(name, value) for name, value in result.headers if name.lower() in _KEPT_HEADERS]
    head = {"status": result.status or 200, "headers": headers, "kept": kept}
    return json.dumps(head).encode("ascii") + b"\n" + (result.body or b"" if kept else b"")


def decode(stored: bytes) -> Answer:
    """The answer that `encode` stored; raises ValueError for anything else."""
    head, _, body = stored.partition(b"\n")
    try:
        read = json.loads(head)
        headers = tuple((str(name), str(value)) for name, value in read["headers"])
        answer = Answer(int(read["status"]), headers, body if read["kept"] else None)
    except (KeyError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError(f"no answer: {error!r}") from error
    if not 100 <= answer.status <= 599 or not all(map(_can_be_sent, headers)):
        raise ValueError("no answer: its status or a header can't be sent")
    return answer


def _can_be_sent(header: tuple[str, str]) -> bool:
    return bool(_NAME.fullmatch(header[0]) and _VALUE.fullmatch(header[1]))
