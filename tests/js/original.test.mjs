// Where the original of this kit went wrong: each is a test that names it.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { answer, createFetch, debounced, FIXTURE, kit, ManualClock, RateLimitError, SITE, stillSignedIn, watch } from './world.mjs';

const MINUTE = 60_000;

test('it shared one Response among callers, so that the second one’s read of the body failed', async () => {
  const { send, asked } = kit([answer('something left')]);
  const both = await Promise.all([send(`${SITE}/a`), send(`${SITE}/a`)]);
  assert.deepEqual(await Promise.all(both.map((one) => one.text())), ['found', 'found']);
  assert.equal(asked.length, 1);
});

const GET = { ratelimit: { financial: true } };
const PAY = { method: 'POST', headers: { 'Idempotency-Key': 'k' }, ratelimit: { retry: true } };
for (const [how, init, options, said] of [
  ['a flag', GET, {}, 'refused'],
  ['a flag, against every other wish', { ...PAY, ratelimit: { retry: true, bootstrap: true, financial: true } }, {}, 'refused'],
  ['a predicate of the URL', {}, { isFinancial: (url, method) => url.endsWith('/pay') && method === 'GET' }, 'refused'],
  ['the policy in the answer', PAY, {}, 'refused a payment'],
  ['the policy in the answer to a GET', {}, {}, 'refused a payment'],
  ['a policy of the site’s own', {}, { financialPolicies: ['payouts', 'read'] }, 'refused'],
]) {
  test(`it lost "financial never retries" in a refactoring: known by ${how}`, async () => {
    const { send, clock, asked } = kit([answer(said)], options);
    const seen = watch(send(`${SITE}/pay`, init));
    await clock.advance(10 * MINUTE);
    assert.ok(seen.error instanceof RateLimitError);
    assert.equal(asked.length, 1);
  });
}

test('it slept before it gave up', async () => {
  const { send, clock } = kit([answer('refused')], { retries: 0 });
  const seen = watch(send(`${SITE}/a`));
  await clock.advance(0);
  assert.deepEqual([seen.state, clock.timers.size], ['failed', 0]);
});

test('it retried immediately first', async () => {
  for (const said of ['refused', 429, 503]) {
    const { send, clock, asked } = kit([answer(said), answer(200)]);
    watch(send(`${SITE}/a`));
    await clock.advance(100);
    assert.equal(asked.length, 1, `${said}`);
  }
});

test('it had no cap', async () => {
  const { send, clock } = kit([answer('refused for an hour')]);
  const seen = watch(send(`${SITE}/a`));
  await clock.advance(0);
  assert.equal(seen.state, 'failed');
});

test('it had no jitter', async () => {
  const waits = new Set();
  for (const random of [0, 0.3, 0.9]) {
    const { send, clock, times } = kit([answer('refused'), answer(200)], { random: () => random, jitterMs: 250 });
    watch(send(`${SITE}/a`));
    await clock.advance(MINUTE);
    assert.ok(times()[1] > 1000 && times()[1] <= 1251, 'never less than it was told');
    waits.add(times()[1]);
  }
  assert.equal(waits.size, 3);
});

for (const date of ['Thu, 01 Jan 2026 00:00:30 GMT', 'Thursday, 01-Jan-26 00:00:30 GMT', 'Thu Jan  1 00:00:30 2026']) {
  test(`it treated an HTTP date as now: ${date}`, async () => {
    const { send, clock, times } = kit([answer(503, { 'Retry-After': date }), answer(200)]);
    watch(send(`${SITE}/a`));
    await clock.advance(MINUTE);
    assert.deepEqual(times(), [0, 30_001]);
  });
}

test('a limited token refresh logged whole offices out', async () => {
  const refused = () => answer('refused');
  const { send, clock, asked } = kit([refused(), refused(), refused(), refused(), new TypeError('cut'), answer(503), answer(200)]);
  const seen = watch(stillSignedIn(() => send(`${SITE}/session/`, { method: 'POST', ratelimit: { bootstrap: true } })));
  await clock.advance(MINUTE);
  assert.deepEqual([seen.value, asked.length], [true, 7], 'a marked request is tried until the deadline, over anything');
  const never = kit([answer('refused for an hour')]);
  const unknown = await stillSignedIn(() => never.send(`${SITE}/session/`, { ratelimit: { bootstrap: true } }));
  assert.equal(unknown, undefined, 'and when it ends without an answer, that says nothing about the session');
});

test('a login is known by its URL, too, unless the request says otherwise', async () => {
  const isBootstrap = (url, method) => url.endsWith('/login/') && method === 'POST';
  const late = () => answer(429, { 'Retry-After': '90' });
  const { send, clock, asked } = kit([late(), late(), answer(200)], { isBootstrap });
  await assert.rejects(send(`${SITE}/login/`, { method: 'POST', ratelimit: { bootstrap: false } }), { status: 429 });
  const seen = watch(send(`${SITE}/login/`, { method: 'POST' }));
  await clock.advance(91_000);
  assert.deepEqual([seen.value?.status, asked.length], [200, 3]);
});

test('a login waits longer than other requests do', async () => {
  const { send, clock, asked } = kit([answer(429, { 'Retry-After': '90' }), answer(200)]);
  const seen = watch(send(`${SITE}/login/`, { method: 'POST', body: 'username=alice', ratelimit: { bootstrap: true } }));
  await clock.advance(91_000);
  assert.deepEqual([seen.value?.status, asked[1].body], [200, 'username=alice']);
});

test('its search debounce was never built', async () => {
  const clock = new ManualClock();
  const asked = [];
  const find = debounced((text) => asked.push(text), undefined, clock);
  for (const text of ['p', 'pi', 'pia']) find(text);
  await clock.advance(299);
  assert.deepEqual(asked, []);
  await clock.advance(1);
  assert.deepEqual(asked, ['pia']);
});

test('cross-origin code could not read Retry-After, and the mock hid that: here the headers are the serializer’s, and where they are hidden it backs off', async () => {
  assert.deepEqual(FIXTURE.answers.refused.headers.find(([name]) => name === 'Retry-After'), ['Retry-After', '1']);
  const { send, clock, times } = kit([answer(429), answer(200)]); // what a browser shows of an answer that exposes nothing
  const seen = watch(send(`${SITE}/a`));
  await clock.advance(MINUTE);
  assert.deepEqual([seen.state, times().length], ['done', 2]);
});

test('the global fetch is looked up at each call', async (t) => {
  const send = createFetch({ channel: '' });
  const mock = t.mock.method(globalThis, 'fetch', async () => answer(200));
  await send(`${SITE}/a`);
  assert.equal(mock.mock.callCount(), 1);
});
