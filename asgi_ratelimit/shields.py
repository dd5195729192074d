"""What a request says about leases and idempotency; and what an application may ask and say while it runs.

asgi_ratelimit.release(scope, "declined")           nothing was done: the next try runs
asgi_ratelimit.idempotency_key(scope, secret)       for a payment processor: the same over every retry
asgi_ratelimit.still_held(scope)                    to be asked before the effect
"""

import asyncio
import hmac
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from asgi_ratelimit.body import Body
from asgi_ratelimit.forms import Form, is_form, read_form
from asgi_ratelimit.scope import Scope, State, state_of
from ratelimit_core import Config, Mode, RateLimitError
from ratelimit_core.buckets import Bucket
from ratelimit_core.idempotency import body_digest, fingerprint, said_key
from ratelimit_core.limiter import Options

_IN_LOOP = 64 * 1024


class Read(NamedTuple):
    """What a body says: its digest, and the idempotency key in a form's hidden field."""

    digest: bytes
    keys: Sequence[str] = ()


def recording(config: Config, buckets: Iterable[str]) -> Bucket | None:
    """The first of these buckets that keeps records; None where no body has to be read."""
    for name in buckets:
        policy = config.policy(name)
        if policy.bucket.idempotency is not None and policy.mode is not Mode.OFF:
            return policy.bucket
    return None


def declared_size(scope: Scope) -> int | None:
    """The Content-Length, if there is a usable one."""
    text = header(scope, b"content-length") or ""
    return int(text) if text.isascii() and text.isdigit() else None


async def read_spooled(scope: Scope, body: Body) -> Read:
    """The digest of a body that was read to its end; nothing of a large one is done in the event loop."""
    return await _beside(body.size, partial(_read, header(scope, b"content-type") or "", body.chunks))


async def read_whole(scope: Scope, body: bytes) -> Read:
    """The same of a body in memory."""
    return await _beside(len(body), partial(_read, header(scope, b"content-type") or "", lambda: iter([body])))


def read_fields(form: Form) -> Read:
    """The same of a form."""
    return Read(form.digest(), form.keys)


def named(scope: Scope, read: Read | None) -> Options:
    """What names the request's record; without a body, because it is too large, nothing can."""
    lines = _lines(scope, b"idempotency-key")
    if read is None:
        return {"idempotency_key": said_key(lines, ()), "too_large": True}
    query: bytes = scope.get("query_string", b"")
    return {
        "idempotency_key": said_key(lines, read.keys),
        "fingerprint": fingerprint(
            scope["method"],
            (header(scope, b"host") or "").lower(),
            _full_path(scope),
            query.decode("latin-1"),
            header(scope, b"content-type") or "",
            read.digest,
        ),
    }


def header(scope: Scope, name: bytes) -> str | None:
    """A header's value, several lines of it joined by commas; None without one."""
    lines = _lines(scope, name)
    return ",".join(lines) if lines else None


def _lines(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for known, value in scope["headers"] if known.lower() == name]


def release(scope: Scope, reason: str) -> None:
    """Say that the handler did nothing (`declined`): its answer is not kept, and the next try runs.

    The unit that was charged is not given back. Raises RateLimitError outside of a limited request.
    """
    if not reason:
        raise RateLimitError("release() needs a reason: say why nothing was done")
    _state(scope)["released"] = reason


def idempotency_key(scope: Scope, secret: str | bytes) -> str | None:
    """A key for a foreign processor, unguessable without `secret`; None where no record is held.

    It stays the same over unknown outcomes, releases and crashes, and changes only after a definitive answer. Raises
    RateLimitError outside of a limited request.
    """
    admission = _state(scope)["admission"]
    raw = secret.encode() if isinstance(secret, str) else secret
    for held in () if admission is None else admission.held:
        if held.shield.claim is not None:
            message = f"{held.shield.claim.key}|{held.generation}"
            return hmac.new(raw, message.encode(), "sha256").hexdigest()
    return None


def still_held(scope: Scope) -> bool:
    """Whether lease and record are still this request's own, as far as this process can know."""
    state = _state(scope)
    return state["admission"] is None or state["limiter"].still_held(state["admission"])


def _state(scope: Scope) -> State:
    state = state_of(scope)
    if state is None:
        raise RateLimitError("no RateLimitMiddleware and no rate_limit() dependency stands before this application")
    return state


def _full_path(scope: Scope) -> str:
    """The path with the prefix it is served under; servers differ in whether `path` has it already."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "").rstrip("/")
    inside = path.startswith(root) and path[len(root) : len(root) + 1] in ("", "/")
    return path if inside else root + path


async def _beside(size: int, done: Callable[[], Read]) -> Read:
    """Do it in a thread if it takes long: to decode the fields of a megabyte takes half a second."""
    return await asyncio.to_thread(done) if size > _IN_LOOP else done()


def _read(content_type: str, chunks: Callable[[], Iterator[bytes]]) -> Read:
    if is_form(content_type):
        form = read_form(content_type, b"".join(chunks()))
        if form is not None:
            return read_fields(form)
    return Read(body_digest(chunks()))
