"""Idempotency keys: what names the same record, and what names none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit_core.idempotency import read_key, record_name


@pytest.mark.parametrize(
    ("header", "key"),
    [
        ("8e03978e-40d5-43e8-bc93-6894a57f9324", "8e03978e-40d5-43e8-bc93-6894a57f9324"),
        ('"8e03978e-40d5-43e8-bc93-6894a57f9324"', "8e03978e-40d5-43e8-bc93-6894a57f9324"),
        ("  a\t", "a"),
        ('"a"', "a"),
        (r'"a\"b\\c"', 'a"b\\c'),
        ('a"b', 'a"b'),
        ("x" * 255, "x" * 255),
        ('"' + "x" * 255 + '"', "x" * 255),
    ],
)
def test_a_key_is_read_quoted_and_bare(header: str, key: str) -> None:
    assert read_key(header) == key


@pytest.mark.parametrize(
    "header",
    ["", " ", '""', '"', '"a', 'a b', '"a b"', "a\nb", "a\x00", "\x7f", "schlüssel", '"schlüssel"', "x" * 256,
     '"' + "x" * 256 + '"', '"a\\x"', "\ud800", '"a"; p=1'],
)  # fmt: skip
def test_a_key_that_is_empty_too_long_or_not_visible_ascii_is_malformed(header: str) -> None:
    assert read_key(header) is None


@given(st.text(alphabet=[chr(code) for code in range(0x21, 0x7F)], min_size=1, max_size=255))
def test_quoted_and_bare_name_the_same_record(key: str) -> None:
    quoted = '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'
    assert read_key(quoted) == key
    if not key.startswith('"'):
        assert read_key(key) == key


@given(st.text(max_size=300))
def test_no_text_from_outside_raises(header: str) -> None:
    key = read_key(header)
    assert key is None or 1 <= len(key) <= 255


def test_an_explicit_key_names_the_record_whatever_the_request() -> None:
    """The fingerprint is compared, so that another request under the same key is refused, not run."""
    assert record_name("a", "x") == record_name("a", "y") != record_name("b", "x")


def test_without_a_key_the_request_names_the_record() -> None:
    assert record_name(None, "x") != record_name(None, "y")


def test_a_key_never_names_a_derived_record() -> None:
    assert len({record_name("x", "y"), record_name(None, "x"), record_name(None, "key:x")}) == 3
    assert len(record_name("x", "y")) == len(record_name(None, "x")) == 64
