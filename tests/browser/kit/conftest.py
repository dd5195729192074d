"""A browser, a running marketplace, and people of different addresses who visit it.

Playwright's synchronous interface keeps an event loop running in this thread, so a browser lives for one module only,
and its tests touch no database themselves.
"""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any, Protocol

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from testproject.bootstrap import ROOT
from tests import browsers
from tests.sites import Site

SCREENSHOTS = ROOT / "tests" / "screenshots"
EXPECTED = re.compile(r"Failed to load resource: (?:the server responded|net::ERR_(?:INTERNET_DISCONNECTED|FAILED))")
BUCKETS = {
    "auth_bootstrap": {"quota": "20/m", "burst": 3},  # one every three seconds
    "read": {"quota": "30/m", "burst": 10},
    "write": {"quota": "30/m", "burst": 3},  # one every two seconds
}
LIMITS = {
    "RATE_LIMIT_SHADOW": "false",
    "RATE_LIMIT_BUCKETS": json.dumps(BUCKETS),
    "RATE_LIMIT_TRUSTED_PROXIES": "127.0.0.0/8",
    "TESTPROJECT_PROCESSOR_SECONDS": "0.7",
}
_addresses = count(1)


class Visit(Protocol):
    """What the fixture `visit` is."""

    def __call__(self, path: str, user: str | None = None, **options: Any) -> Page:
        """Opens a page of the shop as somebody of a fresh address; options go to the browser's context."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A Chromium without a window."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browsers.path(), args=list(browsers.FLAGS))
        with chromium:
            yield chromium


@pytest.fixture(scope="module")
def open_shop(tmp_path_factory: pytest.TempPathFactory, _demo_database: Path) -> Iterator[Callable[..., Site]]:
    """`open_shop(NAME="value")`: a running marketplace with limits that a test can see, until the module ends."""
    with ExitStack() as stack:

        def start(**variables: str) -> Site:
            place = tmp_path_factory.mktemp("shop")
            database = shutil.copy(_demo_database, place / "shop.sqlite3")
            env = {**LIMITS, "TESTPROJECT_DB": str(database), **variables}
            return stack.enter_context(Site("uvicorn", (), None, place / "shop.log", env))

        yield start


@pytest.fixture(scope="module")
def shop(open_shop: Callable[..., Site]) -> Site:
    """The marketplace that a module's tests share."""
    return open_shop()


@pytest.fixture
def complaints() -> Iterator[list[str]]:
    """What browsers complain of; there is nothing at the test's end."""
    found: list[str] = []
    yield found
    assert found == []


@pytest.fixture
def person(browser: Browser, shop: Site) -> Iterator[Callable[..., BrowserContext]]:
    """`person()`: a browser's profile, of a fresh address."""
    with ExitStack() as stack:

        def fresh(**options: Any) -> BrowserContext:
            headers = {"X-Forwarded-For": f"198.51.100.{next(_addresses)}"}
            return stack.enter_context(
                browser.new_context(**{"base_url": shop.url, "extra_http_headers": headers, **options})
            )

        yield fresh


@pytest.fixture
def visit(person: Callable[..., BrowserContext], complaints: list[str]) -> Visit:
    """`visit("/profile/", user="alice")`."""

    def opened(path: str, user: str | None = None, **options: Any) -> Page:
        context = person(**options)
        if user is not None:
            sign_in(context, user)
        page = watched(context, complaints)
        page.goto(path)
        return page

    return opened


def watched(context: BrowserContext, complaints: list[str]) -> Page:
    """A new page whose complaints are collected: errors, and what the content policy forbids."""
    page = context.new_page()
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: _complain(complaints, message.text))
    return page


def _complain(complaints: list[str], text: str) -> None:
    if not EXPECTED.match(text):
        complaints.append(text)


def sign_in(context: BrowserContext, user: str) -> None:
    """Without the pages, so that a test of one page is a test of that page."""
    headers = {"X-Forwarded-For": f"203.0.113.{next(_addresses)}"}
    token = context.request.get("/login/", headers=headers).json()["csrf_token"]
    form = {"username": user, "password": user, "csrfmiddlewaretoken": token}
    answer = context.request.post("/login/", form=form, headers=headers)
    assert answer.status == 200, answer.text()


def payments(page: Page, booking: int) -> int:
    """How often a booking was paid for, as the server has it."""
    answer = page.request.get(f"/bookings/{booking}/", headers={"Accept": "application/json"})
    return int(answer.json()["booking"]["payments"])
