"""The fields and files of a form's body, so that equal submissions are equal whatever their boundaries are.

The splitter takes what browsers and HTTP libraries write and nothing else: whatever looks odd is no form here and is
compared byte by byte, because two different payments must never look alike.
"""

import re
from typing import Any, NamedTuple, TypeVar

from ratelimit_core.idempotency import MOST_FIELDS, body_digest, form_digest, text, urlencoded

_URLENCODED = "application/x-www-form-urlencoded"
_MULTIPART = "multipart/form-data"
_KEY = "idempotency_key"
_LEFT_OUT = frozenset({"csrfmiddlewaretoken", _KEY})
# RFC 9110 section 5.6.6. Read in linear time, and not at all beyond a length: the email package takes quadratic time.
_LONGEST_HEAD = 4096
_PARAMETER = r';[ \t]*([\w*-]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s;"\\]+))[ \t]*'
_ONE_PARAMETER = re.compile(_PARAMETER)
_PARAMETERS = re.compile(f"[^;]*(?:{_PARAMETER})*")
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
    boundary = (_parameters(content_type) or {}).get("boundary")
    return _multipart(boundary.encode("utf-8", "surrogatepass"), body) if boundary else None


def _plain(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _multipart(boundary: bytes, body: bytes) -> Form | None:
    first, *parts = (b"\r\n" + body).split(b"\r\n--" + boundary, MOST_FIELDS + 1)
    if first or not parts or parts.pop() not in (b"--", b"--\r\n"):
        return None  # also where there are more: then the last one is no end
    form = Form([], [])
    for part in parts:
        if not _take(part, form):
            return None
    return form


def _take(part: bytes, form: Form) -> bool:
    """Put one part into the form; False if it is no field and no file."""
    head, blank, content = part.partition(b"\r\n\r\n")
    headers = _headers(head) if blank else {}
    disposition = headers.get("content-disposition", "")
    said = _parameters(disposition) if _plain(disposition) == "form-data" else None
    if said is None or "name" not in said:
        return False
    filename = said.get("filename", said.get("filename*"))
    if filename is None:
        form.fields.append((said["name"], text(content)))
    elif filename or content:  # a file input that was left empty is no file
        form.add_file(said["name"], filename, _plain(headers.get("content-type", "")), content)
    return True


def _headers(head: bytes) -> dict[str, str]:
    """A part's headers by their names in lower case; none where they look odd."""
    first, *lines = text(head).split("\r\n") if len(head) <= _LONGEST_HEAD else [""]
    pairs = [line.partition(":") for line in lines]
    headers = {name.lower(): value.strip() for name, colon, value in pairs if colon and not name[:1].isspace()}
    return headers if not first and len(headers) == len(lines) else {}


def _parameters(value: str) -> dict[str, str] | None:
    """A header's parameters, `a/b; name="value"; name=value`; None where they look odd."""
    if len(value) > _LONGEST_HEAD or not _PARAMETERS.fullmatch(value):
        return None
    found = [
        (one[1].lower(), one[3] or re.sub(r'\\(["\\])', r"\1", one[2] or "")) for one in _ONE_PARAMETER.finditer(value)
    ]
    return dict(found) if len(dict(found)) == len(found) else None


def _together(entries: list[Entry]) -> list[Entry]:
    """What has the same name stands together, at the place of the first."""
    places: dict[object, int] = {}
    for entry in entries:
        places.setdefault(entry[0], len(places))
    return sorted(entries, key=lambda entry: places[entry[0]])
