"""The key and the fingerprint: what a client may send, and what makes two requests the same one."""

from collections.abc import Callable
from io import BytesIO
from typing import Any, ClassVar

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.files.uploadhandler import MemoryFileUploadHandler
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from django.test.client import encode_multipart

from django_ratelimit_gcra.fingerprints import wish
from ratelimit_core import Bucket, RateLimitError
from ratelimit_core.buckets import Idempotency, StoreDown
from ratelimit_core.limiter import Options
from ratelimit_core.testing import ManualClock
from testproject import samples

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.django.paying")]

SECOND = 1_000_000
FINANCIAL = {"quota": "60/m", "burst": 60}


def bucket(**fields: Any) -> Bucket:
    shields: Any = {"idempotency": Idempotency.DERIVED, "store_down": StoreDown.CLOSED}
    return Bucket("b", quota="1/m:1", **shields, **fields)


@pytest.fixture
def browser(clock: ManualClock, settings: Any) -> Client:
    """Somebody who may pay sixty times."""
    settings.RATE_LIMIT_BUCKETS = {"financial": FINANCIAL}
    return signed_in()


def signed_in(**options: Any) -> Client:
    browser = Client(raise_request_exception=False, **options)
    browser.force_login(User.objects.create_user(f"user{User.objects.count()}"))
    return browser


def is_replay(response: Any) -> bool:
    return bool(response.headers.get("Idempotent-Replayed") == "true")


def pay(browser: Client, key: str, **options: Any) -> Any:
    return browser.post("/pay/", headers={"idempotency-key": key}, **options)


# Keys


@pytest.mark.parametrize(
    "key",
    ["", '""', "k" * 256, f'"{"k" * 256}"', '"k', "k k", "schlüssel", "k\x00", "k\x1f", "k\x7f", "ключ"],
)
def test_a_key_that_is_none_is_malformed_and_charges_nothing(browser: Client, key: str) -> None:
    refused = pay(browser, key)
    assert (refused.status_code, refused.json()["code"]) == (400, "key_malformed")
    assert refused.headers["X-RateLimit-Remaining"] == "60"
    assert not samples.calls


@pytest.mark.parametrize(
    "key", ["k", "k" * 255, "8e03978e-40d5-43dd-bc93-6894a57f9324", "!#$%&'()*+,-./:;<=>?@[]^_`{|}~"]
)
def test_a_key_is_the_same_quoted_and_bare(browser: Client, key: str) -> None:
    assert pay(browser, key).status_code == 201
    assert is_replay(pay(browser, f'"{key}"'))
    assert samples.calls == {"paid": 1}


def test_a_header_and_a_hidden_field_must_say_the_same(browser: Client) -> None:
    refused = pay(browser, "k1", data={"idempotency_key": "field"})
    assert (refused.status_code, refused.json()["code"]) == (400, "key_malformed")
    assert pay(browser, '"k1"', data={"idempotency_key": "k1"}).json()["run"] == 1
    assert is_replay(browser.post("/pay/", {"idempotency_key": "k1"}))


def test_two_hidden_fields_must_say_the_same(browser: Client) -> None:
    refused = browser.post("/pay/", {"idempotency_key": ["a", "b"]})
    assert (refused.status_code, refused.json()["code"]) == (400, "key_malformed")


@pytest.mark.parametrize("text", ["k1,k1", "k1, k1"])
def test_a_key_that_a_proxy_sent_twice_is_malformed(browser: Client, text: str) -> None:
    refused = pay(browser, text)
    assert (refused.status_code, refused.json()["code"]) == (400, "key_malformed")


def test_an_empty_hidden_field_is_malformed(browser: Client) -> None:
    assert browser.post("/pay/", {"idempotency_key": ""}).json()["code"] == "key_malformed"


def test_fields_that_are_no_utf_8_make_another_payment(browser: Client, clock: ManualClock) -> None:
    bodies = ["to=caf%E9", "to=caf%E8", "to=caf%EF%BF%BD"]
    found = []
    for body in bodies:
        found.append(browser.post("/pay/", body, content_type="application/x-www-form-urlencoded").json()["run"])
        clock.advance_us(12_000_000)
    assert found == [1, 2, 3]


def test_parts_that_are_no_utf_8_make_another_payment(browser: Client, clock: ManualClock) -> None:
    found = []
    for letter in (b"\xe9", b"\xe8"):
        part = b'--x\r\nContent-Disposition: form-data; name="to"\r\n\r\ncaf' + letter + b"\r\n--x--\r\n"
        found.append(browser.post("/pay/", part, content_type="multipart/form-data; boundary=x").json()["run"])
        clock.advance_us(12_000_000)
    assert found == [1, 2]


def test_the_key_in_a_form_counts_though_another_field_is_no_utf_8(browser: Client) -> None:
    for body in ("idempotency_key=k1&to=%E9", "to=%E9&idempotency_key=k1"):
        assert browser.post("/pay/", body, content_type="application/x-www-form-urlencoded").json()["run"] == 1


def test_a_bucket_may_require_a_key(browser: Client, settings: Any) -> None:
    settings.RATE_LIMIT_BUCKETS = {"financial": {**FINANCIAL, "idempotency": "required"}}
    refused = browser.post("/pay/")
    assert (refused.status_code, refused.json()["code"]) == (400, "key_required")
    assert pay(browser, "k1").status_code == 201


def test_a_bucket_may_leave_it_to_the_client(browser: Client, settings: Any) -> None:
    settings.RATE_LIMIT_BUCKETS = {"financial": {**FINANCIAL, "idempotency": "optional"}}
    assert [browser.post("/pay/").json()["run"] for _ in range(2)] == [1, 2]
    assert [pay(browser, "k1").json()["run"] for _ in range(2)] == [3, 3]


# Forms


def multipart(boundary: str, token: str, content: str = "cv", name: str = "cv.txt") -> dict[str, Any]:
    fields = {"amount": "7", "csrfmiddlewaretoken": token, "paper": SimpleUploadedFile(name, content.encode())}
    return {
        "data": encode_multipart(boundary, fields),
        "content_type": f"multipart/form-data; boundary={boundary}",
    }


def test_equal_multipart_submissions_are_equal_whatever_their_boundaries_and_tokens(browser: Client) -> None:
    first = browser.post("/reads/", **multipart("one", "a" * 64))
    again = browser.post("/reads/", **multipart("two", "b" * 64))
    assert first.json()["files"] == ["cv"]
    assert is_replay(again)
    assert not is_replay(browser.post("/reads/", **multipart("one", "a" * 64, "other")))
    assert not is_replay(browser.post("/reads/", **multipart("one", "a" * 64, name="b.txt")))


def test_a_form_that_the_csrf_check_has_read_is_told_apart_all_the_same(clock: ManualClock, settings: Any) -> None:
    settings.RATE_LIMIT_BUCKETS = {"financial": FINANCIAL}
    browser = signed_in(enforce_csrf_checks=True)
    browser.get("/form/")
    token = browser.cookies["csrftoken"].value
    first = browser.post("/reads/", **multipart("one", token))
    assert (first.status_code, first.json()["files"]) == (200, ["cv"])
    assert is_replay(browser.post("/reads/", **multipart("two", token)))
    assert not is_replay(browser.post("/reads/", **multipart("two", token, "other")))


def test_the_order_of_fields_and_a_moved_border_make_another_request(rf: RequestFactory) -> None:
    def of(data: str) -> Options:
        return wish(rf.post("/", data, content_type="application/x-www-form-urlencoded"), bucket())

    forms = ["a=1&b=2", "b=2&a=1", "a=1&a=2", "a=2&a=1", "a=12", "a1=2", "a=1", "a=1&b=", ""]
    assert len({of(data)["fingerprint"] for data in forms}) == len(forms)
    assert of("a=1&csrfmiddlewaretoken=x") == of("csrfmiddlewaretoken=y&a=1")
    assert of("a=1&idempotency_key=k") == {**of("a=1"), "idempotency_key": "k"}


@pytest.mark.parametrize("content_type", ["multipart/form-data; boundary=x", "multipart/form-data"])
def test_a_form_that_is_none_is_told_apart_by_its_bytes(rf: RequestFactory, content_type: str) -> None:
    found = [wish(rf.post("/", data, content_type=content_type), bucket()) for data in (b"junk", b"jank", b"junk")]
    assert found[0] == found[2] != found[1]


def test_a_put_of_a_form_is_a_form_too(rf: RequestFactory) -> None:
    one, two = (
        wish(
            rf.put("/", encode_multipart(name, {"a": "1"}), content_type=f"multipart/form-data; boundary={name}"),
            bucket(),
        )
        for name in ("one", "two")
    )
    assert one == two


# Bodies


@pytest.mark.parametrize("size", [0, 10, 3 * 1024 * 1024])
def test_the_view_reads_the_body_as_if_nobody_had(browser: Client, size: int) -> None:
    body = b"x" * size
    response = browser.post("/reads-body/", body, content_type="application/octet-stream")
    assert response.content == body


def test_a_cached_body_is_told_apart(rf: RequestFactory) -> None:
    def of(data: bytes, cached: bool) -> Options:
        request = rf.post("/", data, content_type="application/json")
        assert not cached or request.body == data
        return wish(request, bucket())

    assert of(b"1", cached=True) == of(b"1", cached=False) != of(b"2", cached=True)


def test_a_content_type_is_taken_without_its_parameters(rf: RequestFactory) -> None:
    plain, with_charset, other = (
        wish(rf.post("/", b"1", content_type=kind), bucket())
        for kind in ("application/json", "application/json; charset=utf-8", "text/plain")
    )
    assert plain == with_charset != other


def test_host_method_path_and_query_are_told_apart(rf: RequestFactory) -> None:
    requests = [rf.post("/"), rf.put("/"), rf.post("/a"), rf.post("/?a"), rf.post("/", headers={"host": "localhost"})]
    assert len({wish(request, bucket())["fingerprint"] for request in requests}) == len(requests)


def test_a_request_without_a_body_has_a_fingerprint() -> None:
    request = HttpRequest()
    request.META = {"SERVER_NAME": "testserver", "SERVER_PORT": "80", "CONTENT_LENGTH": "many"}
    assert wish(request, bucket())["fingerprint"]


def test_a_body_above_the_limit_is_413_and_charges_nothing(browser: Client, settings: Any) -> None:
    settings.RATE_LIMIT_BUCKETS = {"financial": {**FINANCIAL, "max_body": 10}}
    refused = browser.post("/reads-body/", b"x" * 11, content_type="text/plain")
    assert (refused.status_code, refused.json()["code"]) == (413, "body_too_large")
    assert refused.headers["X-RateLimit-Remaining"] == "60"
    assert "Retry-After" not in refused.headers
    assert browser.post("/reads-body/", b"x" * 10, content_type="text/plain").content == b"x" * 10


def unannounced(rf: RequestFactory, size: int) -> HttpRequest:
    request = rf.post("/", b"", content_type="text/plain")
    request.META["CONTENT_LENGTH"] = ""
    request._stream = BytesIO(b"x" * size)  # as an ASGI server's chunked body
    return request


def read_body(request: HttpRequest) -> None:
    assert request.body
    request.META["CONTENT_LENGTH"] = ""


def test_a_body_of_unannounced_length_is_measured(rf: RequestFactory) -> None:
    assert "fingerprint" in wish(unannounced(rf, 10), bucket(max_body=10))
    assert wish(unannounced(rf, 11), bucket(max_body=10)) == {"idempotency_key": None, "too_large": True}
    read = unannounced(rf, 11)
    read_body(read)
    assert wish(read, bucket(max_body=10)) == {"idempotency_key": None, "too_large": True}


@pytest.mark.parametrize("size", [11, 200_000])
def test_a_body_that_is_too_large_is_whole_for_a_view_that_runs_all_the_same(rf: RequestFactory, size: int) -> None:
    """A bucket that only observes refuses nobody."""
    request = unannounced(rf, size)
    assert "too_large" in wish(request, bucket(max_body=10))
    assert len(request.read()) == size


def test_a_form_that_was_read_is_measured_by_its_files(rf: RequestFactory) -> None:
    request = rf.post("/", {"a": SimpleUploadedFile("a", b"x" * 11)})
    assert len(request.FILES) == 1
    request.META["CONTENT_LENGTH"] = ""
    assert "too_large" in wish(request, bucket(max_body=10))


def test_a_body_that_was_lost_is_an_error_that_says_so(browser: Client, rf: RequestFactory) -> None:
    request = rf.post("/", b"1", content_type="text/plain")
    request.read()
    with pytest.raises(RateLimitError, match=r"POST / was read before its bucket could look at it"):
        wish(request, bucket())
    browser.raise_request_exception = True
    with pytest.raises(RateLimitError):
        browser.post("/eaten/", b"1", content_type="text/plain")
    assert not samples.calls


def reading(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """A middleware that looks at every body."""

    def middleware(request: HttpRequest) -> HttpResponse:
        assert request.body is not None
        return get_response(request)

    return middleware


class Counting(MemoryFileUploadHandler):
    """An upload handler that sends files elsewhere."""

    sent: ClassVar[list[str]] = []

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        self.sent.append(args[1])
        super().new_file(*args, **kwargs)


def test_a_sites_own_upload_handlers_see_a_file_once(browser: Client, settings: Any) -> None:
    """A fingerprint is no reason to scan a file for viruses, or to send it to a bucket, a second time."""
    settings.FILE_UPLOAD_HANDLERS = [f"{__name__}.Counting"]
    Counting.sent.clear()
    assert browser.post("/reads/", **multipart("one", "a")).json()["files"] == ["cv"]
    assert len(Counting.sent) == 1


def test_a_middleware_may_read_the_body_first(browser: Client, settings: Any) -> None:
    settings.MIDDLEWARE = [f"{__name__}.reading", *settings.MIDDLEWARE]
    assert browser.post("/reads/", **multipart("one", "a")).json()["files"] == ["cv"]
    assert is_replay(browser.post("/reads/", **multipart("two", "b")))


def test_a_plain_bucket_reads_no_body(settings: Any, clock: ManualClock) -> None:
    settings.RATE_LIMIT_RULES = [{"bucket": "write", "path": "/ruled/"}]
    settings.RATE_LIMIT_BUCKETS = {"financial": {"max_body": 0}}
    assert signed_in().post("/ruled/", {"a": "1"}).status_code == 201
