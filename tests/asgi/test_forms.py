"""Forms: equal submissions are equal, others never are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_ratelimit.forms import Form, is_form, read_form
from ratelimit_core.idempotency import body_digest

URLENCODED = "application/x-www-form-urlencoded"


def part(disposition: str, content: bytes, *more: str) -> bytes:
    head = "\r\n".join([f"Content-Disposition: form-data; {disposition}", *more])
    return head.encode() + b"\r\n\r\n" + content


def multipart(*parts: bytes, boundary: bytes = b"xx", end: bytes = b"--\r\n") -> bytes:
    return b"".join(b"--" + boundary + b"\r\n" + one + b"\r\n" for one in parts) + b"--" + boundary + end


def read(body: bytes, content_type: str = "multipart/form-data; boundary=xx") -> Form:
    form = read_form(content_type, body)
    assert form is not None
    return form


def test_fields_and_files_are_read() -> None:
    content = b"\x00\r\n--x\r\xff"
    form = read(
        multipart(
            part('name="amount"', b"5"),
            part('name="receipt"; filename="C:\\papers\\one.bin"', content, "Content-Type: application/octet-stream"),
            part('name="empty"; filename=""', b""),
            part('name="note"', "zwölf".encode()),
        )
    )
    assert form.fields == [("amount", "5"), ("note", "zwölf")]
    assert form.files == [("receipt", "one.bin", "application/octet-stream", len(content), body_digest([content]))]
    assert form.keys == []


@pytest.mark.parametrize("end", [b"--", b"--\r\n"])
@pytest.mark.parametrize("boundary", [b"xx", b"----WebKitFormBoundaryAbC", b"a b"])
def test_the_boundary_makes_no_difference(boundary: bytes, end: bytes) -> None:
    body = multipart(part('name="amount"', b"5"), boundary=boundary, end=end)
    form = read(body, f'Multipart/Form-Data; boundary="{boundary.decode()}"')
    assert form.digest() == read(multipart(part('name="amount"', b"5"))).digest()


@pytest.mark.parametrize("name", ["csrfmiddlewaretoken", "idempotency_key"])
def test_a_token_and_the_key_are_left_out_of_the_digest(name: str) -> None:
    digests = {read(f"amount=5&{name}={value}".encode(), URLENCODED).digest() for value in ("a", "b")}
    assert digests == {read(b"amount=5", URLENCODED).digest()}


def test_every_hidden_key_is_seen() -> None:
    assert read(b"idempotency_key=a&idempotency_key=b", URLENCODED).keys == ["a", "b"]


def test_a_form_of_very_many_fields_is_compared_as_it_is() -> None:
    assert read_form(URLENCODED, b"&".join([b"a"] * 10_001)) is None
    most = [part('name="a"', b"")] * 10_000
    assert len(read(multipart(*most)).fields) == 10_000
    assert read_form("multipart/form-data; boundary=xx", multipart(*most, b"")) is None


@pytest.mark.parametrize(
    "head", ["; x=y" * 100_000, '; x="' + ";" * 100_000 + '"', "\r\nX-More: y" * 100_000], ids=["many", "long", "lines"]
)
def test_a_part_that_says_more_about_itself_than_any_client_does_is_not_looked_into(head: str) -> None:
    """The email package reads such parameters in quadratic time: 500 KB of them took 17 s."""
    body = multipart(part(f'name="a"{head}', b""))
    assert read_form("multipart/form-data; boundary=xx", body) is None


@pytest.mark.parametrize(
    ("disposition", "field"),
    [
        ("name=a", "a"),
        ('name="a\\"b\\\\c"', 'a"b\\c'),
        ('NAME="a"', "a"),
        ('name = "a"', None),
        ('name="a"; name="b"', None),
        ('name="a', None),
        ('name="a" "b"', None),
        ("name*=utf-8''a", None),
    ],
)
def test_a_fields_name_is_read_as_clients_write_it(disposition: str, field: str | None) -> None:
    form = read_form("multipart/form-data; boundary=xx", multipart(part(disposition, b"1")))
    assert (None if form is None else form.fields) == (None if field is None else [(field, "1")])


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Disposition: form-data; name=a\r\nContent-Disposition: form-data; name=b",
        b"Content-Disposition: form-data;\r\n name=a",
        b"Content-Disposition: form-data; name=a\r\nno colon",
        b"Content-Type: text/plain",
    ],
)
def test_a_part_with_odd_headers_makes_no_form(head: bytes) -> None:
    assert read_form("multipart/form-data; boundary=xx", multipart(head + b"\r\n\r\n1")) is None


def test_a_file_may_name_itself_beyond_ascii() -> None:
    names = ["filename*=utf-8''%C3%A4", "filename*=utf-8''%C3%B6", 'filename="a"']
    forms = [read(multipart(part(f'name="f"; {name}', b"x"))) for name in names]
    assert len({form.digest() for form in forms}) == 3
    assert all(len(form.files) == 1 for form in forms)


def test_the_type_of_a_file_tells_forms_apart() -> None:
    forms = [
        read(multipart(part('name="f"; filename="a"', b"x", f"Content-Type: {kind}")))
        for kind in ("a/b", "a/c", "A/B;c=d")
    ]
    assert forms[0].digest() == forms[2].digest() != forms[1].digest()


def test_values_keep_their_order_within_a_field() -> None:
    one, two, three = (read(body, URLENCODED).digest() for body in (b"a=1&b=2&a=3", b"a=1&a=3&b=2", b"a=3&b=2&a=1"))
    assert one == two != three


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b"a=1&b=2", b"b=2&a=1"),
        (b"a=1", b"a=1&b="),
        (b"a=%ff", b"a=%fe"),
        (b"a=\xff", b"a=\xef\xbf\xbd"),
        (b"ab=c", b"a=bc"),
        (b"a=1&a=2", b"a=12"),
    ],
)
def test_different_fields_are_different(one: bytes, other: bytes) -> None:
    assert read(one, URLENCODED).digest() != read(other, URLENCODED).digest()


def test_a_file_is_told_by_field_name_and_content() -> None:
    files = [("a", "x", b"1"), ("b", "x", b"1"), ("a", "y", b"1"), ("a", "x", b"2"), ("a", "x", b"11")]
    bodies = [multipart(part(f'name="{field}"; filename="{name}"', content)) for field, name, content in files]
    bodies.append(multipart(part('name="a"', b"1")))
    assert len({read(body).digest() for body in bodies}) == len(bodies)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--xx",
        b"--xx\r\n",
        b"preamble\r\n" + multipart(part('name="a"', b"1")),
        multipart(part('name="a"', b"1")) + b"epilogue",
        multipart(part('name="a"', b"1"), end=b""),
        multipart(part('name="a"', b"1"), boundary=b"yy"),
        multipart(part('name="a"', b"1\r\n--xxx")),
        multipart(part("filename=a", b"1")),
        multipart(b"Content-Disposition: attachment; name=a\r\n\r\n1"),
        multipart(b"no headers"),
        multipart(part('name="a"', b"1")).replace(b"\r\n", b"\n"),
    ],
)
def test_what_looks_odd_is_no_form(body: bytes) -> None:
    assert read_form("multipart/form-data; boundary=xx", body) is None


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; x",
        f'multipart/form-data; boundary=xx; x="{";" * 60_000}"',
    ],
)
def test_without_a_boundary_there_is_no_form(content_type: str) -> None:
    assert is_form(content_type)
    assert read_form(content_type, multipart(part('name="a"', b"1"))) is None


@pytest.mark.parametrize("content_type", ["", "application/json", "text/plain; x=multipart/form-data"])
def test_other_types_are_no_forms(content_type: str) -> None:
    assert not is_form(content_type)


@given(st.text(max_size=80), st.binary(max_size=200))
def test_nothing_that_a_client_sends_raises(parameters: str, body: bytes) -> None:
    for content_type in (URLENCODED, f"multipart/form-data; {parameters}", "multipart/form-data; boundary=xx"):
        form = read_form(content_type, body)
        assert form is None or form.digest()


@given(st.lists(st.tuples(st.text("ab=&%+ü\r\n-x", min_size=1), st.binary(max_size=20)), max_size=4))
def test_what_was_written_is_read(fields: list[tuple[str, bytes]]) -> None:
    from urllib.parse import urlencode

    form = read(urlencode(fields).encode(), URLENCODED)
    assert form.fields == [(name, value.decode("utf-8", "surrogateescape")) for name, value in fields]
