"""Search as you type, in a real browser against the real site; the page's clock is moved by hand where keys are."""

from playwright.sync_api import Page, Request, expect

from tests.browser.kit.conftest import Visit


def searches(page: Page) -> list[Request]:
    """The searches that a page sends from now on."""
    sent: list[Request] = []
    page.on("request", lambda request: sent.append(request) if "/instructors/" in request.url else None)
    return sent


def queries(sent: list[Request]) -> list[str]:
    return [request.url.partition("?q=")[2] for request in sent]


def test_typing_fast_sends_one_request_per_pause(visit: Visit) -> None:
    page = visit("/instructors/")
    page.clock.install()
    sent = searches(page)
    for letter in "piano":
        page.locator("#id_q").press(letter)
        page.clock.run_for(100)
    page.clock.run_for(199)
    assert queries(sent) == []
    page.clock.run_for(1)
    expect(page.get_by_role("link", name="Ada Green")).to_be_visible()
    expect(page.locator("[data-results] li")).to_have_count(1)
    for letter in "x":
        page.locator("#id_q").press(letter)
    page.clock.run_for(300)
    expect(page.get_by_role("status")).to_have_text("No instructors")
    assert queries(sent) == ["piano", "pianox"]
    assert page.url.endswith("/instructors/?q=pianox"), "what is shown can be bookmarked"


def test_typing_on_cancels_the_stale_request(visit: Visit) -> None:
    page = visit("/instructors/")
    page.clock.install()
    sent, ended = searches(page), list[str]()
    page.on("requestfailed", lambda request: ended.append(f"{request.url.partition('?q=')[2]}: {request.failure}"))
    page.route("**/instructors/?q=p", lambda route: None)  # never answered
    page.locator("#id_q").press("p")
    with page.expect_request("**/instructors/?q=p"):
        page.clock.run_for(300)
    page.locator("#id_q").press("i")
    page.clock.run_for(300)
    expect(page.get_by_role("link", name="Ada Green")).to_be_visible()
    assert queries(sent) == ["p", "pi"]
    assert ended == ["p: net::ERR_ABORTED"]


def test_a_limited_search_says_so_and_goes_on_by_itself(visit: Visit) -> None:
    page = visit("/instructors/")
    exhaust(page)
    page.locator("#id_q").fill("guitar")
    expect(page.get_by_role("status")).to_contain_text("goes on in")
    expect(page.locator("[data-results] li")).to_have_count(1, timeout=20_000)
    expect(page.get_by_role("status")).to_have_text("1 instructor")


def test_with_the_network_cut_in_the_middle_of_a_wait_the_page_recovers(visit: Visit) -> None:
    page = visit("/instructors/")
    exhaust(page)
    page.locator("#id_q").fill("violin")
    status = page.get_by_role("status")
    expect(status).to_contain_text("goes on in")
    page.context.set_offline(True)
    sent = searches(page)
    expect(status).to_be_empty(timeout=20_000)
    expect(page.locator("[data-results] li")).to_have_count(5)
    assert sent == [], "nothing is sent into a cut"
    page.context.set_offline(False)
    expect(page.get_by_role("link", name="Elin Berg")).to_be_visible(timeout=20_000)
    expect(page.locator("[data-results] li")).to_have_count(1)


def test_a_search_that_failed_without_a_network_is_made_when_it_is_back(visit: Visit) -> None:
    page = visit("/instructors/")
    page.context.set_offline(True)
    page.locator("#id_q").fill("violin")
    expect(page.get_by_role("status")).to_contain_text("The network failed")
    page.context.set_offline(False)
    expect(page.locator("[data-results] li")).to_have_count(1)


def exhaust(page: Page) -> None:
    """Spends what this address may read, and a bit of what it will."""
    code = (
        "() => Promise.all(Array.from({length: 14}, (_, n) => fetch(`/burst/read/?n=${n}`).then((one) => one.status)))"
    )
    assert 429 in page.evaluate(code)
