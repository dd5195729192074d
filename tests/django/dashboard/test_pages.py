"""The pages to look at: who may open them, what stands on them, and how many queries that takes."""

import re
from datetime import datetime
from typing import Any

import pytest
from django.test import Client

from django_ratelimit_gcra import runtime
from django_ratelimit_gcra.models import DecisionMinute
from django_ratelimit_gcra.recording import recorder
from ratelimit_core import RequestInfo
from tests.django.dashboard.conftest import PLACE, Staff
from tests.django.switches import TENTH, switch

pytestmark = pytest.mark.django_db
READ = f"{PLACE}bucket/read/"
IDENTITY = f"{READ}identity/?identity=user:666"
LOOKED_AT = ["", "bucket/read/", "bucket/read/what-if/", "bucket/read/advice/", "bucket/read/readiness/"]
OPEN = [*LOOKED_AT, "bucket/read/report.csv", "history/", "kill/"]
CLOSED = {
    "bucket/read/identity/?identity=user:666": "view_identities",
    "live/": "view_identities",
    "bucket/read/switch/": "switch_policy",
}


def text(client: Client, place: str) -> str:
    response = client.get(place)
    assert response.status_code == 200, place
    return response.content.decode()


# --- who may


@pytest.mark.parametrize("page", [*OPEN, *CLOSED])
def test_nobody_sees_a_page_unasked(page: str, staff: Staff) -> None:
    assert Client().get(PLACE + page).url.startswith("/admin/login/")  # type: ignore[attr-defined]  # a redirect
    assert staff("switch_policy", "view_identities", view=False).get(PLACE + page).status_code == 403


@pytest.mark.parametrize("page", OPEN)
def test_who_may_view_the_dashboard_sees_its_pages(page: str, staff: Staff) -> None:
    assert staff().get(PLACE + page).status_code == 200


@pytest.mark.parametrize(("page", "right"), CLOSED.items())
def test_some_pages_need_a_right_of_their_own(page: str, right: str, staff: Staff) -> None:
    assert staff().get(PLACE + page).status_code == 403
    assert staff(right).get(PLACE + page).status_code == 200


def test_whom_it_concerns_is_shown_to_those_who_may_see_it(staff: Staff, recorded: datetime) -> None:
    without, others = staff(), staff("view_identities")
    for page in OPEN:
        assert "user:666" not in text(without, PLACE + page)
    for page in ("bucket/read/", "bucket/read/report.csv"):
        assert "user:666" in text(others, PLACE + page)


def test_the_index_of_the_admin_leads_there(staff: Staff) -> None:
    assert PLACE in text(staff(), "/admin/")
    assert PLACE not in text(staff("switch_policy", view=False), "/admin/")


def test_no_row_is_edited_by_hand(staff: Staff) -> None:
    client = staff("switch_policy", "weaken_policy")
    assert [client.get(f"{PLACE}{page}").status_code for page in ("add/", "1/change/", "1/delete/")] == [404] * 3
    assert "addlink" not in text(client, "/admin/django_ratelimit_gcra/")


def test_the_dashboard_is_never_limited_nor_recorded(staff: Staff, settings: Any) -> None:
    settings.RATE_LIMIT_UNDECORATED = "mode"
    settings.RATE_LIMIT_BUCKETS = {"read": {"quota": "1/d", "burst": 1, "mode": "enforce"}}
    client = staff()
    responses = [client.get(PLACE) for _ in range(3)]
    assert [response.status_code for response in responses] == [200] * 3
    assert not any(name.lower().startswith("x-ratelimit") for name in responses[0].headers)


# --- what stands there


def test_every_bucket_says_how_it_stands(staff: Staff, recorded: datetime, settings: Any) -> None:
    settings.RATE_LIMIT_SHADOW_WRITE = True
    page = text(staff(), PLACE)
    for words in ("100/m:20", "60/m:10", "from RATE_LIMIT_SHADOW_WRITE (setting)", "by default", "1 at once"):
        assert words in page
    assert page.count('role="img"') == 4
    assert page.count("Nothing recorded") == 3
    assert re.search(r"Requests</dt><dd>1,000</dd>", page)
    assert re.search(r"Would block</dt><dd>20 %</dd><dd class=\"rl-note\">200 requests", page)
    assert "looks like a retry loop" in page


def test_a_switch_says_who_made_it(staff: Staff) -> None:
    switch("read", TENTH)
    page = text(staff(), PLACE)
    assert "canary 10 %" in page
    assert "switched by me" in page


@pytest.mark.parametrize(("span", "bars"), [("1h", 10), ("24h", 1), ("7d", 1), ("14d", 1), ("nonsense", 10)])
def test_every_span_counts_the_same(span: str, bars: int, staff: Staff, recorded: datetime) -> None:
    page = text(staff(), f"{READ}?span={span}")
    assert "<dd>1,000</dd>" in page
    assert bars <= page.count("<g><title>") <= bars + 1


def test_one_bucket_says_where_and_who(staff: Staff, recorded: datetime) -> None:
    page = text(staff("view_identities"), READ)
    assert re.search(r'identity=user%3A666"><bdi title="user:666">user:666</bdi></a>', page)
    assert "search/" in page
    assert "90 %" in page


def test_one_identity_has_a_time_line(staff: Staff, recorded: datetime) -> None:
    page = text(staff("view_identities"), IDENTITY)
    assert "Requests of user:666 to read" in page
    assert page.count("<g><title>") == 10
    assert staff("view_identities").get(f"{READ}identity/").status_code == 404


def test_a_bucket_that_is_not_there_is_not_found(staff: Staff) -> None:
    client = staff("view_identities", "switch_policy")
    pages = ("", "what-if/", "advice/", "readiness/", "switch/", "identity/?identity=x", "report.csv")
    assert {client.get(f"{PLACE}bucket/reed/{page}").status_code for page in pages} == {404}


def test_the_sentence_of_readiness_has_a_page_that_is_kept_for_a_while(
    staff: Staff, recorded: datetime, django_assert_max_num_queries: Any
) -> None:
    client = staff()
    assert "not ready" in text(client, f"{READ}readiness/")
    with django_assert_max_num_queries(6):
        first = text(client, f"{READ}readiness/")
    DecisionMinute.objects.all().delete()
    assert "without arrival samples; not ready" in first
    assert "without arrival samples; not ready" in text(client, f"{READ}readiness/")


def test_a_bucket_that_is_enforced_is_not_asked_whether_it_is_ready(staff: Staff) -> None:
    client = staff()
    assert "Is it ready" in text(client, READ)
    assert "Is it ready" not in text(client, f"{PLACE}bucket/write/")


def test_what_the_kill_switch_does_is_said_everywhere(staff: Staff, settings: Any) -> None:
    settings.RATE_LIMIT_ENABLED = False
    assert "The kill switch is on" in text(staff(), PLACE)


def test_real_traffic_is_shown(staff: Staff) -> None:
    for _ in range(12):
        runtime.limiter().admit(RequestInfo(peer="198.51.100.7"), "read", route="search/")
    recorder.flush()
    page = text(staff("view_identities"), READ)
    assert "ip:198.51.100.7" in page
    assert "search/" in page


def test_that_nothing_is_recorded_is_said(staff: Staff, settings: Any) -> None:
    settings.RATE_LIMIT_RECORD = False
    assert "Nothing is recorded: RATE_LIMIT_RECORD is false." in text(staff(), PLACE)


# --- how it is made


@pytest.mark.parametrize("page", LOOKED_AT)
def test_the_number_of_queries_does_not_grow_with_what_was_recorded(
    page: str, staff: Staff, recorded: datetime, django_assert_max_num_queries: Any
) -> None:
    client = staff("view_identities")
    client.get(PLACE)
    with django_assert_max_num_queries(30):
        client.get(PLACE + page)


@pytest.mark.parametrize("page", [*LOOKED_AT, *CLOSED, "history/", "kill/"])
def test_a_strict_content_security_policy_finds_nothing_to_forbid(page: str, staff: Staff, recorded: datetime) -> None:
    found = text(staff("view_identities", "switch_policy", "reset_live"), PLACE + page)
    assert not re.search(r"<[^>]+\s(?:style|on\w+)\s*=", found)
    assert all("src=" in script for script in re.findall(r"<script[^>]*>", found))
    assert "<style" not in found


def test_what_changes_can_be_fetched_alone(staff: Staff, recorded: datetime) -> None:
    page = text(staff(), PLACE)
    fetched = re.search(r'data-rl-from="([^"]+)"', page)
    assert fetched is not None
    again = text(staff(), fetched[1].replace("&amp;", "&"))
    parts = re.findall(r'id="([^"]+)" data-rl-live', page)
    assert parts == re.findall(r'id="([^"]+)" data-rl-live', again)
    assert len(parts) == 5
