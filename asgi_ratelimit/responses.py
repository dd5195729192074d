"""Headers and refusals as ASGI messages."""

from collections.abc import Iterable, Sequence

from asgi_ratelimit.scope import Message, Scope, Send, method_of
from ratelimit_core import Denial

_BODILESS = frozenset({204, 304})  # RFC 9110 section 8.6: no Content-Length
RawHeaders = list[tuple[bytes, bytes]]


def merged(headers: Iterable[Sequence[bytes]], pairs: Iterable[tuple[str, str]]) -> RawHeaders:
    """A response's headers and then ours, in lower case; ours replace those of the same name."""
    ours = raw(pairs)
    names = {name for name, _ in ours}
    return [(name, value) for name, value in headers if name.lower() not in names] + ours


def raw(pairs: Iterable[tuple[str, str]]) -> RawHeaders:
    """Headers as ASGI spells them."""
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in pairs]


def is_last(message: Message) -> bool:
    """Whether a message ends the response's body."""
    kind = message["type"]
    return kind == "http.response.pathsend" or (
        kind in ("http.response.body", "http.response.zerocopysend") and not message.get("more_body", False)
    )


async def refuse(scope: Scope, send: Send, denial: Denial) -> None:
    """Send a refusal, or the answer that was given before; to HEAD without its body."""
    headers = raw(denial.headers)
    if denial.status not in _BODILESS:
        headers.append((b"content-length", str(len(denial.body)).encode("ascii")))
    await send({"type": "http.response.start", "status": denial.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if method_of(scope) == "HEAD" else denial.body})
