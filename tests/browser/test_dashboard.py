"""The dashboard as somebody uses it: look, filter, try, switch, undo; and as somebody who may not."""

import re
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import DASHBOARD, Sites, Visit, screenshot
from tests.sites import Site

pytestmark = pytest.mark.timeout(300)  # a machine that does something else as well
READ = f"{DASHBOARD}bucket/read/"
SLOW_MS = 30_000
PAGES = {
    "buckets": DASHBOARD,
    "bucket": f"{READ}?span=24h",
    "identity": f"{READ}identity/?identity=user:666&span=24h",
    "what-if": f"{READ}what-if/?burst_0=2",
    "switch": f"{READ}switch/?mode=enforce",
    "live": f"{DASHBOARD}live/?identity=user:1",
    "history": f"{DASHBOARD}history/",
    "kill": f"{DASHBOARD}kill/",
}


@pytest.fixture(autouse=True)
def _patient() -> None:
    """Other tests may run beside these."""
    expect.set_options(timeout=SLOW_MS)


def ask(site: Site, times: int, path: str = "/instructors/") -> list[int]:
    """Requests from nobody in particular."""
    statuses = []
    for _ in range(times):
        try:
            with urllib.request.urlopen(site.url + path) as answer:
                statuses.append(answer.status)
        except urllib.error.HTTPError as error:
            statuses.append(error.code)
    return statuses


def figure(page: Page, name: str) -> str:
    return page.locator(f"dl.rl-figures div:has(dt:text-is('{name}')) dd").first.inner_text()


# --- looking


def test_the_admin_leads_to_the_dashboard_and_a_bucket_to_an_identity(sites: Sites, visit: Visit) -> None:
    page = visit(sites("small"), place="/admin/")
    page.click("#content-main a:text-is('Dashboard')")
    expect(page.locator(".rl-card")).to_have_count(4)
    expect(page.locator(".rl-card .rl-mode")).to_have_text(["shadow", "shadow", "enforce", "enforce"])
    page.click(".rl-card a:text-is('read')")
    page.click("a:has-text('user:666')")
    expect(page.get_by_role("img", name="Requests of user:666 to read")).to_be_visible()


def test_a_span_is_chosen(sites: Sites, visit: Visit) -> None:
    page = visit(sites("fortnight"))
    counted = []
    for words in ("1 hour", "24 hours", "7 days", "14 days"):
        page.click(f".rl-spans a:text-is('{words}')")
        expect(page.locator(".rl-spans [aria-current]")).to_have_text(words)
        counted.append(int(figure(page, "Requests").replace(",", "")))
    assert counted == sorted(set(counted))


def test_the_sentence_of_readiness_comes_after_the_page(sites: Sites, visit: Visit) -> None:
    page = visit(sites("fortnight"))
    expect(page.locator("[aria-labelledby=rl-read] .rl-readiness")).to_contain_text("identities would be refused")


def test_what_happens_is_seen_without_a_reload(sites: Sites, visit: Visit) -> None:
    site = sites("empty", PART="watched")
    page = visit(site)
    page.evaluate("window.stayed = true")
    card = page.locator("[aria-labelledby=rl-read]")
    expect(card.locator(".rl-is-would")).to_have_count(0)
    assert ask(site, 12) == [200] * 12
    expect(card.locator(".rl-is-would dd").first).to_contain_text("%")
    assert page.evaluate("window.stayed")


def test_updates_can_be_paused_and_say_when_they_are_interrupted(sites: Sites, visit: Visit) -> None:
    page = visit(sites("small"))
    page.click("button:text-is('Pause')")
    page.click("button:text-is('Go on')")
    page.context.route(re.compile("live=1"), lambda route: route.fulfill(status=403, body=""))
    expect(page.locator("#rl-said")).to_contain_text("interrupted")
    page.context.unroute(re.compile("live=1"))
    expect(page.locator("#rl-said")).to_have_text("")


def test_it_all_works_without_javascript(sites: Sites, visit: Visit) -> None:
    page = visit(sites("small"), "switcher", java_script_enabled=False)
    expect(page.locator(".rl-card svg")).to_have_count(4)
    page.click("[aria-labelledby=rl-read] a:text-is('Is it ready to be enforced?')")
    expect(page.locator(".rl-readiness")).to_contain_text("not ready")
    page.goto(f"{READ}what-if/")
    page.fill("[name=burst_0]", "1")
    page.click("button:text-is('Show')")
    expect(page.get_by_role("img", name="Who would be refused")).to_be_visible()
    page.click("a:text-is('A suggestion, and who would be refused most')")
    expect(page.locator(".rl-suggested")).to_be_visible()
    page.goto(f"{READ}switch/")
    page.select_option("[name=mode]", "off")
    page.click("button:text-is('Show what it would do')")
    page.fill("[name=reason]", "without a script")
    page.click("button:text-is('Apply to every process')")
    expect(page.locator(".messagelist")).to_contain_text("Switched: read: off")
    page.click("button:text-is('Undo')")
    expect(page.locator(".messagelist")).to_contain_text("Undone: read: off")


def test_a_report_is_downloaded(sites: Sites, visit: Visit, tmp_path: Path) -> None:
    page = visit(sites("small"), place=READ)
    with page.expect_download() as download:
        page.click("a:text-is('Report as CSV')")
    file = tmp_path / "report.csv"
    download.value.save_as(file)
    assert file.read_text("utf-8").startswith("part,name,requests")


# --- trying and switching


def test_what_if_answers_while_one_types(sites: Sites, visit: Visit) -> None:
    page = visit(sites("fortnight"), "switcher", f"{READ}what-if/")
    page.evaluate("window.stayed = true")
    expect(page.locator(".rl-suggested")).to_contain_text("touches")
    before = figure(page, "Requests refused")
    page.fill("[name=burst_0]", "1")
    expect(page.locator("#rl-result .rl-sentence")).to_contain_text("60/m:1 would refuse")
    assert figure(page, "Requests refused") != before
    page.fill("[name=rate_0]", "nonsense")
    expect(page.locator("#rl-result .errorlist")).to_contain_text("Rate:")
    assert page.evaluate("window.stayed")
    page.fill("[name=rate_0]", "60/m")
    page.click("a:text-is('Switch to this')")
    expect(page.locator(".rl-effect")).to_contain_text("read goes from 60/m:10 to 60/m:1.")


def test_a_switch_takes_effect_and_is_undone(sites: Sites, visit: Visit) -> None:
    site = sites("small", PART="switched")
    page = visit(site, "switcher", f"{READ}switch/")
    page.select_option("[name=mode]", "enforce")
    expect(page.locator(".rl-effect")).to_contain_text("read goes from shadow to enforce.")
    page.fill("[name=reason]", "ready, says the sentence")
    expect(page.locator("button:text-is('Apply to every process')")).to_be_visible()
    page.click("button:text-is('Apply to every process')")
    expect(page.locator(".messagelist")).to_contain_text("Switched: read: enforce")
    expect(page.locator(".rl-mode")).to_have_text("enforce")
    assert ask(site, 12, "/instructors/")[-1] == 429
    screenshot(page, "switched-light")
    page.goto(f"{DASHBOARD}history/")
    page.click("button:text-is('Undo')")
    expect(page.locator("tr.rl-gone")).to_contain_text("undone from the history")
    assert ask(site, 12, "/instructors/") == [200] * 12
    page.goto("/admin/")
    expect(page.locator("#recent-actions-module")).to_contain_text("override")


def test_a_shield_is_not_weakened_without_the_right(sites: Sites, visit: Visit) -> None:
    page = visit(sites("small"), "switcher", f"{DASHBOARD}bucket/financial/switch/")
    page.select_option("[name=mode]", "shadow")
    expect(page.locator("#rl-result")).to_contain_text("you need the permission for that")
    expect(page.locator("button:text-is('Apply to every process')")).to_have_count(0)


def test_the_kill_switch_is_grey_while_the_environment_holds_it(sites: Sites, visit: Visit) -> None:
    page = visit(sites("empty", RATE_LIMIT_ENABLED="false"), place=f"{DASHBOARD}kill/")
    expect(page.locator("#rl")).to_contain_text("RATE_LIMIT_ENABLED is false (variable) and holds it on")
    expect(page.locator("button:text-is('Switch the limits on again')")).to_be_disabled()
    screenshot(page, "kill-held-light")


# --- who may


def test_who_has_no_right_is_refused(sites: Sites, visit: Visit) -> None:
    page = visit(sites("small"), "nobody")
    expect(page.locator("body")).to_contain_text("403")
    page.goto("/admin/")
    expect(page.locator("body")).not_to_contain_text("Dashboard")


def test_who_may_only_look_sees_nobody_and_no_switch(sites: Sites, visit: Visit) -> None:
    page = visit(sites("small"), "viewer", READ)
    expect(page.locator("#rl")).to_contain_text("shown to those who may see identities")
    expect(page.locator("#rl")).not_to_contain_text("user:666")
    expect(page.locator("a:text-is('Switch')")).to_have_count(0)
    for place in (PAGES["identity"], PAGES["live"], PAGES["switch"]):
        response = page.goto(place)
        assert response is not None
        assert response.status == 403


# --- how it looks


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", ["empty", "small", "fortnight"])
def test_every_page_fits_its_window(size: str, scheme: str, sites: Sites, visit: Visit) -> None:
    page = visit(sites(size), color_scheme=scheme, viewport={"width": 1360, "height": 900})
    full = size == "fortnight"
    pages = {**PAGES, "buckets": f"{DASHBOARD}?span={'14d' if full else '1h'}"}
    for name, place in pages.items() if full else [(name, pages[name]) for name in ("buckets", "bucket", "what-if")]:
        page.goto(place)
        expect(page.locator("#rl [data-rl-later]")).to_have_count(0)
        screenshot(page, f"{size}-{name}-{scheme}")
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), name


def test_a_telephone_shows_it_too(sites: Sites, visit: Visit) -> None:
    page = visit(sites("small"), viewport={"width": 390, "height": 800})
    for name, place in PAGES.items():
        page.goto(place)
        screenshot(page, f"small-{name}-telephone")
        assert page.evaluate("document.querySelector('#rl').scrollWidth <= window.innerWidth"), name
