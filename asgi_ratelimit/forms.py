"""The fields and files of a form's body, so that equal submissions are equal whatever their boundaries are.

The splitter takes what browsers and HTTP libraries write and nothing else: whatever looks odd is no form here and is
compared byte by byte, because two different payments must never look alike.
"""

from email import message_from_string
from email.message import Message
from typing import Any, NamedTuple, TypeVar

from ratelimit_core.idempotency import body_digest, form_digest, text, urlencoded

_URLENCODED = "application/x-www-form-urlencoded"
_MULTIPART = "multipart/form-data"
_KEY = "idempotency_key"
_LEFT_OUT = frozenset({"csrfmiddlewaretoken", _KEY})
Entry = TypeVar("Entry", bound=tuple[Any, ...])


class Form(NamedTuple):
    """Fields as (name, value), files as (field, name, type, size in bytes, digest), in the body's order."""

    fields: list[tuple[str, str]]
    files: list[tuple[str, str, str, int, bytes]]

    def add_file(self, field: str, filename: str, content_type: str, content: bytes) -> None:
        """Take a file in; some old browsers send its whole path."""
        name = filename.replace("\\", "/").rpartition("/")[2]
        self.files.append((field, name, content_type, len(content), body_digest([content])))

    @property
    def keys(self) -> list[str]:
        """The idempotency keys of the hidden field: one, unless the form was tampered with."""
        return [value for name, value in self.fields if name == _KEY]

    def digest(self) -> bytes:
        """What the form says, without what differs between equal submissions; several values of a field together."""
        fields = [field for field in self.fields if field[0] not in _LEFT_OUT]
        return form_digest(_together(fields), _together(self.files))


def is_form(content_type: str) -> bool:
    """Whether a body of this type has fields."""
    return _plain(content_type) in (_URLENCODED, _MULTIPART)


def read_form(content_type: str, body: bytes) -> Form | None:
    """The form in a body, or None where it is none that can be read."""
    if _plain(content_type) == _URLENCODED:
        try:
            return Form(urlencoded(body), [])
        except ValueError:
            return None
    header = Message()
    header["Content-Type"] = content_type
    boundary = header.get_boundary()
    return None if boundary is None else _multipart(boundary.encode("utf-8", "surrogatepass"), body)


def _plain(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _multipart(boundary: bytes, body: bytes) -> Form | None:
    first, *parts = (b"\r\n" + body).split(b"\r\n--" + boundary)
    if first or not parts or parts.pop() not in (b"--", b"--\r\n"):
        return None
    form = Form([], [])
    for part in parts:
        if not _take(part, form):
            return None
    return form


def _take(part: bytes, form: Form) -> bool:
    """Put one part into the form; False if it is no field and no file."""
    head, blank, content = part.partition(b"\r\n\r\n")
    if not blank or not head.startswith(b"\r\n"):
        return False
    headers = message_from_string(text(head[2:]) + "\r\n\r\n")
    name = headers.get_param("name", header="content-disposition")
    if headers.get_content_disposition() != "form-data" or not isinstance(name, str):
        return False
    filename = headers.get_filename()
    if filename is None:
        form.fields.append((name, text(content)))
    elif filename or content:  # a file input that was left empty is no file
        form.add_file(name, filename, _plain(headers.get("content-type", "")), content)
    return True


def _together(entries: list[Entry]) -> list[Entry]:
    """What has the same name stands together, at the place of the first."""
    places: dict[object, int] = {}
    for entry in entries:
        places.setdefault(entry[0], len(places))
    return sorted(entries, key=lambda entry: places[entry[0]])
