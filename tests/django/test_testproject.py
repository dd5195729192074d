"""The demo itself, with the limiter switched off: a site that is broken proves nothing about the limiter in it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import AsyncClient, Client
from django.urls import reverse

from testproject import samples
from testproject.marketplace.demo import create_demo_data, demo_token
from testproject.marketplace.models import Booking, Charge, Instructor, Payment, Payout

pytestmark = pytest.mark.django_db

HTML = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
JSON = {"accept": "application/json"}
ANY = {"accept": "*/*"}
GOOD_CARD = "4242424242424242"
DECLINED_CARD = "4000000000000002"


@pytest.fixture(autouse=True)
def no_limits(settings: Any) -> None:
    """Switch the limiter off and hash passwords fast."""
    settings.RATE_LIMIT_ENABLED = False
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(autouse=True)
def demo(no_limits: None) -> None:
    """The demo's data, and fresh counters."""
    create_demo_data()
    samples.reset()


@pytest.fixture
def alice(client: Client) -> Client:
    """A browser in which alice is logged in."""
    client.force_login(User.objects.get(username="alice"))
    return client


@pytest.fixture
def bob(client: Client) -> Client:
    """A browser in which bob, an instructor, is logged in."""
    client.force_login(User.objects.get(username="bob"))
    return client


def booking_of(username: str) -> Booking:
    booking: Booking = Booking.objects.filter(student__username=username)[0]
    return booking


def pay_url(username: str = "alice") -> str:
    return reverse("pay", args=[booking_of(username).pk])


def token(username: str) -> dict[str, str]:
    return {"authorization": f"Token {demo_token(username)}"}


def post_json(client: Client, url: str, fields: Any, headers: Mapping[str, str] = JSON) -> Any:
    return client.post(url, json.dumps(fields), content_type="application/json", headers=dict(headers))


# Pages


@pytest.mark.parametrize("name", ["home", "search", "login", "instructor", "profile", "bookings", "booking", "pay"])
def test_each_page_answers_a_script_and_a_person(alice: Client, name: str) -> None:
    ids = {
        "instructor": Instructor.objects.all()[0].pk,
        "booking": booking_of("alice").pk,
        "pay": booking_of("alice").pk,
    }
    url = reverse(name, args=[ids[name]] if name in ids else [])
    page, data, curl = (alice.get(url, headers=accept) for accept in (HTML, JSON, ANY))
    assert page.status_code == data.status_code == curl.status_code == 200
    assert "<h1>" in page.content.decode()
    assert isinstance(data.json(), dict)
    assert curl["Content-Type"] == "application/json"
    assert all("Accept" in response["Vary"] for response in (page, data, curl))


def test_an_instructor_sees_payouts(bob: Client) -> None:
    assert bob.get("/payouts/", headers=JSON).json() == {"payouts": []}
    assert "<h1>Payouts" in bob.get("/payouts/", headers=HTML).content.decode()


def test_a_student_has_no_payouts(alice: Client) -> None:
    assert alice.get("/payouts/", headers=JSON).status_code == 403


def test_health_touches_neither_session_nor_database(client: Client, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        response = client.get("/health/")
    assert response.json() == {"status": "ok"}
    assert "Cookie" not in response.headers.get("Vary", "")


def test_a_json_search_does_not_vary_by_cookie(client: Client) -> None:
    assert "Cookie" not in client.get("/instructors/", headers=JSON)["Vary"]


def test_search_looks_at_name_subject_and_city(client: Client) -> None:
    def names(query: str) -> list[str]:
        return [one["name"] for one in client.get("/instructors/", {"q": query}, headers=JSON).json()["instructors"]]

    assert names("zurich") == ["Ada Green", "Elin Berg"]
    assert names("guitar") == ["Ben Okafor"]
    assert names("rossi") == ["Chiara Rossi"]
    assert len(names("")) == 5


def test_a_search_too_long_is_refused(client: Client) -> None:
    response = client.get("/instructors/", {"q": "x" * 81}, headers=JSON)
    assert response.status_code == 400
    assert "q" in response.json()["errors"]


@pytest.mark.parametrize("path", ["/profile/", "/bookings/", "/bookings/1/", "/bookings/1/pay/", "/payouts/"])
def test_anonymous_scripts_get_401_and_people_the_login_page(client: Client, path: str) -> None:
    assert client.get(path, headers=JSON).status_code == 401
    assert client.get(path, headers=HTML)["Location"] == f"/login/?next={path}"


@pytest.mark.parametrize("suffix", ["", "pay/"])
def test_nobody_sees_the_bookings_of_another(alice: Client, suffix: str) -> None:
    assert alice.get(f"/bookings/{booking_of('bob').pk}/{suffix}", headers=JSON).status_code == 404


# Accounts


def test_a_person_logs_in_with_the_forms_csrf_token_and_out_again() -> None:
    browser = Client(enforce_csrf_checks=True)
    fields = {"username": "alice", "password": "alice"}
    assert browser.post("/login/", fields, headers=HTML).status_code == 403
    fields["csrfmiddlewaretoken"] = browser.get("/login/", headers=JSON).json()["csrf_token"]
    assert browser.post("/login/?next=/bookings/", fields, headers=HTML)["Location"] == "/bookings/"
    page = browser.get("/profile/", headers=HTML)
    assert "Log out alice" in page.content.decode()
    token = {"csrfmiddlewaretoken": page.context["csrf_token"]}
    assert browser.post("/logout/", token, headers=HTML)["Location"] == "/"
    assert browser.get("/profile/", headers=JSON).status_code == 401


def test_a_script_logs_in_with_json_and_out_again() -> None:
    script = Client(enforce_csrf_checks=True)
    header = {**JSON, "x-csrftoken": script.get("/login/", headers=JSON).json()["csrf_token"]}
    answer = post_json(script, "/login/", {"username": "alice", "password": "alice"}, header)
    assert answer.json()["username"] == "alice"
    assert script.get("/profile/", headers=JSON).json()["username"] == "alice"
    header["x-csrftoken"] = answer.json()["csrf_token"]
    assert script.post("/logout/", headers=header).json() == {"username": None}


@pytest.mark.parametrize("accept", [HTML, JSON])
def test_a_wrong_password_is_refused(client: Client, accept: dict[str, str]) -> None:
    response = client.post("/login/", {"username": "alice", "password": "bob"}, headers=accept)
    assert response.status_code == 400
    assert "_auth_user_id" not in client.session


def test_login_redirects_to_no_foreign_site(client: Client) -> None:
    fields = {"username": "alice", "password": "alice"}
    assert client.post("/login/?next=https://elsewhere.example/", fields, headers=HTML)["Location"] == "/profile/"


# Bookings and money


@pytest.mark.parametrize(("accept", "status"), [(HTML, 302), (JSON, 201)])
def test_a_booking_is_made(alice: Client, accept: dict[str, str], status: int) -> None:
    fields = {"instructor": Instructor.objects.get(name="Elin Berg").pk, "starts_at": "2031-02-03T10:00"}
    assert alice.post("/bookings/", fields, headers=accept).status_code == status
    booking = Booking.objects.get(instructor__name="Elin Berg", student__username="alice")
    assert booking.starts_at.isoformat() == "2031-02-03T10:00:00+00:00"


@pytest.mark.parametrize("accept", [HTML, JSON])
def test_an_impossible_booking_is_explained(alice: Client, accept: dict[str, str]) -> None:
    response = alice.post("/bookings/", {"instructor": "0", "starts_at": "soon"}, headers=accept)
    assert response.status_code == 400
    assert "valid date/time" in response.content.decode()


@pytest.mark.parametrize(("accept", "status"), [(HTML, 302), (JSON, 201)])
def test_a_payment_writes_one_ledger_row(alice: Client, accept: dict[str, str], status: int) -> None:
    assert alice.post(pay_url(), {"card": GOOD_CARD}, headers=accept).status_code == status
    charge = Charge.objects.get()
    assert (charge.kind, charge.user.username, charge.amount_cents) == ("payment", "alice", 6000)
    assert charge.reference == f"booking:{booking_of('alice').pk}"
    assert Payment.objects.get().charge == charge


def test_a_payment_by_json_body_writes_one_ledger_row(alice: Client) -> None:
    assert post_json(alice, pay_url(), {"card": GOOD_CARD}).json()["amount"] == "60.00 EUR"
    assert Charge.objects.count() == 1


def test_two_runs_of_a_payment_are_two_effects(alice: Client) -> None:
    for _ in range(2):
        alice.post(pay_url(), {"card": GOOD_CARD}, headers=JSON)
    assert Charge.objects.count() == 2, "the marketplace must not hide what the limiter lets through"
    assert alice.get("/profile/", headers=JSON).json()["bookings"][0]["payments"] == 2


def test_the_person_is_told_about_the_payment(alice: Client) -> None:
    response = alice.post(pay_url(), {"card": GOOD_CARD}, headers=HTML, follow=True)
    assert "Paid 60.00 EUR" in response.content.decode()


@pytest.mark.parametrize("accept", [HTML, JSON])
@pytest.mark.parametrize(("card", "status"), [(DECLINED_CARD, 402), ("12", 400), ("", 400)])
def test_a_card_that_is_not_charged_leaves_no_row(
    alice: Client, accept: dict[str, str], card: str, status: int
) -> None:
    assert alice.post(pay_url(), {"card": card}, headers=accept).status_code == status
    assert not Charge.objects.exists()


@pytest.mark.parametrize("body", ["{", "[]", "7", '{"card": {}}', '{"card": null}', "[" * 200_000, '"\ud800"'])
def test_a_body_that_is_no_flat_json_object_is_refused(alice: Client, body: str) -> None:
    raw = body.encode("utf-8", "surrogatepass")
    assert alice.post(pay_url(), raw, content_type="application/json", headers=JSON).status_code == 400
    assert not Charge.objects.exists()


@pytest.mark.parametrize(("accept", "status"), [(HTML, 302), (JSON, 201)])
def test_a_payout_writes_one_ledger_row(bob: Client, accept: dict[str, str], status: int) -> None:
    assert bob.post("/payouts/", {"amount_cents": 2500}, headers=accept).status_code == status
    assert (Charge.objects.get().kind, Charge.objects.get().amount_cents) == ("payout", 2500)
    assert Payout.objects.get().instructor.name == "Ada Green"


def test_an_impossible_payout_leaves_no_row(bob: Client) -> None:
    assert bob.post("/payouts/", {"amount_cents": -1}, headers=HTML).status_code == 400
    assert not Charge.objects.exists()


# REST API


def test_the_api_is_searched_by_everybody(client: Client) -> None:
    assert [one["name"] for one in client.get("/api/instructors/?q=piano").json()] == ["Ada Green"]


def test_the_api_books_and_charges_for_a_token(client: Client) -> None:
    fields = {"instructor": Instructor.objects.get(name="Elin Berg").pk, "starts_at": "2031-02-03T10:00Z"}
    booked = client.post("/api/bookings/", fields, headers=token("alice"))
    paid = client.post(f"/api/bookings/{booked.json()['id']}/pay/", {"card": GOOD_CARD}, headers=token("alice"))
    assert (booked.status_code, paid.status_code) == (201, 201)
    assert Charge.objects.get().user.username == "alice"


@pytest.mark.parametrize(("card", "status"), [(DECLINED_CARD, 402), ("12", 400)])
def test_the_api_leaves_no_row_for_a_card_that_is_not_charged(client: Client, card: str, status: int) -> None:
    response = client.post(reverse("api-pay", args=[booking_of("alice").pk]), {"card": card}, headers=token("alice"))
    assert response.status_code == status
    assert not Charge.objects.exists()


@pytest.mark.parametrize("headers", [{}, {"authorization": "Token " + "x" * 40}])
def test_the_api_wants_a_known_user_for_writes(client: Client, headers: dict[str, str]) -> None:
    for url in ("/api/bookings/", reverse("api-pay", args=[booking_of("alice").pk])):
        assert client.post(url, headers=headers).status_code == 401


# Demo data


def test_demo_data_can_be_created_again() -> None:
    def counts() -> list[int]:
        return [model.objects.count() for model in (User, Instructor, Booking)]

    before = counts()
    call_command("demo_data", force=True, verbosity=0)
    assert counts() == before == [4, 5, 4]
    assert User.objects.get(username="alice").check_password("alice")
    assert User.objects.get(username="admin").is_superuser
    assert len(demo_token("alice")) == 40


def test_demo_data_refuses_a_site_without_debug(settings: Any) -> None:
    settings.DEBUG = False
    with pytest.raises(CommandError, match="--force"):
        call_command("demo_data")


# CORS, static files, the admin, samples


def test_a_page_of_an_allowed_origin_may_read_the_rate_headers(client: Client) -> None:
    response = client.get("/instructors/", headers={"origin": "http://localhost:3000"})
    exposed = response["Access-Control-Expose-Headers"]
    assert "Retry-After" in exposed
    assert "X-RateLimit-Remaining" in exposed
    other = client.get("/instructors/", headers={"origin": "https://elsewhere.example"})
    assert "Access-Control-Allow-Origin" not in other


def test_an_allowed_origin_may_send_an_idempotency_key(client: Client) -> None:
    headers = {
        "origin": "http://localhost:3000",
        "access-control-request-method": "POST",
        "access-control-request-headers": "idempotency-key",
    }
    assert "idempotency-key" in client.options("/bookings/1/pay/", headers=headers)["Access-Control-Allow-Headers"]


def test_the_admin_answers(admin_client: Client) -> None:
    assert admin_client.get("/admin/marketplace/charge/").status_code == 200


@pytest.mark.parametrize(
    ("path", "method", "name"),
    [
        ("plain/", "get", "plain"),
        ("undecorated/", "get", "undecorated"),
        ("exempted/", "get", "exempted"),
        ("async/", "get", "async_view"),
        ("decorated-class/", "get", "decorated_class"),
        ("decorated-class/", "post", "decorated_class"),
        ("decorated-method/", "get", "decorated_method_get"),
        ("decorated-method/", "post", "decorated_method_post"),
        ("decorated-dispatch/", "post", "decorated_dispatch"),
        ("async-class/", "get", "async_class"),
        ("hidden/", "get", "hidden"),
        ("weighted/?items=3", "get", "weighted"),
        ("stacked/", "get", "stacked"),
        ("paid/", "post", "paid"),
    ],
)
def test_each_sample_counts_its_runs(client: Client, path: str, method: str, name: str) -> None:
    assert getattr(client, method)(f"/samples/{path}").json() == {"view": name, "method": method.upper()}
    assert samples.calls == {name: 1}


@pytest.mark.parametrize("prefix", ["", "async-"])
@pytest.mark.parametrize(("failure", "status"), [("runtime", 500), ("missing", 404), ("denied", 403)])
def test_each_failing_sample_counts_its_runs(client: Client, prefix: str, failure: str, status: int) -> None:
    client.raise_request_exception = False
    assert client.get(f"/samples/{prefix}raising/{failure}/").status_code == status
    assert samples.calls == {f"{prefix.replace('-', '_')}raising_{failure}": 1}


def test_the_stream_has_several_chunks(client: Client) -> None:
    assert list(client.get("/samples/stream/")) == [b"one ", b"two ", b"three ", b"four"]
    assert samples.calls == {"stream": 1}


def test_the_async_stream_has_several_chunks() -> None:
    async def chunks() -> list[bytes]:
        response: Any = await AsyncClient().get("/samples/async-stream/")
        return [chunk async for chunk in response]

    assert asyncio.run(chunks()) == [b"one ", b"two ", b"three ", b"four"]
    assert samples.calls == {"async_stream": 1}


# Pages with scripts


def test_a_session_is_asked_for_by_its_cookie(client: Client, alice: Client) -> None:
    assert alice.get("/session/").json() == {"username": "alice"}
    client.logout()
    assert client.get("/session/").status_code == 401


def test_a_script_is_told_where_the_person_wanted_to_go(client: Client) -> None:
    fields = {"username": "alice", "password": "alice"}
    assert post_json(client, "/login/?next=/bookings/", fields).json()["next"] == "/bookings/"
    assert post_json(client, "/login/?next=https://elsewhere.example/", fields).json()["next"] == "/profile/"


@pytest.fixture
def limited(settings: Any, namespace: str) -> None:
    """The limiter as it is by default, with nothing spent."""
    settings.RATE_LIMIT_ENABLED = True
    settings.RATE_LIMIT_NAMESPACE = namespace


def test_the_burst_page_says_what_it_fires_at(client: Client, limited: None) -> None:
    write, read = client.get("/burst/", headers=JSON).json()["buckets"]
    assert write == {"name": "write", "url": "/burst/write/", "burst": 3, "seconds": "3", "enforced": True}
    assert (read["name"], read["enforced"]) == ("read", False)
    assert [client.get(one["url"], {"n": "7"}).json() for one in (write, read)] == [{"n": "7"}, {"n": "7"}]


@pytest.mark.parametrize(
    "path", ["/", "/instructors/", "/login/", "/profile/", "/bookings/", "/bookings/1/pay/", "/burst/"]
)
def test_no_page_has_a_script_or_a_style_in_it(alice: Client, path: str) -> None:
    page = alice.get(path.replace("/1/", f"/{booking_of('alice').pk}/"), headers=HTML)
    text = page.content.decode()
    assert re.findall(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=|javascript:", text) == []
    assert page["Content-Security-Policy"].startswith("default-src 'self';")


def test_a_person_who_is_refused_gets_a_page_of_the_site(client: Client, limited: None) -> None:
    pages = [client.get("/burst/write/", headers=HTML) for _ in range(4)]
    assert [page.status_code for page in pages] == [200, 200, 200, 429]
    text = pages[3].content.decode()
    assert f'data-seconds="{pages[3]["Retry-After"]}"' in text
    assert '<a class="button" href="/burst/write/">Try again</a>' in text
