"""Translation: what the core is told of a request, and how its refusals look."""

from pathlib import Path
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import AsyncRequestFactory, RequestFactory

from django_ratelimit_gcra.http import add_headers, denial_response, request_info, wants_html
from ratelimit_core import Denial, Identity, RequestInfo

DENIAL = Denial(
    status=429,
    title="Too Many Requests",
    detail="Slow <down>",
    code="rate_limited",
    bucket="read",
    retry_after=3,
    headers=[("Retry-After", "3"), ("Content-Type", "application/problem+json")],
    body=b'{"code": "rate_limited"}',
)
HTML = "text/html,application/xhtml+xml,*/*;q=0.8"


def test_the_core_is_told_what_it_decides_by() -> None:
    request = RequestFactory().post("/pay/?q=1", headers={"x-forwarded-for": "1.2.3.4, 5.6.7.8"})
    assert request_info(request, Identity.user(7)) == RequestInfo(
        "POST", "/pay/", "127.0.0.1", ("1.2.3.4, 5.6.7.8",), Identity.user(7)
    )


def test_the_path_is_the_sites_own_under_whatever_prefix_it_is_served() -> None:
    assert request_info(RequestFactory(SCRIPT_NAME="/shop").get("/pay/")).path == "/pay/"


def test_every_line_of_a_forwarding_header_counts() -> None:
    request = AsyncRequestFactory().get("/")
    lines = [(b"x-forwarded-for", b"1.2.3.4"), (b"x-forwarded-for", b"5.6.7.8")]
    request = type(request)({**request.scope, "headers": lines}, None)  # type: ignore[arg-type]
    assert request_info(request).forwarded_for == ("1.2.3.4,5.6.7.8",)


@pytest.mark.parametrize(("address", "peer"), [("", "unix"), ("2001:db8::1", "2001:db8::1")])
def test_a_unix_socket_behind_wsgi_has_an_empty_address(address: str, peer: str) -> None:
    assert request_info(RequestFactory(REMOTE_ADDR=address).get("/")).peer == peer


def test_a_request_without_any_address_has_no_peer() -> None:
    request = RequestFactory().get("/")
    del request.META["REMOTE_ADDR"]
    assert request_info(request).peer is None


@pytest.mark.parametrize(
    ("client", "server", "peer"),
    [
        (("203.0.113.9", 1), ("localhost", 80), "203.0.113.9"),
        (None, ("/run/site.sock", None), "unix"),
        (None, ("localhost", 80), None),
        (None, None, None),
    ],
)
def test_a_unix_socket_behind_asgi_is_a_server_without_a_port(client: Any, server: Any, peer: str | None) -> None:
    request = AsyncRequestFactory().get("/")
    request = type(request)({**request.scope, "client": client, "server": server}, None)  # type: ignore[arg-type]
    assert request_info(request).peer == peer


@pytest.mark.parametrize("accept", ["", "*/*", "application/json", "text/html;q=0.5, application/json", "image/png"])
def test_a_script_gets_a_problem(accept: str) -> None:
    response = denial_response(RequestFactory().get("/", headers={"accept": accept} if accept else {}), DENIAL)
    assert (response.status_code, response.content) == (429, DENIAL.body)
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["Retry-After"] == "3"


def test_a_person_gets_a_page_and_what_it_says_is_escaped() -> None:
    response = denial_response(RequestFactory().get("/", headers={"accept": HTML}), DENIAL)
    assert "Slow &lt;down&gt;" in response.content.decode()
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert response.headers["Retry-After"] == "3"


@pytest.mark.parametrize(("name", "status"), [("429.html", 429), ("denied.html", 429)])
def test_a_site_may_write_its_own_page(tmp_path: Path, settings: Any, name: str, status: int) -> None:
    place = tmp_path / "django_ratelimit_gcra"
    place.mkdir()
    (place / name).write_text("Ours: {{ denial.bucket }} {{ request.path }}", "utf-8")
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path], "APP_DIRS": False}]  # the demo has pages, too
    response = denial_response(RequestFactory().get("/x/", headers={"accept": HTML}), DENIAL)
    assert (response.status_code, response.content) == (status, b"Ours: read /x/")


def test_a_site_without_templates_answers_a_person_with_a_problem(settings: Any) -> None:
    settings.TEMPLATES = []
    response = denial_response(RequestFactory().get("/", headers={"accept": HTML}), DENIAL)
    assert response.content == DENIAL.body
    assert response.headers["Content-Type"] == "application/problem+json"


def test_a_header_replaces_one_of_the_same_name() -> None:
    response = HttpResponse(headers={"x-ratelimit-limit": "1"})
    add_headers(response, [("X-RateLimit-Limit", "10"), ("X-RateLimit-Limit", "9")])
    assert [value for name, value in response.items() if name.lower() == "x-ratelimit-limit"] == ["9"]


def test_an_absurdly_long_accept_header_is_not_parsed() -> None:
    """To parse it would cost more than the refusal."""
    request = RequestFactory().get("/", headers={"accept": "text/html" + ";" * 1_000})
    assert not wants_html(request)


def test_a_longer_wait_of_somebody_else_stays() -> None:
    response = HttpResponse(headers={"Retry-After": "60"})
    add_headers(response, [("Retry-After", "12")])
    assert response["Retry-After"] == "60"
    add_headers(response, [("Retry-After", "90")])
    assert response["Retry-After"] == "90"
