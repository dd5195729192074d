"""Identities, routes and reasons as nobody should send them: shown as text, wherever they stand."""

import csv
import re
import unicodedata
from datetime import UTC, datetime
from html.parser import HTMLParser
from io import StringIO
from urllib.parse import quote

import pytest
from django.db import DatabaseError

from django_ratelimit_gcra import overrides
from django_ratelimit_gcra.dashboard.export import response
from django_ratelimit_gcra.models import DecisionMinute, IdentityMinute
from django_ratelimit_gcra.recording.names import bounded, storable
from django_ratelimit_gcra.shadow import BucketReport, Point, Share
from tests.django.dashboard.conftest import PLACE, Staff
from tests.django.switches import row
from tests.foreign_texts import NASTY

pytestmark = pytest.mark.django_db
ALLOWED = {"script": {"src"}, "img": {"src", "alt"}}
ACTING = {"Cc", "Cf", "Cs"}


class Seen(HTMLParser):
    """What a browser would find."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def check(page: str) -> None:
    """Nothing of ours is changed by what others wrote."""
    for tag, attributes in Seen(page).tags:
        assert not any(name.startswith("on") or name == "style" for name in attributes), (tag, attributes)
        assert tag not in {"img", "iframe", "object", "base"}
        if tag == "script":
            assert (attributes.get("src") or "").startswith("/static/")
        assert not (attributes.get("href") or "").strip().lower().startswith("javascript:")
    assert "49" not in re.findall(r"title=\"(\d+)\"", page)
    assert {unicodedata.category(one) for one in page if one not in "\n\r\t\f"} & ACTING == set()
    assert len(page) < 200_000


@pytest.fixture(params=NASTY, ids=range(len(NASTY)))
def text(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_identities_and_routes_are_shown_as_text(text: str, staff: Staff) -> None:
    name, now = storable(bounded(text)), datetime.now(UTC).replace(second=0, microsecond=0)
    DecisionMinute.objects.create(minute=now, bucket="read", route=name, requests=3, would_block=2)
    IdentityMinute.objects.create(minute=now, bucket="read", identity=name, route=name, requests=3, would_block=2)
    client = staff("view_identities")
    page = client.get(f"{PLACE}bucket/read/").content.decode()
    check(page)
    link = re.search(r'href="([^"]+/identity/[^"]+)"', page)
    assert link is not None
    line = client.get(link[1].replace("&amp;", "&")).content.decode()
    check(line)
    assert line.count("<g><title>") == 1, "the link leads to this identity's time line"
    check(client.get(PLACE).content.decode())


def test_an_address_of_a_page_is_shown_as_text(text: str, staff: Staff) -> None:
    client = staff("view_identities", "switch_policy")
    asked = quote(text.encode("utf-8", "replace"))
    for place in (
        f"bucket/read/identity/?identity={asked}",
        f"live/?identity=key:{asked}",
        f"live/?kind=key&value={asked}",
        f"bucket/read/what-if/?rate_0={asked}",
        f"bucket/read/switch/?mode={asked}&rate_0={asked}",
        f"?span={asked}",
    ):
        page = client.get(PLACE + place)
        assert page.status_code in {200, 404}
        # a field shows again what was typed, as its value: escaped, and nobody's but the typist's
        check(re.sub(r'(?s)(<input[^>]* value=")[^"]*"', r'\1"', page.content.decode()))


def test_reasons_are_shown_as_text(text: str, staff: Staff) -> None:
    try:
        row("read", reason=text, by=text, mode=text[:10], undone_reason=text)
    except (DatabaseError, UnicodeError):
        return  # no database keeps this
    overrides.refresh()
    client = staff("switch_policy")
    for page in ("", "history/", "bucket/read/", "kill/"):
        check(client.get(PLACE + page).content.decode())


def test_a_reason_from_the_form_is_refused_or_shown_as_text(text: str, staff: Staff) -> None:
    client = staff("switch_policy")
    posted = {
        "mode": "enforce",
        "rate_0": "60/m",
        "burst_0": "10",
        "lasts": "",
        "shown": "read: enforce",
        "act": "apply",
    }
    reason = text.encode("utf-8", "replace").decode()
    page = client.post(f"{PLACE}bucket/read/switch/", {**posted, "reason": reason}, follow=True).content.decode()
    check(re.sub(r'(?s)(<input[^>]* value=")[^"]*"', r'\1"', page))
    overrides.refresh()
    check(client.get(f"{PLACE}history/").content.decode())


def test_a_file_runs_nothing_in_a_spreadsheet(text: str) -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    names = [text, f"={text}", f"@{text}", f" +{text}", f"\t-{text}", f"user:{text}"]
    shares = [Share(name, 2, 0.5, 3) for name in names]
    report = BucketReport(
        "read", now, now, 3, 0, 0, 2, 0, 0, 0, 1.0, 2.0, [Point(now, 3, 0, 2)], shares, shares, None, ""
    )
    content = response(report, identities=True).content.decode()
    rows = list(csv.reader(StringIO(content)))
    assert len(rows) == 3 + 2 * len(names)
    for cell in (cell for line in rows for cell in line):
        assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n", " ="))
        assert {unicodedata.category(one) for one in cell} & ACTING == set()
        assert len(cell) <= 501
    assert "identity" not in response(report, identities=False).content.decode()


def test_a_file_is_kept_and_never_shown(staff: Staff) -> None:
    found = staff().get(f"{PLACE}bucket/read/report.csv?span=7d")
    assert found["Content-Type"] == "text/csv; charset=utf-8"
    assert re.fullmatch(r'attachment; filename="read-\d{8}-\d{4}-\d{8}-\d{4}\.csv"', found["Content-Disposition"])
    assert found["X-Content-Type-Options"] == "nosniff"


def test_a_name_that_no_database_keeps_is_nobody_s(staff: Staff) -> None:
    """PostgreSQL raises for a NUL, in a question too."""
    assert staff("view_identities").get(f"{PLACE}bucket/read/identity/?identity=user:a%00b").status_code == 404
