"""Bursts and tabs in a real browser: nobody sees a refusal, and what one tab learns, all know."""

import re
from collections.abc import Callable

from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.kit.conftest import Visit
from tests.sites import Site

SUMMARY = re.compile(
    r"(\d+) of (\d+) answered in ([\d.]+) s, (\d+) of them after a wait; (\d+) requests sent; (\d+) refusals"
)
KIT = "/static/django_ratelimit_gcra/ratelimit-fetch.js"
JOIN = """async (kit) => {
  const { createFetch } = await import(kit);
  window.sent = [];
  window.send = createFetch({ fetch: (request, init) => {
    sent.push(Date.now());
    return fetch(request, init);
  } });
}"""
EXHAUST = """async () => {
  const codes = [];
  while (!codes.includes(429)) codes.push((await fetch('/burst/write/')).status);
  const learning = send('/burst/write/?learns');
  await new Promise((done) => setTimeout(done, 300));
  window.learning = learning;
}"""


def fire(page: Page, bucket: str, number: int, how: str = "ratelimit-fetch.js") -> tuple[int, ...]:
    """Answered, asked, seconds, waited, sent, refused."""
    page.select_option("#url", value=f"/burst/{bucket}/")
    page.fill("#count", str(number))
    page.get_by_label(how).check()
    page.get_by_role("button", name="Fire").click()
    status = page.get_by_role("status")
    expect(status).to_have_text(SUMMARY, timeout=60_000)
    found = SUMMARY.search(status.inner_text())
    assert found
    return tuple(int(float(one)) for one in found.groups())


def test_a_burst_of_reads_is_absorbed_with_the_needed_waits_and_no_refusal_reaches_the_page(visit: Visit) -> None:
    page = visit("/burst/")
    answered, asked, _, waited, sent, refused = fire(page, "read", 14)
    assert (answered, asked, refused) == (14, 14, 0)
    assert 1 <= waited <= 4, "ten pass at once"
    assert sent == 14 + waited, "each that waited was refused once, and admitted when it came back"
    rows = page.locator("[data-rows] li")
    expect(rows).to_have_count(14)
    expect(rows.locator(".no")).to_have_count(waited)
    expect(rows.filter(has_text="answered")).to_have_count(14)


def test_a_plain_fetch_leaves_the_refusals_to_the_page(visit: Visit) -> None:
    page = visit("/burst/")
    answered, asked, _, waited, sent, refused = fire(page, "write", 8, "plain fetch")
    assert (asked, waited, sent) == (8, 0, 8)
    assert answered + refused == 8
    assert refused >= 1
    expect(page.locator("[data-rows] li").filter(has_text="429 reached the page")).to_have_count(refused)


def test_ten_tabs_on_one_exhausted_bucket_send_at_most_two_requests_per_retry_after(
    person: Callable[..., BrowserContext],
) -> None:
    """One unit comes back every two seconds, which is what Retry-After says."""
    context = person()
    tabs = [context.new_page() for _ in range(10)]
    for tab in tabs:
        tab.goto("/burst/")
        tab.evaluate(JOIN, KIT)
    tabs[0].evaluate(EXHAUST)
    before = sum(tab.evaluate("() => sent.length") for tab in tabs)
    for number, tab in enumerate(tabs):
        tab.evaluate("(n) => void (window.answer = send(`/burst/write/?tab=${n}`).then((one) => one.status))", number)
    assert [tab.evaluate("() => window.answer") for tab in tabs] == [200] * 10
    times = sorted(time for tab in tabs for time in tab.evaluate("() => sent"))[before:]
    busiest = max(sum(start <= time < start + 2000 for time in times) for start in times)
    assert busiest <= 2, times
    assert len(times) <= 14, "ten answers, the one that learnt, and hardly a refusal"


def test_from_another_origin_retry_after_is_readable_and_a_key_may_be_sent(
    browser: object, shop: Site, open_shop: Callable[..., Site], visit: Visit
) -> None:
    """The original of the kit could not read it, and the mock of its test hid that."""
    api = open_shop(TESTPROJECT_CORS_ORIGINS=shop.url)
    page = visit("/health/", extra_http_headers={})  # a page without a content policy
    code = """async ([kit, api]) => {
      const { createFetch } = await import(kit);
      const send = createFetch({ retries: 0, channel: '' });
      for (let n = 0; n < 5; n += 1) {
        const problem = await send(`${api}/burst/write/?n=${n}`).then(() => null, (error) => error);
        if (problem) return [problem.name, problem.policy, problem.retryAfterMs, problem.problem?.code];
      }
    }"""
    assert page.evaluate(code, [KIT, api.url]) == ["RateLimitError", "write", 2000, "rate_limited"]
    code = """([api]) => fetch(`${api}/api/bookings/1/pay/`, { method: 'POST', headers: { 'Idempotency-Key': 'k' } })
      .then((one) => one.status)"""
    assert page.evaluate(code, [api.url]) == 401
