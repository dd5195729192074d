"""What a request says for its shields: the idempotency key, and a fingerprint of all that tells it from another.

A body is read before the view reads it, so it is put back as it was. A form is fingerprinted by what it says: equal
submissions differ in boundaries and CSRF tokens. `request.body` can't be had once `request.POST` was read from a
multipart body, and has a limit of its own, so the stream is read instead and replaced by a copy.
"""

from collections.abc import Iterator
from io import BytesIO
from tempfile import TemporaryFile
from typing import IO, Any, NamedTuple

from django.core.exceptions import BadRequest, SuspiciousOperation
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import MemoryFileUploadHandler, TemporaryFileUploadHandler
from django.http import HttpRequest
from django.http.multipartparser import MultiPartParser, MultiPartParserError
from django.utils.datastructures import MultiValueDict

from django_ratelimit_gcra.state import base_request
from ratelimit_core import Bucket, RateLimitError
from ratelimit_core.idempotency import body_digest, fingerprint, form_digest, said_key, urlencoded
from ratelimit_core.limiter import Options

FIELD = "idempotency_key"  # the hidden field that `{% ratelimit_key %}` writes
_CSRF_FIELD = "csrfmiddlewaretoken"
_MULTIPART = "multipart/form-data"
_URLENCODED = "application/x-www-form-urlencoded"
_IN_MEMORY = 1024 * 1024
_CHUNK = 64 * 1024
_REPLACEMENT = "\ufffd"
_UNPARSABLE = (MultiPartParserError, SuspiciousOperation, BadRequest, ValueError)


class _Form(NamedTuple):
    fields: MultiValueDict[str, str]
    files: "MultiValueDict[str, UploadedFile[Any]]"


class _TooLarge(Exception):
    """The body is larger than the bucket reads."""


def wish(request: object, bucket: Bucket) -> Options:
    """The key and the fingerprint of a request to a bucket with idempotency; raises RateLimitError for a lost body.

    `request` is Django's or REST framework's. A body larger than the bucket's `max_body` has no fingerprint.
    """
    base = base_request(request)
    header = base.headers.get("Idempotency-Key")
    lines = [] if header is None else [header]
    try:
        form, body = _read(base, bucket.max_body)
    except _TooLarge:
        return {"idempotency_key": said_key(lines, ()), "too_large": True}
    key = said_key(lines, [] if form is None else form.fields.getlist(FIELD))
    content_type = base.content_type or ""
    query = base.META.get("QUERY_STRING", "")
    found = fingerprint(base.method or "GET", base.get_host().lower(), base.path, query, content_type, body)
    return {"idempotency_key": key, "fingerprint": found}


def _read(base: HttpRequest, limit: int) -> tuple[_Form | None, bytes]:
    """The form, if the body is one that can be read, and the body's digest."""
    if _announced(base) > limit:
        raise _TooLarge
    if hasattr(base, "_body"):
        return _digested(base, BytesIO(_within(base.body, limit)))
    if not getattr(base, "_read_started", False):
        copy = _copied(base, limit)
        found = _digested(base, copy)
        copy.seek(0)
        return found
    if hasattr(base, "_post") and _is_form(base):
        form = _Form(base.POST, base.FILES)
        return form, form_digest(_fields(form), _files(form, limit))
    raise RateLimitError(
        f"the body of {base.method} {base.path} was read before its bucket could look at it: read request.body "
        "(which is kept) instead of the stream, or put @ratelimit above what reads it"
    )


def _announced(base: HttpRequest) -> int:
    """Content-Length; 0 where it is missing or no number, which servers refuse."""
    text = str(base.META.get("CONTENT_LENGTH") or "0")
    return int(text) if text.isdecimal() else 0


def _within(body: bytes, limit: int) -> bytes:
    if len(body) > limit:
        raise _TooLarge
    return body


def _copied(base: Any, limit: int) -> IO[bytes]:
    """A copy of the body's stream, in a file if it is long; it takes the stream's place and goes with the request."""
    copy: IO[bytes] = BytesIO()
    stream = getattr(base, "_stream", None) or BytesIO()
    while chunk := stream.read(_CHUNK):
        copy.write(chunk)
        if copy.tell() > limit:
            copy.close()
            if stream.seekable():  # an ASGI server's: a bucket that only observes lets the view read it
                stream.seek(0)
            raise _TooLarge
        if isinstance(copy, BytesIO) and copy.tell() > _IN_MEMORY:
            copy = _in_file(base, copy)
    copy.seek(0)
    base._stream = copy  # noqa: SLF001  # Django reads `body` and `POST` from here, and offers no other way
    return copy


def _in_file(base: Any, copy: BytesIO) -> IO[bytes]:
    file = TemporaryFile()  # noqa: SIM115  # the view reads it, and Django closes the request after it
    file.write(copy.getvalue())
    close = base.close

    def closing() -> None:
        file.close()
        close()

    base.close = closing
    return file


def _digested(base: HttpRequest, stream: IO[bytes]) -> tuple[_Form | None, bytes]:
    form = _parsed(base, stream) if _is_form(base) else None
    if form is not None and not _is_blurred(form):
        return form, form_digest(_fields(form), _files(form, None))
    stream.seek(0)
    return form, body_digest(iter(lambda: stream.read(_CHUNK), b""))


def _is_form(base: HttpRequest) -> bool:
    return base.content_type in (_MULTIPART, _URLENCODED)


def _parsed(base: HttpRequest, stream: Any) -> _Form | None:
    """The form; None for a body that is none, of which the view will complain. By Django's handlers: an upload
    handler serves once, and a site's own may send a file elsewhere, or count it.
    """
    try:
        if base.content_type == _URLENCODED:
            fields: MultiValueDict[str, str] = MultiValueDict()
            for name, value in urlencoded(stream.read()):
                fields.appendlist(name, value)
            return _Form(fields, MultiValueDict())
        handlers = [MemoryFileUploadHandler(base), TemporaryFileUploadHandler(base)]
        parsed, files = MultiPartParser(base.META, stream, handlers, base.encoding).parse()
    except _UNPARSABLE:
        return None
    return _Form(parsed, files) if parsed or files else None


def _is_blurred(form: _Form) -> bool:
    """Whether Django's parser put a replacement character for what was no UTF-8: different forms may look alike."""
    texts = [*form.fields, *form.files]
    texts += [str(value) for _, values in form.fields.lists() for value in values]
    texts += [file.name or "" for _, files in form.files.lists() for file in files]
    return any(_REPLACEMENT in text for text in texts)


def _fields(form: _Form) -> Iterator[tuple[str, str]]:
    for name, values in form.fields.lists():
        if name not in (_CSRF_FIELD, FIELD):
            yield from ((name, str(value)) for value in values)


def _files(form: _Form, limit: int | None) -> list[tuple[str, str, str, int, bytes]]:
    """Field, name, type, size and digest of each file; they are left as they were found, at their beginning."""
    given = [(field, file) for field, files in form.files.lists() for file in files]
    if limit is not None and sum(file.size or 0 for _, file in given) > limit:
        raise _TooLarge
    return [(field, file.name or "", file.content_type or "", file.size or 0, _content(file)) for field, file in given]


def _content(file: "UploadedFile[Any]") -> bytes:
    digest = body_digest(file.chunks())
    file.seek(0)
    return digest
