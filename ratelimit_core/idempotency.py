"""Idempotency keys and the records they name.

`Idempotency-Key` is read as draft-ietf-httpapi-idempotency-key-header-07 defines it, a Structured Fields string
(RFC 9651 section 3.3.3), and also bare, as most clients send it; both name the same record.
"""

import re
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
