"""How pages look, on a phone and on a desk, by day and by night, kept to be looked at, and a few things to check."""

from collections.abc import Callable
from typing import Literal

import pytest
from playwright.sync_api import Page, expect

from tests.browser.kit import test_accounts, test_search
from tests.browser.kit.conftest import SCREENSHOTS, Visit
from tests.browser.kit.test_bursts import fire
from tests.browser.kit.test_pay import CARD

Scheme = Literal["light", "dark"]
View = tuple[int, Scheme]
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
UNLABELLED = """() => [...document.querySelectorAll('input:not([type=hidden]), select, textarea')]
  .filter((field) => !field.labels.length).map((field) => field.outerHTML)"""
TOO_WIDE = "() => document.documentElement.scrollWidth - innerWidth"


def searching(page: Page) -> None:
    page.fill("#id_q", "zurich")
    expect(page.get_by_role("status")).to_have_text("2 instructors")


def waiting(page: Page) -> None:
    test_search.exhaust(page)
    page.fill("#id_q", "zurich")
    expect(page.get_by_role("status")).to_contain_text("goes on in")


def logging_in(page: Page) -> None:
    test_accounts.exhaust(page)
    test_accounts.log_in(page)
    expect(page.get_by_role("status")).to_contain_text("goes on in")


def checking(page: Page) -> None:
    page.get_by_role("button", name="Check my session").click()
    expect(page.get_by_role("status")).to_contain_text("signed in", timeout=30_000)


def clicking_twice(page: Page) -> None:
    page.fill("#id_card", CARD)
    page.get_by_role("button", name="Pay").dblclick()
    expect(page.get_by_role("status")).not_to_have_text("Paying...", timeout=20_000)


def firing(page: Page) -> None:
    fire(page, "write", 6)


def nothing(page: Page) -> None:
    """As it is."""


SCENES: dict[str, tuple[str, str | None, Callable[[Page], None]]] = {
    "home": ("/", None, nothing),
    "search": ("/instructors/", None, searching),
    "search-waits": ("/instructors/", None, waiting),
    "instructor": ("/instructors/1/", None, nothing),
    "login-waits": ("/login/", None, logging_in),
    "profile": ("/profile/", "bob", checking),
    "bookings": ("/bookings/", "bob", nothing),
    "booking": ("/bookings/3/", "bob", nothing),
    "pay": ("/bookings/1/pay/", "alice", clicking_twice),
    "burst": ("/burst/", None, firing),
}


VIEWS: list[View] = [(width, scheme) for width in (390, 1280) for scheme in SCHEMES]
PASSING = ("search-waits", "login-waits")  # a countdown is over before the fourth picture
SITTINGS = [
    *((scene, VIEWS) for scene in SCENES if scene not in PASSING),
    *((scene, [view]) for scene in PASSING for view in VIEWS),
]


@pytest.mark.parametrize(("scene", "views"), SITTINGS)
def test_a_page_fits_is_labelled_and_is_kept_to_be_looked_at(visit: Visit, scene: str, views: list[View]) -> None:
    path, user, act = SCENES[scene]
    width, scheme = views[0]
    page = visit(path, user, viewport={"width": width, "height": 844}, color_scheme=scheme)
    act(page)
    SCREENSHOTS.mkdir(exist_ok=True)
    for width, scheme in views:
        page.set_viewport_size({"width": width, "height": 844})
        page.emulate_media(color_scheme=scheme)
        page.screenshot(path=SCREENSHOTS / f"kit-{scene}-{width}-{scheme}.png", full_page=True)
        assert page.evaluate(TOO_WIDE) <= 0
    assert page.evaluate(UNLABELLED) == []
    expect(page.get_by_role("heading", level=1)).to_have_count(1)
    expect(page.locator("[data-status]:not([role=status])")).to_have_count(0)


def test_a_keyboard_is_enough_and_shows_where_it_is(visit: Visit) -> None:
    page = visit("/burst/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("() => document.activeElement.tagName") == "BUTTON":
            break
    assert page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("answered in", timeout=60_000)
