"""Logging in and staying so while the site refuses, in a real browser."""

from functools import partial

from playwright.sync_api import Page, expect

from tests.browser.kit.conftest import Visit

TELL = """
addEventListener('DOMContentLoaded', () => {
  const place = document.querySelector('[data-status]');
  const all = { childList: true, characterData: true, subtree: true };
  new MutationObserver(() => saw(place.textContent)).observe(place, all);
});
"""


def exhaust(page: Page) -> None:
    """Spends what this address may do before it is known."""
    code = "() => Promise.all(Array.from({length: 5}, (_, n) => fetch(`/health/?n=${n}`).then((one) => one.status)))"
    assert 429 in page.evaluate(code)


def said_by(page: Page) -> list[str]:
    """What the status line says from the next page on, also before that page is left."""
    said: list[str] = []
    page.expose_function("saw", partial(list.append, said))
    page.add_init_script(TELL)
    return said


def log_in(page: Page) -> None:
    page.fill("#id_username", "alice")
    page.fill("#id_password", "alice")
    page.get_by_role("button", name="Log in").press("Enter")


def test_a_limited_login_counts_down_ticks_and_admits(visit: Visit) -> None:
    page = visit("/burst/")
    said = said_by(page)
    page.goto("/login/?next=/bookings/")
    exhaust(page)
    with page.expect_response(lambda one: one.url.endswith("/login/?next=/bookings/") and one.status == 429):
        log_in(page)
    page.wait_for_url("**/bookings/", timeout=30_000)
    expect(page.get_by_role("button", name="Log out alice")).to_be_visible()
    shown = list(dict.fromkeys(text for text in said if "goes on in" in text))
    seconds = [int(text.split(" in ")[-1].split(" s;")[0]) for text in shown]
    assert len(seconds) >= 2, said
    assert seconds[:2] == [seconds[0], seconds[0] - 1], "it ticks"
    assert said[-1] == "Welcome, alice."


def test_a_wrong_password_is_said_and_may_be_corrected(visit: Visit) -> None:
    page = visit("/login/")
    page.fill("#id_username", "alice")
    page.fill("#id_password", "wrong")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("status")).to_contain_text("Please enter a correct username and password")
    log_in(page)
    page.wait_for_url("**/profile/")


def test_a_limited_session_check_logs_nobody_out(visit: Visit) -> None:
    """The original of the kit logged whole offices out when their token refresh was refused."""
    page = visit("/profile/", user="carol")
    status = page.get_by_role("status")
    spend_as_user(page)
    page.get_by_role("button", name="Check my session").click()
    expect(status).to_contain_text("You stay signed in.")
    expect(status).to_contain_text("You are signed in, as of", timeout=30_000)
    assert page.url.endswith("/profile/")


def test_a_session_that_is_over_leads_to_the_login(visit: Visit) -> None:
    page = visit("/profile/", user="bob")
    page.context.clear_cookies()
    page.get_by_role("button", name="Check my session").click()
    page.wait_for_url("**/login/?next=/profile/")


def spend_as_user(page: Page) -> None:
    code = "() => Promise.all(Array.from({length: 5}, (_, n) => fetch(`/session/?n=${n}`).then((one) => one.status)))"
    assert 429 in page.evaluate(code)


def test_a_person_who_is_refused_without_a_script_is_counted_down_to_the_moment(visit: Visit) -> None:
    page = visit("/burst/")
    codes = page.evaluate(
        "() => Promise.all([1, 2, 3].map((n) => fetch(`/burst/write/?n=${n}`).then((one) => one.status)))"
    )
    assert codes == [200, 200, 200]
    page.goto("/burst/write/")
    expect(page.get_by_role("heading", level=1)).to_have_text("Too Many Requests")
    expect(page.get_by_role("status")).to_contain_text("You can go on in")
    expect(page.get_by_role("status")).to_have_text("You can go on now.", timeout=20_000)
    with page.expect_response("**/burst/write/") as answered:
        page.get_by_role("link", name="Try again").click()
    assert answered.value.status == 200
