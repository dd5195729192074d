"""Paying in a real browser: however often it is clicked, money moves once."""

from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests import polling
from tests.browser.kit.conftest import Visit, payments
from tests.sites import Site

CARD, DECLINED = "4242424242424242", "4000000000000002"


def test_a_double_click_makes_one_payment_and_both_clicks_see_it(visit: Visit) -> None:
    page = visit("/bookings/1/pay/", user="alice")
    page.fill("#id_card", CARD)
    page.get_by_role("button", name="Pay").dblclick()
    clicks = page.locator("[data-clicks] li")
    expect(clicks).to_have_count(2)
    for number in range(2):
        expect(clicks.nth(number)).to_contain_text("payment", timeout=20_000)
    said = clicks.all_inner_texts()
    assert len({text.split(",")[0].removesuffix(" was made") for text in said}) == 1, said
    assert sum("it was not made again" in text for text in said) == 1, said
    expect(page.get_by_role("status")).to_have_text("Paid 60.00 EUR.")
    expect(page.get_by_role("button", name="Pay")).to_be_disabled()
    assert payments(page, 1) == 1


def test_a_declined_card_can_be_replaced_and_the_wait_is_counted_down(visit: Visit) -> None:
    page = visit("/bookings/3/pay/", user="bob")
    button, status = page.get_by_role("button", name="Pay"), page.get_by_role("status")
    first = page.locator("[name=idempotency_key]").input_value()
    page.fill("#id_card", DECLINED)
    button.click()
    expect(status).to_contain_text("The card was declined.")
    assert page.locator("[name=idempotency_key]").input_value() != first, "another card is another intent"
    page.fill("#id_card", CARD)
    button.dblclick()
    expect(page.locator("[data-clicks] li").last).to_have_text("too soon, nothing was charged")
    expect(status).to_contain_text("Nothing was charged: one payment at a time. You can pay in")
    expect(button).to_be_disabled()
    expect(button).to_be_enabled(timeout=20_000)
    button.click()
    expect(status).to_have_text("Paid 38.00 EUR.", timeout=20_000)
    assert payments(page, 3) == 1


def test_an_answer_that_is_lost_is_asked_for_with_the_same_key(visit: Visit) -> None:
    page = visit("/bookings/4/pay/", user="carol")
    page.fill("#id_card", CARD)
    page.route("**/pay/", lose_the_answer)
    page.get_by_role("button", name="Pay").click()
    expect(page.get_by_role("status")).to_contain_text("it is the same payment", timeout=20_000)
    page.unroute("**/pay/")
    page.get_by_role("button", name="Pay").click()
    expect(page.get_by_role("status")).to_have_text("Paid 52.00 EUR.", timeout=20_000)
    expect(page.locator("[data-clicks] li").nth(1)).to_contain_text("it was not made again")
    assert payments(page, 4) == 1


def test_without_scripts_a_form_that_is_sent_twice_pays_once(visit: Visit, open_shop: Callable[..., Site]) -> None:
    elsewhere = open_shop()
    page = visit("/bookings/2/pay/", user="alice", java_script_enabled=False, base_url=elsewhere.url)
    page.fill("#id_card", CARD)
    page.get_by_role("button", name="Pay").dblclick()
    polling.until(lambda: payments(page, 2) > 0, "a payment", every=1)
    page.reload()  # the form once more, with the key that the page had
    expect(page.get_by_role("heading", level=1)).to_contain_text("Lesson with Ben Okafor")
    assert payments(page, 2) == 1


def lose_the_answer(route: object) -> None:
    """The server does it, and the browser never hears of it."""
    route.fetch()  # type: ignore[attr-defined]  # a Route
    route.abort()  # type: ignore[attr-defined]


def test_three_bookings_pass_and_the_fourth_says_when(visit: Visit) -> None:
    page = visit("/bookings/", user="bob")
    status = page.get_by_role("status")
    book(page, 3)
    page.get_by_role("button", name="Book").click()
    expect(status).to_contain_text("You can book again in")
    expect(page.get_by_role("button", name="Book")).to_be_disabled()
    expect(status).to_have_text("You can book again.", timeout=20_000)
    page.get_by_role("button", name="Book").click()
    expect(status).to_contain_text("Booked.")
    expect(page.locator("[data-bookings] li")).to_have_count(5)


def book(page: Page, times: int) -> None:
    """Books as often, one after another, faster than units come back."""
    page.select_option("#id_instructor", index=1)
    page.fill("#id_starts_at", "2031-02-03T10:00")
    for number in range(times):
        page.get_by_role("button", name="Book").click()
        expect(page.locator("[data-bookings] li")).to_have_count(2 + number)
