"""The switches: the effect first, then the reason, then the act; and everything can be undone."""

import re
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test import Client

from django_ratelimit_gcra import overrides
from django_ratelimit_gcra.models import PolicyOverride
from ratelimit_core import Mode
from ratelimit_core.config import Source
from tests import databases
from tests.django.dashboard.conftest import PLACE, Staff
from tests.django.switches import ENFORCE, WHY, held, mode, row, switch

pytestmark = pytest.mark.django_db
SWITCH = f"{PLACE}bucket/read/switch/"
PAYING = f"{PLACE}bucket/financial/switch/"
PRESENT = {"mode": "shadow", "canary_percent": "", "rate_0": "60/m", "burst_0": "10", "lasts": ""}


def shown(client: Client, place: str = SWITCH, **changes: str) -> str:
    """The page that says what a change would do."""
    response = client.post(place, {**PRESENT, **changes, "act": "show"})
    assert response.status_code == 200
    return response.content.decode()


def applied(client: Client, place: str = SWITCH, reason: str = WHY, **changes: str) -> Any:
    """Shown, then applied as the page says."""
    found = re.search(r'name="shown" value="([^"]*)"', shown(client, place, **changes))
    assert found is not None
    data = {**PRESENT, **changes, "act": "apply", "reason": reason, "shown": found[1]}
    response = client.post(place, data)
    assert overrides.refresh()
    return response


# --- a bucket


def test_the_effect_is_shown_and_nothing_is_done(staff: Staff) -> None:
    page = shown(staff("switch_policy"), mode="enforce")
    assert "read goes from shadow to enforce." in page
    assert "Nothing was recorded that this could be tried on" in page
    assert 'value="apply"' in page
    assert not PolicyOverride.objects.exists()


def test_what_was_not_shown_is_not_applied(staff: Staff) -> None:
    client = staff("switch_policy")
    for told in ({}, {"shown": "read: shadow"}):
        page = client.post(SWITCH, {**PRESENT, "mode": "enforce", "act": "apply", "reason": WHY, **told})
        assert b"What it would do" in page.content
    assert not PolicyOverride.objects.exists()


@pytest.mark.parametrize("reason", ["", "   ", "x" * 501, "bell \x07"])
def test_a_switch_needs_a_reason(staff: Staff, reason: str) -> None:
    assert applied(staff("switch_policy"), reason=reason, mode="enforce").status_code == 200
    assert not PolicyOverride.objects.exists()


def test_a_switch_is_in_force_and_stands_in_the_log_of_the_admin(staff: Staff) -> None:
    response = applied(staff("switch_policy"), mode="enforce")
    assert (response.status_code, response.url) == (302, f"{PLACE}bucket/read/")
    assert mode("read") == (Mode.ENFORCE, Source.OVERRIDE)
    found = PolicyOverride.objects.get()
    assert (found.mode, found.quotas, found.reason, found.expires) == ("enforce", None, WHY, None)
    assert WHY in LogEntry.objects.get().get_change_message()


def test_only_what_differs_is_written(staff: Staff) -> None:
    applied(staff("switch_policy"), burst_0="15")
    assert held("read") == ["60/m:15"]
    assert PolicyOverride.objects.get().mode is None


def test_a_canary_needs_its_share(staff: Staff) -> None:
    client = staff("switch_policy")
    assert "Say for which share" in shown(client, mode="canary")
    applied(client, mode="canary", canary_percent="10")
    assert mode("read")[0] is Mode.CANARY
    assert PolicyOverride.objects.get().canary_percent == 10


def test_a_switch_can_end_by_itself(staff: Staff) -> None:
    applied(staff("switch_policy"), mode="enforce", lasts="1h")
    found = PolicyOverride.objects.get()
    assert found.expires is not None
    assert 3_590 < (found.expires - found.created).total_seconds() <= 3_600


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "Nothing would change"),
        ({"mode": "enfroce"}, "Mode: Select a valid choice"),
        ({"rate_0": "sixty"}, "Rate: quota = &#x27;sixty&#x27; can&#x27;t be used"),
        ({"burst_0": "0"}, "Burst: Ensure this value is greater"),
        ({"mode": "canary", "canary_percent": "101"}, "Share in percent: Ensure this value is less"),
    ],
)
def test_what_can_not_be_is_said(staff: Staff, changes: dict[str, str], said: str) -> None:
    page = shown(staff("switch_policy"), **changes)
    assert said in page
    assert 'value="apply"' not in page


def test_a_burst_that_some_view_would_never_fit_is_said_before_it_is_applied(staff: Staff, settings: Any) -> None:
    settings.ROOT_URLCONF = "tests.django.dashboard.urls"
    page = shown(staff("switch_policy"), burst_0="1")
    assert "never fits into bucket &#x27;read&#x27;" in page
    assert 'value="apply"' not in page


def test_a_what_if_can_be_switched_to(staff: Staff) -> None:
    client = staff("switch_policy")
    page = client.get(f"{PLACE}bucket/read/what-if/?rate_0=90/m&burst_0=20").content.decode()
    link = re.search(r'href="([^"]+/switch/[^"]+)"', page)
    assert link is not None
    assert "read goes from 60/m:10 to 90/m:20." in client.get(link[1].replace("&amp;", "&")).content.decode()


def test_under_the_kill_switch_a_bucket_is_switched_by_what_stands_below_it(staff: Staff) -> None:
    row("", mode="off")
    overrides.refresh()
    page = staff("switch_policy").get(SWITCH).content.decode()
    assert "until it is off, nothing of this has any effect" in page
    assert re.search(r'<option value="shadow" selected>', page)


# --- who may


@pytest.mark.parametrize("place", [SWITCH, f"{PLACE}history/1/undo/", f"{PLACE}kill/"])
def test_who_may_only_look_switches_nothing(place: str, staff: Staff) -> None:
    switch("read", ENFORCE)
    assert staff().post(place, {**PRESENT, "act": "kill", "reason": WHY}).status_code == 403
    assert PolicyOverride.objects.get().standing == "in force"


@pytest.mark.parametrize("place", [SWITCH, f"{PLACE}history/1/undo/", f"{PLACE}kill/", f"{PLACE}live/"])
def test_a_post_without_its_token_does_nothing(place: str, staff: Staff) -> None:
    client = staff("switch_policy", "weaken_policy", "view_identities", "reset_live", checks=True)
    assert client.post(place, {**PRESENT, "act": "kill", "reason": WHY}).status_code == 403
    assert not PolicyOverride.objects.exists()


def test_a_shielded_bucket_is_weakened_by_those_who_may(staff: Staff) -> None:
    payments = {"rate_0": "5/m", "burst_0": "1", "mode": "shadow"}
    without = staff("switch_policy")
    page = shown(without, PAYING, **payments)
    assert "you need the permission for that" in page
    assert 'value="apply"' not in page
    assert applied(without, PAYING, **payments).status_code == 403
    assert not PolicyOverride.objects.exists()
    assert applied(staff("switch_policy", "weaken_policy"), PAYING, **payments).status_code == 302
    assert mode("financial")[0] is Mode.SHADOW


def test_undoing_may_weaken_too(staff: Staff, settings: Any) -> None:
    settings.RATE_LIMIT_SHADOW_FINANCIAL = True
    made = switch("financial", ENFORCE)
    place = f"{PLACE}history/{made.pk}/undo/"
    assert staff("switch_policy").post(place).status_code == 403
    assert staff("switch_policy", "weaken_policy").post(place).status_code == 302
    assert PolicyOverride.objects.get().standing == "undone"


# --- the history


def test_one_click_undoes(staff: Staff) -> None:
    client = staff("switch_policy")
    applied(client, mode="enforce")
    page = client.get(f"{PLACE}history/").content.decode()
    place = re.search(r'action="([^"]+/undo/)"', page)
    assert place is not None
    assert client.get(place[1]).status_code == 405
    said = client.post(place[1], {"reason": ""}, follow=True).content.decode()
    assert "Undone: read: enforce." in said
    assert overrides.refresh()
    assert mode("read") == (Mode.SHADOW, Source.BUCKET)
    assert PolicyOverride.objects.get().undone_reason == "undone from the history"
    assert LogEntry.objects.count() == 2


def test_what_is_over_is_not_undone_again(staff: Staff) -> None:
    client = staff("switch_policy")
    made = switch("read", ENFORCE)
    place = f"{PLACE}history/{made.pk}/undo/"
    for said in ("Undone: read", "this one is undone"):
        assert said in client.post(place, follow=True).content.decode()
    assert "in force; this one is undone" in client.post(place, follow=True).content.decode()
    assert "too long" not in client.post(place, {"reason": "x" * 501}, follow=True).content.decode()


def test_who_may_only_look_sees_no_way_to_undo(staff: Staff) -> None:
    switch("read", ENFORCE)
    page = staff().get(f"{PLACE}history/").content.decode()
    assert "read: enforce" in page
    assert "/undo/" not in page


def test_a_row_that_can_not_be_used_is_said_to_be_one(staff: Staff) -> None:
    row("read", mode="enfroce")
    overrides.refresh()
    client = staff()
    assert "can&#x27;t be read" in client.get(f"{PLACE}history/").content.decode()
    assert "can&#x27;t be used, and what was in force stays" in client.get(PLACE).content.decode()


def test_switches_that_can_not_be_read_are_said_to_be_so(staff: Staff, tmp_path: Any) -> None:
    client = staff()
    empty = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "empty.sqlite3")}
    with databases.unmigrated(empty):
        assert not overrides.refresh()
    assert "The switches can&#x27;t be read; the last good policy stays in force" in client.get(PLACE).content.decode()
    assert overrides.refresh()


def test_a_kill_switch_that_somebody_else_moved_meanwhile_is_said(staff: Staff) -> None:
    """And what was chosen for it still counts: a page that is out of date never kills for good."""
    client = staff("switch_policy", "weaken_policy")
    assert "it is off already" in client.post(f"{PLACE}kill/", {"act": "revive", "reason": WHY}).content.decode()
    row("", mode="off")
    overrides.refresh()
    assert client.post(f"{PLACE}kill/", {"act": "kill", "reason": WHY, "lasts": "15m"}).status_code == 302
    assert PolicyOverride.objects.latest("pk").expires is not None


def test_a_bucket_s_page_has_its_own_history(staff: Staff) -> None:
    switch("read", ENFORCE)
    client = staff()
    assert WHY in client.get(f"{PLACE}bucket/read/").content.decode()
    assert WHY not in client.get(f"{PLACE}bucket/write/").content.decode()


# --- the kill switch


def test_the_kill_switch_says_what_it_does_and_is_moved_both_ways(staff: Staff) -> None:
    client = staff("switch_policy", "weaken_policy")
    page = client.get(f"{PLACE}kill/").content.decode()
    assert "Nobody is refused any more by write and financial" in page
    assert "Without protection: financial." in page
    assert client.post(f"{PLACE}kill/", {"act": "kill", "reason": ""}).status_code == 200
    assert client.post(f"{PLACE}kill/", {"act": "kill", "reason": WHY, "lasts": "15m"}).status_code == 302
    assert overrides.refresh()
    assert mode("financial") == (Mode.OFF, Source.KILL_SWITCH)
    page = client.get(f"{PLACE}kill/").content.decode()
    assert WHY in page
    assert "by the kill switch: " in client.get(PLACE).content.decode()
    assert client.post(f"{PLACE}kill/", {"act": "revive", "reason": WHY}).status_code == 302
    assert overrides.refresh()
    assert mode("financial") == (Mode.ENFORCE, Source.BUCKET)


def test_the_kill_switch_takes_protection_away_from_payments(staff: Staff) -> None:
    client = staff("switch_policy")
    assert "you need the permission for that" in client.get(f"{PLACE}kill/").content.decode()
    assert client.post(f"{PLACE}kill/", {"act": "kill", "reason": WHY}).status_code == 403
    assert not PolicyOverride.objects.exists()


def test_a_kill_switch_that_the_environment_holds_is_greyed_with_the_reason(staff: Staff, settings: Any) -> None:
    settings.RATE_LIMIT_ENABLED = False
    client = staff("switch_policy", "weaken_policy")
    page = client.get(f"{PLACE}kill/").content.decode()
    assert "<fieldset disabled>" in page
    assert "RATE_LIMIT_ENABLED is false (setting) and holds it on" in page
    assert client.post(f"{PLACE}kill/", {"act": "revive", "reason": WHY}).status_code == 200
    assert not PolicyOverride.objects.exists()


def test_a_database_that_can_not_be_written_is_said(staff: Staff) -> None:
    client = staff("switch_policy", "weaken_policy")
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TEMP TRIGGER full BEFORE INSERT ON django_ratelimit_gcra_policyoverride "
            "BEGIN SELECT RAISE(FAIL, 'disk full'); END"
        )
    assert "Nothing was changed: the database says" in applied(client, mode="enforce").content.decode()
    page = client.post(f"{PLACE}kill/", {"act": "kill", "reason": WHY}).content.decode()
    assert "disk full" in page
