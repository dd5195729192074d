"""The probe's page, and what the command makes of answers; `tests/faults/test_probe.py` has a served site."""

from io import StringIO
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import path

from django_ratelimit_gcra.management.probes import Answer, ProbeError, ask, not_enforcing, unfit, unit_s, wrong
from django_ratelimit_gcra.probing import HEADER, make_ticket, probe
from ratelimit_core.testing import ManualClock
from tests.django.lying import Liar, admitted, answer, lying, refused
from tests.processes import free_port

SECOND_US = 1_000_000


class Urls:
    urlpatterns = [path("probe/", probe)]


@pytest.fixture
def client(settings: Any, clock: ManualClock) -> Client:
    settings.ROOT_URLCONF = Urls
    settings.RATE_LIMIT_BUCKETS = {"probe": {"quota": "6/m", "burst": 3}}
    return Client()


def asked(client: Client, ticket: str | None = None, **more: str) -> Answer:
    headers = {"accept": "application/json"} | ({} if ticket is None else {HEADER: ticket})
    response = client.get("/probe/", headers=headers, **more)  # type: ignore[arg-type]  # the environment
    return Answer(response.status_code, {name.lower(): value for name, value in response.items()}, response.json())


def test_each_ticket_finds_a_full_bucket_whoever_asks(client: Client) -> None:
    for ticket in (make_ticket(), make_ticket()):
        answers = [asked(client, ticket, REMOTE_ADDR=f"192.0.2.{number}") for number in range(6)]
        assert unfit(answers[0], 50) is None
        assert list(wrong(answers, 3)) == []
        assert list(not_enforcing(answers, ["probe", "financial"])) == []
        assert unit_s(answers[0]) == (29 / 3, 10.0)


def test_who_waits_as_told_is_admitted(client: Client, clock: ManualClock) -> None:
    ticket = make_ticket()
    last = [asked(client, ticket) for _ in range(4)][-1]
    assert last.number("retry-after") == 10
    clock.advance_us(10 * SECOND_US)
    assert asked(client, ticket).status == 200


@pytest.mark.parametrize("ticket", [None, "", "made:up:ticket", "x" * 5_000])
def test_without_a_ticket_that_is_ours_an_address_is_charged_and_learns_nothing(
    client: Client, ticket: str | None
) -> None:
    answers = [asked(client, ticket) for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429]
    assert answers[0].body == {"run": None}
    assert unfit(answers[0], 50) == unfit(answers[3], 50)
    assert "SECRET_KEY" in str(unfit(answers[0], 50))
    assert asked(client, make_ticket()).status == 200


def test_a_ticket_of_another_site_or_of_yesterday_is_none(
    client: Client, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, settings.SECRET_KEY = settings.SECRET_KEY, "another"
    foreign = make_ticket()
    settings.SECRET_KEY = key
    assert asked(client, foreign).body == {"run": None}
    ticket = make_ticket()
    monkeypatch.setattr("django.core.signing.time.time", lambda: 4_000_000_000)
    assert asked(client, ticket).body == {"run": None}


def test_no_cache_keeps_an_answer(client: Client) -> None:
    assert "no-store" in asked(client, make_ticket()).headers["cache-control"]


def test_answers_that_are_right_have_nothing_wrong() -> None:
    assert list(wrong([admitted(1), admitted(0), refused(), refused()], 2)) == []


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([admitted(1), refused()], "request 2: status is 429, not 200"),
        ([admitted(1), admitted(0), admitted(0)], "request 3: status is 200, not 429"),
        ([admitted(1), admitted(0), admitted(0)], "request 3: code is None, not rate_limited"),
        ([admitted(2)], "request 1: X-RateLimit-Remaining is 2, not 1"),
        ([admitted(1, x_ratelimit_limit=3)], "request 1: X-RateLimit-Limit is 3, not 2"),
        ([admitted(1, x_ratelimit_policy="probe, read")], "request 1: X-RateLimit-Policy is probe, read, not probe"),
        ([admitted(1, retry_after=1)], "request 1: Retry-After is 1, and nothing was refused"),
        ([admitted(1), admitted(0), refused(retry_after=None)], "request 3: Retry-After is None, not whole seconds"),
        ([admitted(1), admitted(0), refused(retry_after=0)], "request 3: Retry-After is 0, not whole seconds"),
        ([admitted(1), admitted(0), refused(retry_after="Wed")], "request 3: Retry-After is Wed, not whole seconds"),
        ([admitted(1), admitted(0), refused(retry_after=11)], "request 3: Retry-After is 11, and a unit comes back in"),
        ([admitted(1), admitted(0), refused(cache_control=None)], "request 3: Cache-Control is None, not no-store"),
    ],
)
def test_what_is_wrong_is_named(answers: list[Answer], said: str) -> None:
    assert any(found.startswith(said) for found in wrong(answers, 2))


def test_without_the_draft_s_fields_a_wait_of_any_length_is_believed() -> None:
    answers = [admitted(1), admitted(0), refused(retry_after=11, ratelimit_policy=None)]
    assert list(wrong(answers, 2)) == []


@pytest.mark.parametrize(
    ("first", "why"),
    [
        (answer(404), "404 without X-RateLimit-Policy"),
        (answer(x_ratelimit_policy="off"), "kill switch"),
        (answer(x_ratelimit_policy="read", x_ratelimit_limit=3), "is read, not probe"),
        (answer(x_ratelimit_policy="probe"), "the bucket probe is off"),
        (admitted(0, x_ratelimit_limit=51), "a burst from 1 to 50"),
        (admitted(0, x_ratelimit_limit=0), "a burst from 1 to 50"),
        (answer(500, x_ratelimit_policy="probe", x_ratelimit_limit=3), "the page answers 500"),
        (answer(429, x_ratelimit_policy="probe", x_ratelimit_limit=3), "SECRET_KEY"),
    ],
)
def test_a_page_on_which_nothing_can_be_proved_is_told_by_its_first_answer(first: Answer, why: str) -> None:
    assert why in str(unfit(first, 50))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ftp://example.org/"], "URL = 'ftp://example.org/'"),
        (["example.org"], "URL = 'example.org'"),
        (["http://:80/"], "URL = 'http://:80/'"),
        (["http://[::1/"], "URL = 'http://[::1/'"),
        (["http://a:99999/"], "URL = 'http://a:99999/'"),
        (["http://a/", "--refusals=0"], "--refusals = 0"),
        (["http://a/", "--header=Host"], "--header = 'Host'"),
        (["http://a/", "--header=:x"], "--header = ''"),
    ],
)
def test_what_can_not_be_used_is_named(arguments: list[str], said: str) -> None:
    with pytest.raises(CommandError) as failed:
        call_command("ratelimit_probe", *arguments)
    assert said in str(failed.value)


def test_a_site_that_can_not_be_asked_is_no_proof() -> None:
    port = free_port()
    with pytest.raises(ProbeError, match="can't be asked: ConnectionRefusedError"):
        ask(urlsplit(f"http://127.0.0.1:{port}/?a=b"), "ticket", {}, 5)
    with pytest.raises(ProbeError, match="can't be asked: ConnectionRefusedError"):
        ask(urlsplit(f"https://127.0.0.1:{port}"), "ticket", {}, 5)
    with pytest.raises(CommandError, match="can't be asked"):
        call_command("ratelimit_probe", f"http://127.0.0.1:{port}/")


@pytest.mark.parametrize("body", [b"<html>", b"[1]", b"[" * 100_000, b"\xff"])
def test_a_body_that_is_no_object_is_none(body: bytes) -> None:
    with lying(body) as url:
        assert ask(urlsplit(url), "ticket", {}, 5).body == {}


def test_path_query_ticket_and_headers_are_sent() -> None:
    with lying(b"{}") as url:
        ask(urlsplit(f"{url}/a/?b=c"), "ticket", {"Host": "example.org"}, 5)
        call_failing = pytest.raises(CommandError, match="no limiter answers there")
        with call_failing:
            call_command("ratelimit_probe", url, "--header=Host: example.net")
    assert Liar.heard[0] == ("/a/?b=c", "example.org", "ticket")
    assert Liar.heard[1][:2] == ("/", "example.net")


def test_findings_without_the_draft_s_fields_say_nothing_of_time() -> None:
    with lying(admitted(1), admitted(0)) as url, pytest.raises(CommandError, match="0 of 1 refused, 4 findings"):
        call_command("ratelimit_probe", url, "--refusals=1", stdout=StringIO())
