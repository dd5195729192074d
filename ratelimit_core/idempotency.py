"""Idempotency keys and the records they name.

`Idempotency-Key` is read as draft-ietf-httpapi-idempotency-key-header-07 defines it, a Structured Fields string
(RFC 9651 section 3.3.3), and also bare, as most clients send it; both name the same record.
"""

import re
from collections.abc import Iterable
from hashlib import sha256

_QUOTED = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"')
_VISIBLE = re.compile(r"[\x21-\x7e]{1,255}")


def read_key(text: str) -> str | None:
    """The key in a header's value, quoted or bare: 1 to 255 visible ASCII characters; None when malformed."""
    text = text.strip(" \t")
    quoted = _QUOTED.fullmatch(text)
    key = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else text
    return key if _VISIBLE.fullmatch(key) and (quoted or not key.startswith('"')) else None


def record_name(key: str | None, fingerprint: str) -> str:
    """What names a record beside the identity: an explicit key, else the request's fingerprint."""
    text = f"derived:{fingerprint}" if key is None else f"key:{key}"
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


def form_digest(fields: Iterable[tuple[str, str]], files: Iterable[tuple[str, str, int, bytes]] = ()) -> bytes:
    """The digest of a form: its fields in order, its files as (field, name, size in bytes, digest of the content).

    The caller leaves out what differs between equal submissions: the CSRF token and the key's own field.
    """
    parts = [b"form"]
    for name, value in fields:
        parts += [name.encode("utf-8", "surrogatepass"), value.encode("utf-8", "surrogatepass")]
    for name, filename, size, content in files:
        parts += [
            name.encode("utf-8", "surrogatepass"),
            filename.encode("utf-8", "surrogatepass"),
            size.to_bytes(8, "big"),
            content,
        ]
    return _digest(parts)


def _digest(parts: Iterable[bytes]) -> bytes:
    digest = sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()
