"""Idempotency keys and the records they name.

`Idempotency-Key` is read as draft-ietf-httpapi-idempotency-key-header-07 defines it, a Structured Fields string
(RFC 9651 section 3.3.3), and also bare, as most clients send it; both name the same record.
"""

import re
from collections.abc import Iterable, Sequence
from hashlib import sha256
from urllib.parse import parse_qsl

_QUOTED = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"')
MOST_FIELDS = 10_000
_VISIBLE = re.compile(r"[\x21-\x7e]{1,255}")


def read_key(text: str) -> str | None:
    """The key in a header's value, quoted or bare: 1 to 255 visible ASCII characters; None when malformed.

    A key that was sent twice is malformed, too: servers join two lines by a comma, and what a proxy repeats on some of
    a client's tries would name another record than on the others.
    """
    text = text.strip(" \t")
    quoted = _QUOTED.fullmatch(text)
    if not quoted and len(parts := text.split(",")) > 1 and len({part.strip(" \t") for part in parts}) == 1:
        return None
    key = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else text
    return key if _VISIBLE.fullmatch(key) and (quoted or not key.startswith('"')) else None


def said_key(lines: Sequence[str], fields: Sequence[str]) -> str | None:
    """What a request says its key is, in the header's lines and a form's hidden fields; None where it says nothing.

    Where it says two things, the text is empty, which is malformed: whichever were taken, a retry might say the other.
    """
    given = [*lines, *fields]
    if not given:
        return None
    return given[0] if len(lines) < 2 and len({read_key(one) for one in given}) == 1 else ""


def record_name(key: str | None, fingerprint: str, owner: str | None = None) -> str:
    """What names a record beside the identity: an explicit key, else the request's fingerprint.

    `owner` is whose request it is where somebody else is charged for it: two users' records are never one.
    """
    text = f"derived:{fingerprint}" if key is None else f"key:{key}"
    if owner is not None:
        text = f"owner:{len(owner)}:{owner}:{text}"
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def fingerprint(method: str, host: str, path: str, query: str, content_type: str, body: bytes) -> str:
    """What tells one request from another: SHA-256 over a length-prefixed encoding of its parts.

    `content_type` is taken without its parameters (a boundary differs between equal submissions), `body` is a digest
    from `body_digest` or `form_digest`. Length prefixes keep `/wallet/1` of user 23 apart from `/wallet/12` of user 3.
    """
    plain = content_type.partition(";")[0].strip().lower()
    return _digest(
        [*(part.encode("utf-8", "surrogatepass") for part in (method, host, path, query, plain)), body]
    ).hex()


def body_digest(chunks: Iterable[bytes]) -> bytes:
    """The digest of a raw body."""
    digest = sha256(b"raw")
    for chunk in chunks:
        digest.update(chunk)
    return digest.digest()


def form_digest(fields: Iterable[tuple[str, str]], files: Iterable[tuple[str, str, str, int, bytes]] = ()) -> bytes:
    """The digest of a form: its fields in order, its files as (field, name, type, size in bytes, digest).

    Text that was no UTF-8 is given with `surrogateescape`, so that it is told apart. The caller leaves out what differs
    between equal submissions: the CSRF token and the key's own field.
    """
    parts = [b"form"]
    for name, value in fields:
        parts += [name.encode("utf-8", "surrogatepass"), value.encode("utf-8", "surrogatepass")]
    for name, filename, content_type, size, content in files:
        parts += [
            *(text.encode("utf-8", "surrogatepass") for text in (name, filename, content_type)),
            size.to_bytes(8, "big"),
            content,
        ]
    return _digest(parts)


def urlencoded(body: bytes) -> list[tuple[str, str]]:
    """The fields of an `application/x-www-form-urlencoded` body, bytes that are no UTF-8 as surrogates.

    Raises ValueError for more than 10,000 of them.
    """
    pairs = parse_qsl(body.decode("latin-1"), keep_blank_values=True, encoding="latin-1", max_num_fields=MOST_FIELDS)
    return [(text(name.encode("latin-1")), text(value.encode("latin-1"))) for name, value in pairs]


def text(raw: bytes) -> str:
    """Bytes as text, without losing any that are no UTF-8."""
    return raw.decode("utf-8", "surrogateescape")


def _digest(parts: Iterable[bytes]) -> bytes:
    digest = sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()
