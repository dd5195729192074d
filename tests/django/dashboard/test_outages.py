"""With tables that are missing or can't be read: every page says what to do, and the switches go on working."""

from typing import Any

import pytest
from django.db import connection
from django.test import Client

from django_ratelimit_gcra import overrides
from django_ratelimit_gcra.models import ArrivalSample, DecisionMinute, IdentityMinute, PolicyOverride
from ratelimit_core import Mode
from ratelimit_core.config import Source
from tests.django.dashboard.conftest import PLACE, Staff
from tests.django.switches import WHY, mode

pytestmark = pytest.mark.django_db
RECORDS = (DecisionMinute, IdentityMinute, ArrivalSample)
PAGES = [
    "",
    "bucket/read/",
    "bucket/read/identity/?identity=user:1",
    "bucket/read/report.csv",
    "bucket/read/what-if/",
    "bucket/read/advice/",
    "bucket/read/readiness/",
    "bucket/read/switch/?mode=enforce",
    "history/",
]
ENFORCE = {"mode": "enforce", "canary_percent": "", "rate_0": "60/m", "burst_0": "10", "lasts": "", "reason": WHY}
EVERYTHING = ("view_identities", "switch_policy", "weaken_policy")


def drop(*models: Any) -> None:
    """As before `migrate`; the test's transaction brings them back."""
    with connection.cursor() as cursor:
        for model in models:
            cursor.execute(f"DROP TABLE {model._meta.db_table}")


def post(client: Client, page: str, **data: str) -> Any:
    return client.post(PLACE + page, data)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_without_its_tables_says_what_to_do(page: str, staff: Staff) -> None:
    client = staff(*EVERYTHING)
    drop(*RECORDS, PolicyOverride)
    response = client.get(PLACE + page)
    assert response.status_code == 503
    assert "manage.py migrate" in response.content.decode()
    assert "no such table" in response.content.decode()


def test_the_kill_switch_needs_no_records(staff: Staff) -> None:
    client = staff(*EVERYTHING)
    drop(*RECORDS)
    page = client.get(f"{PLACE}kill/")
    assert page.status_code == 200
    assert "by write and financial: how many were lately can&#x27;t be read." in page.content.decode()
    assert post(client, "kill/", act="kill", reason=WHY).status_code == 302
    assert overrides.refresh()
    assert mode("read") == (Mode.OFF, Source.KILL_SWITCH)


def test_a_switch_needs_no_records(staff: Staff) -> None:
    client = staff(*EVERYTHING)
    drop(*RECORDS)
    shown = post(client, "bucket/read/switch/", **ENFORCE, act="show").content.decode()
    assert "What was recorded can&#x27;t be read, so its effect is not known" in shown
    assert post(client, "bucket/read/switch/", **ENFORCE, act="apply", shown="read: enforce").status_code == 302
    assert overrides.refresh()
    assert mode("read") == (Mode.ENFORCE, Source.OVERRIDE)


def test_a_kill_switch_that_can_not_be_written_is_said(staff: Staff) -> None:
    client = staff(*EVERYTHING)
    drop(*RECORDS, PolicyOverride)
    page = post(client, "kill/", act="kill", reason=WHY)
    assert page.status_code == 200
    assert "Nothing was changed: the database says no such table" in page.content.decode()
