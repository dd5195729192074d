"""Idempotency keys: what names the same record, and what names none."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ratelimit_core.idempotency import (
    body_digest,
    fingerprint,
    form_digest,
    read_key,
    record_name,
    said_key,
    urlencoded,
)


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
@example(",")
@example("k,k")
def test_quoted_and_bare_name_the_same_record(key: str) -> None:
    quoted = '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'
    assert read_key(quoted) == key
    said_twice = "," in key and len(set(key.split(","))) == 1
    if not key.startswith('"'):
        assert read_key(key) == (None if said_twice else key)


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


PARTS = ("POST", "shop.example", "/bookings/17/pay", "a=1", "application/json", body_digest([b"{}"]))


@pytest.mark.parametrize(
    ("place", "other"),
    list(enumerate(("PUT", "other.example", "/bookings/18/pay", "a=2", "text/plain", body_digest([b"{ }"])))),
)
def test_any_part_that_differs_is_another_request(place: int, other: object) -> None:
    changed = [*PARTS[:place], other, *PARTS[place + 1 :]]
    assert fingerprint(*changed) != fingerprint(*PARTS)  # type: ignore[arg-type]  # in their places


@given(st.lists(st.text(), min_size=5, max_size=5), st.lists(st.text(), min_size=5, max_size=5))
def test_no_two_requests_share_a_fingerprint(one: list[str], two: list[str]) -> None:
    """A hash without separators: one user got another's answer."""
    digests = {fingerprint(*parts, b"") for parts in (one, two)}  # type: ignore[arg-type, call-arg]  # five texts
    assert len(digests) == len({(*parts[:4], parts[4].partition(";")[0].strip().lower()) for parts in (one, two)})


def test_a_boundary_and_the_case_of_a_content_type_make_no_difference() -> None:
    types = ("multipart/form-data; boundary=a", "Multipart/Form-Data;boundary=b", " multipart/form-data ")
    assert len({fingerprint("POST", "h", "/", "", one, b"x") for one in types}) == 1


def test_a_body_is_the_same_however_it_arrives() -> None:
    assert body_digest([b"ab", b"", b"c"]) == body_digest([b"abc"]) != body_digest([b"ab"])


@pytest.mark.parametrize(
    ("fields", "files"),
    [
        ([("a", "1")], []),
        ([("a", "2")], []),
        ([("a", "1"), ("b", "2")], []),
        ([("b", "2"), ("a", "1")], []),
        ([("a1", "")], []),
        ([], [("a", "1", "image/png", 1, b"digest")]),
        ([], [("a", "1", "text/html", 1, b"digest")]),
        ([], [("a", "1", "image/png", 2, b"digest")]),
        ([], [("a", "1", "image/png", 1, b"other")]),
    ],
)
def test_forms_differ_in_fields_their_order_and_files(
    fields: list[tuple[str, str]], files: list[tuple[str, str, str, int, bytes]]
) -> None:
    known = form_digest([("a", "1")], []), form_digest([], [("a", "1", "image/png", 1, b"digest")])
    same = (fields, files) in [([("a", "1")], []), ([], [("a", "1", "image/png", 1, b"digest")])]
    assert (form_digest(fields, files) in known) is same


def test_a_form_of_odd_text_is_digested_all_the_same() -> None:
    assert form_digest([("\ud800", "\udfff")], [("f", "\ud800.txt", "", 0, b"")]) != form_digest([])


def test_fields_that_are_no_utf_8_are_told_apart() -> None:
    found = [urlencoded(body) for body in (b"a=%E9", b"a=%E8", b"a=%EF%BF%BD", b"a=\xe9", b"a=&b")]
    assert found == [[("a", "\udce9")], [("a", "\udce8")], [("a", "\ufffd")], [("a", "\udce9")], [("a", ""), ("b", "")]]
    assert len({form_digest(fields) for fields in found}) == 4


def test_a_form_of_very_many_fields_is_none() -> None:
    assert len(urlencoded(b"&".join([b"a"] * 10_000))) == 10_000
    with pytest.raises(ValueError, match="fields"):
        urlencoded(b"&".join([b"a"] * 10_001))


@pytest.mark.parametrize("text", ["k,k", "k, k", '"k","k"', ",", "k,k,k"])
def test_a_key_that_was_sent_twice_is_malformed(text: str) -> None:
    assert read_key(text) is None


@pytest.mark.parametrize(
    ("lines", "fields", "said"),
    [
        ([], [], None),
        (["k"], [], "k"),
        ([], ["k"], "k"),
        (['"k"'], ["k"], '"k"'),
        ([], ["k", "k"], "k"),
        ([""], [], ""),
        (["k", "k"], [], ""),
        (["k"], ["other"], ""),
        ([], ["k", "other"], ""),
        (["k"], [""], ""),
    ],
)
def test_a_request_says_one_key_or_none_that_can_be_used(lines: list[str], fields: list[str], said: str | None) -> None:
    assert said_key(lines, fields) == said


def test_an_owner_other_than_who_is_charged_has_records_of_its_own() -> None:
    names = [record_name("k", "", owner) for owner in (None, "user:1", "user:12")]
    names += [record_name(None, "f", "user:1"), record_name("owner:6:user:1:key:k", "")]
    assert len(set(names)) == len(names)
