"""What `ratelimit_probe` sends, and what it makes of the answers."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from math import ceil
from typing import Any, NamedTuple
from urllib.parse import SplitResult

from django_ratelimit_gcra.probing import BUCKET, HEADER
from ratelimit_core import Mode

_LONGEST_BODY = 1 << 20
_POLICY = re.compile(rf'"{BUCKET}";q=([0-9]+);w=([0-9]+)')


class ProbeError(Exception):
    """The site could not be asked."""


class Answer(NamedTuple):
    """A response, with lower-case header names; `body` is {} where it is no JSON object."""

    status: int
    headers: Mapping[str, str]
    body: Mapping[str, Any]

    def number(self, name: str) -> int | None:
        """A header's whole number."""
        text = self.headers.get(name, "")
        return int(text) if text.isascii() and text.isdecimal() else None


def ask(url: SplitResult, ticket: str, headers: Mapping[str, str], timeout_s: float) -> Answer:
    """One request on a connection of its own, so that every process behind a port has its turn; raises ProbeError."""
    kind = HTTPSConnection if url.scheme == "https" else HTTPConnection
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    sent = {"Accept": "application/json", "Connection": "close", HEADER: ticket, **headers}
    try:
        connection = kind(url.hostname or "", url.port, timeout=timeout_s)
        try:
            connection.request("GET", target, headers=sent)
            response = connection.getresponse()
            body = response.read(_LONGEST_BODY)
        finally:
            connection.close()
    except (OSError, HTTPException, ValueError) as error:
        raise ProbeError(f"{url.geturl()} can't be asked: {error!r}") from error
    return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, _read(body))


def _read(body: bytes) -> Mapping[str, Any]:
    try:
        read = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return read if isinstance(read, dict) else {}


def unfit(first: Answer, most: int) -> str | None:
    """Why nothing can be proved on a page that answers like this; None where it can."""
    policy = first.headers.get("x-ratelimit-policy")
    limit = first.number("x-ratelimit-limit")
    if policy is None:
        return f"{first.status} without X-RateLimit-Policy: no limiter answers there"
    if policy == "off":
        return "X-RateLimit-Policy is off: RATE_LIMIT_ENABLED is false, the kill switch"
    if policy != BUCKET:
        return f"X-RateLimit-Policy is {policy}, not {BUCKET}: give the address of django_ratelimit_gcra.probing.probe"
    if limit is None:
        return f"no X-RateLimit-Limit: the bucket {BUCKET} is off"
    if not 1 <= limit <= most:
        return f"X-RateLimit-Limit is {limit}: give the bucket {BUCKET} a burst from 1 to {most}"
    if first.status not in (200, 429):
        return f"the page answers {first.status}"
    if not first.body.get("run"):
        return "the site does not know this command's ticket: run it with the site's SECRET_KEY, and by the same time"
    return None


def unit_s(answer: Answer) -> tuple[float, float] | None:
    """How long a unit takes to come back, at least and at most, where the draft's fields tell (in whole seconds)."""
    found = _POLICY.search(answer.headers.get("ratelimit-policy", ""))
    if found is None:
        return None
    burst, window_s = int(found[1]), int(found[2])
    return (window_s - 1) / burst, window_s / burst


def wrong(answers: Sequence[Answer], limit: int) -> Iterator[str]:
    """What differs from `limit` requests admitted and all others refused, each with the right headers."""
    for number, answer in enumerate(answers, 1):
        expected = _REFUSED if number > limit else {"status": 200, "X-RateLimit-Remaining": limit - number}
        seen = {
            "status": answer.status,
            "X-RateLimit-Remaining": answer.number("x-ratelimit-remaining"),
            "Cache-Control": answer.headers.get("cache-control"),
            "code": answer.body.get("code"),
        }
        for name, value in {**expected, "X-RateLimit-Limit": limit, "X-RateLimit-Policy": BUCKET}.items():
            found = seen[name] if name in seen else answer.headers.get(name.lower())
            if str(found) != str(value):
                yield f"request {number}: {name} is {found}, not {value}"
        yield from _wrong_wait(number, answer, refused=number > limit)


_REFUSED: dict[str, object] = {
    "status": 429,
    "X-RateLimit-Remaining": 0,
    "Cache-Control": "no-store",
    "code": "rate_limited",
}


def _wrong_wait(number: int, answer: Answer, *, refused: bool) -> Iterator[str]:
    """What is wrong with Retry-After: a refusal has one of seconds, no more than a unit takes; nothing else has one."""
    text, seconds, unit = answer.headers.get("retry-after"), answer.number("retry-after"), unit_s(answer)
    if not refused:
        if text is not None:
            yield f"request {number}: Retry-After is {text}, and nothing was refused"
    elif not seconds:
        yield f"request {number}: Retry-After is {text}, not whole seconds"
    elif unit is not None and seconds > ceil(unit[1]):
        yield f"request {number}: Retry-After is {seconds}, and a unit comes back in {unit[1]:g} s"


def not_enforcing(answers: Sequence[Answer], buckets: Iterable[str]) -> Iterator[str]:
    """Which of these buckets some process that answered does not enforce."""
    for name in buckets:
        modes = {str(answer.body["modes"].get(name)) for answer in answers if "modes" in answer.body}
        if modes != {Mode.ENFORCE}:
            yield f"bucket {name}: {', '.join(sorted(modes)).replace('None', 'no such bucket')}"
