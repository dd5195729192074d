// What is sent again, when, and how often; what is not.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { answer, Bucket, createFetch, FIXTURE, form, idempotencyKey, kit, ManualClock, RateLimitError, SITE, stub, watch } from './world.mjs';

const PAY = { method: 'POST', body: 'card=4242', headers: { 'Idempotency-Key': 'k1' } };
const MINUTE = 60_000;

test('an answer is handed on as it is', async () => {
  const { send, asked, states } = kit([answer('something left')]);
  const response = await send(`${SITE}/a?q=1#there`);
  assert.equal(await response.text(), 'found');
  assert.deepEqual([asked.length, states], [1, []]);
});

for (const said of ['refused', 'without a store']) {
  for (const method of ['GET', 'HEAD']) {
    test(`${method}, ${said}: waits as long as the server says and a jitter, and is admitted`, async () => {
      const { send, clock, states, times } = kit([answer(said), answer('something left')], { random: () => 0.5, jitterMs: 200 });
      const seen = watch(send(`${SITE}/a`, { method }));
      await clock.advance(10 * MINUTE);
      const waitMs = Number(answer(said).headers.get('Retry-After')) * 1000;
      assert.equal(seen.state, 'done');
      assert.deepEqual(times(), [0, waitMs + 101]);
      assert.equal(states.length, 1);
      assert.equal(states[0].waiting, true);
    });
  }
}

test('a jitter below nothing never comes back too early', async () => {
  const { send, clock, times } = kit([answer('refused'), answer('something left')], { random: () => 1, jitterMs: -5_000 });
  watch(send(`${SITE}/a`));
  await clock.advance(MINUTE);
  assert.deepEqual(times(), [0, Number(answer('refused').headers.get('Retry-After')) * 1000 + 1]);
});

test('the page is told of the policy, of what is left, of the seconds and of the try', async () => {
  const { send, clock, states } = kit([answer('refused'), answer('something left')]);
  send(`${SITE}/a?b`);
  await clock.advance(MINUTE);
  const [state] = states;
  assert.deepEqual(state, { url: `${SITE}/a?b`, method: 'GET', status: 429, policy: 'read', remaining: 0, seconds: 1, attempt: 1, waiting: true });
});

test('a page that fails while it is told is none of the request’s business', async (t) => {
  const said = t.mock.method(console, 'error', () => {});
  const onLimit = () => {
    throw new Error('the page');
  };
  const { send, clock } = kit([answer('refused'), answer('something left')], { onLimit });
  const seen = watch(send(`${SITE}/a`));
  await clock.advance(MINUTE);
  assert.equal(seen.state, 'done');
  assert.equal(said.mock.callCount(), 1);
});

test('the body of a refusal that nobody will read is let go, so that it holds no connection', async () => {
  const cancelled = [];
  const refusal = (n) => new Response(new ReadableStream({ cancel: () => void cancelled.push(n) }), { status: 503 });
  const { send, clock } = kit([refusal(1), refusal(2), answer(200)]);
  const seen = watch(send(`${SITE}/a`));
  await clock.advance(MINUTE);
  assert.deepEqual([seen.state, cancelled], ['done', [1, 2]]);
});

test('two more tries, and then an error that says everything', async () => {
  const { send, clock, asked, states } = kit([answer('refused'), answer('refused'), answer('refused')]);
  const seen = watch(send(`${SITE}/a`));
  await clock.advance(MINUTE);
  assert.ok(seen.error instanceof RateLimitError && seen.error instanceof Error);
  const { name, status, policy, retryAfterMs, problem, message } = seen.error;
  assert.deepEqual([name, status, policy, retryAfterMs], ['RateLimitError', 429, 'read', 1000]);
  assert.deepEqual(problem, FIXTURE.answers.refused.body);
  assert.equal(message, problem.detail);
  assert.equal((await seen.error.response.json()).code, 'rate_limited', 'the body is still there to read');
  assert.equal(asked.length, 3);
  assert.deepEqual(states.map(({ waiting }) => waiting), [true, true, false]);
});

test('a refusal without a body or a policy is an error, too', async () => {
  const { send } = kit([answer(429)], { retries: 0 });
  await assert.rejects(send(`${SITE}/a`), { status: 429, policy: null, retryAfterMs: null, problem: null, message: /429/ });
});

for (const text of ['1.5', '-1', '12, 12', 'Infinity', 'soon']) {
  test(`Retry-After ${text} is none: it backs off`, async () => {
    const { send, clock, times } = kit([answer(429, { 'Retry-After': text }), answer('something left')], { random: () => 0.5 });
    send(`${SITE}/a`);
    await clock.advance(MINUTE);
    assert.deepEqual(times(), [0, 100 + 250 + 1]);
  });
}

test('without Retry-After the wait is drawn from a range that doubles', async () => {
  for (const [random, waits] of [[0, [101, 101, 101]], [0.998, [600, 1099, 2097]]]) {
    const { send, clock, times } = kit([answer(503), answer(503), answer(503), answer(200)], { random: () => random, retries: 3 });
    send(`${SITE}/a`);
    await clock.advance(MINUTE);
    const at = times();
    assert.deepEqual(at.slice(1).map((ms, n) => Math.round(ms - at[n])), waits);
  }
});

test('a backoff is never longer than one wait may be', async () => {
  const { send, clock, times } = kit([answer(503), answer(503)], { random: () => 1, retries: 1, maxWaitMs: 200 });
  watch(send(`${SITE}/a`));
  await clock.advance(MINUTE);
  assert.deepEqual(times(), [0], '300 ms are more than it may be, so it gives up');
});

test('Retry-After 0 is no reason to come back at once', async () => {
  const { send, clock, times } = kit([answer('refused', { 'Retry-After': '0' }), answer(200)].map((one) => {
    one.headers.set('Retry-After', '0');
    return one;
  }));
  send(`${SITE}/a`);
  await clock.advance(MINUTE);
  assert.deepEqual(times(), [0, 1]);
});

test('an hour is too long: the error comes at once, and says how long', async () => {
  const { send, clock, states } = kit([answer('refused for an hour')]);
  const seen = watch(send(`${SITE}/a`));
  await clock.advance(0);
  assert.deepEqual([seen.error?.retryAfterMs, states[0].seconds, states[0].waiting], [3_600_000, 3600, false]);
});

test('what would end after the deadline is not waited for', async () => {
  const { send, clock, asked } = kit([answer('refused'), answer('refused'), answer('refused')], { retries: 9 });
  const seen = watch(send(`${SITE}/a`, { ratelimit: { deadlineMs: 2500 } }));
  await clock.advance(2003);
  assert.equal(seen.state, 'failed', 'the third wait would have ended at 3 s');
  assert.equal(asked.length, 3);
});

test('a block that lasts longer than a request may wait is told without sending it', async () => {
  const { send, clock, asked } = kit([answer('refused for an hour')]);
  await assert.rejects(send(`${SITE}/a`));
  await clock.advance(1000);
  await assert.rejects(send(`${SITE}/a?other`), { status: 429, policy: 'hourly', retryAfterMs: 3_599_000, response: null, problem: null });
  assert.equal(asked.length, 1);
});

test('a wait of 2 ** 31 ms is a wait, in pieces that fit into a timer', async () => {
  const { send, clock, times } = kit([answer(429, { 'Retry-After': String(2 ** 31) }), answer(200)], { maxWaitMs: Infinity, deadlineMs: Infinity });
  const seen = watch(send(`${SITE}/a`));
  await clock.advance(2 ** 31 * 1000);
  assert.deepEqual([seen.state, times()], ['pending', [0]]);
  await clock.advance(1);
  assert.deepEqual([seen.state, times()], ['done', [0, 2 ** 31 * 1000 + 1]]);
  assert.ok(clock.longest < 2 ** 31);
});

test('a timer that fires early is set again', async () => {
  const { send, clock, times } = kit([answer('refused'), answer(200)]);
  const { setTimeout } = clock;
  clock.setTimeout = (run, ms) => setTimeout(run, ms / 2);
  send(`${SITE}/a`);
  await clock.advance(MINUTE);
  assert.ok(times()[1] >= 1001);
});

for (const policy of ['refused', 429]) {
  test(`an abort ends the wait at once, with its reason (${policy})`, async () => {
    const { send, clock, asked } = kit([answer(policy, policy === 429 ? { 'Retry-After': '5' } : {})]);
    const stop = new AbortController();
    const seen = watch(send(`${SITE}/a`, { signal: stop.signal }));
    await clock.advance(500);
    stop.abort(new Error('enough'));
    await clock.advance(0);
    assert.equal(seen.error?.message, 'enough');
    await clock.advance(MINUTE);
    assert.deepEqual([asked.length, clock.timers.size], [1, 0]);
  });
}

test('what was aborted before is never sent', async () => {
  const { send, asked } = kit([]);
  await assert.rejects(send(`${SITE}/a`, { signal: AbortSignal.abort() }), { name: 'AbortError' });
  await assert.rejects(send(new Request(`${SITE}/a`, { signal: AbortSignal.abort() })), { name: 'AbortError' });
  assert.equal(asked.length, 0);
});

for (const method of ['POST', 'PUT', 'PATCH', 'DELETE']) {
  test(`${method} is sent once`, async () => {
    const { send, asked } = kit([answer('refused')]);
    await assert.rejects(send(`${SITE}/a`, { method }), { status: 429, retryAfterMs: 1000 });
    assert.equal(asked.length, 1);
  });
}

test('a key alone, or the wish alone, is not enough to send a POST again', async () => {
  const { send, asked } = kit([answer('refused'), answer('refused')]);
  await assert.rejects(send(`${SITE}/a`, PAY), RateLimitError);
  await assert.rejects(send(`${SITE}/a`, { method: 'POST', ratelimit: { retry: true } }), RateLimitError);
  assert.equal(asked.length, 2);
});

test('a POST with a key and the wish is sent again, with the same key and body', async () => {
  const { send, clock, asked } = kit([answer('refused'), answer('something left')]);
  const seen = watch(send(`${SITE}/a`, { ...PAY, ratelimit: { retry: true } }));
  await clock.advance(MINUTE);
  assert.equal(seen.state, 'done');
  assert.deepEqual(asked.map(({ key, body }) => [key, body]), [['k1', 'card=4242'], ['k1', 'card=4242']]);
});

test('a payment in progress is asked for with the same key until there is an answer', async () => {
  const pending = () => answer('a payment in progress');
  const { send, clock, times, asked, states } = kit([pending(), pending(), pending(), pending(), answer('something left')]);
  const seen = watch(send(`${SITE}/pay`, { ...PAY, ratelimit: { poll: true, financial: true } }));
  await clock.advance(MINUTE);
  assert.equal(seen.value?.status, 200);
  assert.deepEqual(times(), [0, 1001, 2002, 3003, 4004]);
  assert.ok(asked.every(({ key }) => key === 'k1'));
  assert.deepEqual(states.map(({ status, waiting }) => [status, waiting]), Array(4).fill([409, true]));
});

test('without the wish, a payment in progress is an answer', async () => {
  const { send } = kit([answer('a payment in progress')]);
  assert.equal((await send(`${SITE}/pay`, PAY)).status, 409);
});

test('a payment in doubt is an answer, and never asked for again', async () => {
  const { send, asked } = kit([answer('a payment in doubt')]);
  const response = await send(`${SITE}/pay`, { ...PAY, ratelimit: { poll: true } });
  assert.equal((await response.json()).code, 'outcome_unknown');
  assert.equal(asked.length, 1);
});

test('a payment that is in progress for longer than the deadline is an error that says so', async () => {
  const { send, clock } = kit([answer('a payment in progress'), answer('a payment in progress')]);
  const seen = watch(send(`${SITE}/pay`, { ...PAY, ratelimit: { poll: true, deadlineMs: 1500 } }));
  await clock.advance(MINUTE);
  assert.deepEqual([seen.error?.status, seen.error?.problem.code], [409, 'in_progress']);
});

test('a failure of the network is the page’s at first, and tried again after a wait', async () => {
  const down = new TypeError('fetch failed');
  const once = kit([down]);
  await assert.rejects(once.send(`${SITE}/a`), down);
  const { send, clock, asked, states } = kit([answer('refused'), down, answer('something left')]);
  const seen = watch(send(`${SITE}/a`));
  await clock.advance(MINUTE);
  assert.deepEqual([seen.state, asked.length, states[1].status], ['done', 3, 0]);
  const gone = kit([answer('refused'), down, down]);
  const lost = watch(gone.send(`${SITE}/a`));
  await gone.clock.advance(MINUTE);
  assert.equal(lost.error, down);
});

test('where the browser knows that it is cut off, the next try waits until it is not', async (t) => {
  stub(t, 'navigator', { onLine: false });
  const listeners = new Set();
  stub(t, 'addEventListener', (_, run) => listeners.add(run));
  stub(t, 'removeEventListener', (_, run) => listeners.delete(run));
  const { send, clock, asked } = kit([answer('refused'), answer('something left')]);
  const seen = watch(send(`${SITE}/a`));
  await clock.advance(5000);
  assert.deepEqual([seen.state, asked.length], ['pending', 1]);
  navigator.onLine = true;
  for (const run of listeners) run();
  await clock.advance(0);
  assert.deepEqual([seen.state, asked.length, listeners.size], ['done', 2, 0]);
});

test('a burst is absorbed: each waits for its own unit, and nobody sees a refusal', async () => {
  const clock = new ManualClock();
  const server = new Bucket(clock);
  const send = createFetch({ clock, fetch: server.fetch, channel: '' });
  const seen = Array.from({ length: 16 }, (_, n) => watch(send(`${SITE}/a?${n}`)));
  await clock.advance(5000);
  assert.ok(seen.filter(({ state }) => state === 'done').length < 16, 'six units take six seconds');
  await clock.advance(3000);
  assert.deepEqual(seen.map(({ value }) => value?.status), Array(16).fill(200));
  assert.deepEqual([server.count(200), server.count(429)], [16, 6], 'each was refused once at most');
});

test('where units come back faster than the whole seconds of Retry-After, one try finds several', async () => {
  const clock = new ManualClock();
  const server = new Bucket(clock, { intervalMs: 100, burst: 10 });
  const send = createFetch({ clock, fetch: server.fetch, channel: '' });
  const seen = Array.from({ length: 20 }, (_, n) => watch(send(`${SITE}/a?${n}`)));
  await clock.advance(1500);
  assert.deepEqual(seen.map(({ value }) => value?.status), Array(20).fill(200));
});

test('in shadow nobody waits, whatever the numbers say', async () => {
  const clock = new ManualClock();
  const server = new Bucket(clock, { shadow: true });
  const send = createFetch({ clock, fetch: server.fetch, channel: '' });
  const seen = Array.from({ length: 30 }, (_, n) => watch(send(`${SITE}/a?${n}`)));
  await clock.advance(10);
  assert.ok(seen.every(({ state }) => state === 'done'));
  const later = watch(send(`${SITE}/a?later`));
  await clock.advance(10);
  assert.equal(later.state, 'done');
});

test('once something is left again, requests go side by side', async () => {
  const clock = new ManualClock();
  const server = new Bucket(clock, { burst: 4, latencyMs: 10 });
  const send = createFetch({ clock, fetch: server.fetch, channel: '', jitterMs: 0 });
  Array.from({ length: 5 }, (_, n) => send(`${SITE}/a?${n}`));
  await clock.advance(MINUTE);
  await Promise.all([watch(send(`${SITE}/a?5`)), clock.advance(20)]);
  const seen = Array.from({ length: 3 }, (_, n) => watch(send(`${SITE}/a?${6 + n}`)));
  await clock.advance(11);
  assert.ok(seen.every(({ state }) => state === 'done'));
});

test('the same bucket name on two sites is two buckets, and several buckets block each other’s requests', async () => {
  const { send, clock, asked } = kit([answer('refused by one of two buckets'), answer(200), answer('something left')]);
  watch(send(`${SITE}/a`));
  await clock.advance(0);
  await send('https://other.example/a');
  assert.equal(asked.length, 2);
  await clock.advance(43_000);
  assert.equal(asked.length, 3);
});

test('a key of a form is sent, kept over refusals, and dropped after an answer', async () => {
  const { send, clock, asked } = kit([answer('refused a payment'), answer(201), answer(201)]);
  const page = form('first');
  const pay = () => send(`${SITE}/pay`, { method: 'POST', ratelimit: { key: idempotencyKey(page), financial: true } });
  await assert.rejects(pay(), RateLimitError);
  await pay();
  await pay();
  await clock.advance(0);
  assert.deepEqual(asked.slice(0, 2).map(({ key }) => key), ['first', 'first']);
  assert.notEqual(asked[2].key, 'first');
});

test('a route is learnt anew when its policy changes, and the oldest of many is forgotten', async () => {
  const many = Array.from({ length: 600 }, () => answer('something left'));
  const { send, clock, asked } = kit([answer('refused'), ...many]);
  const seen = watch(send(`${SITE}/a`));
  await clock.advance(MINUTE);
  for (let n = 0; n < 599; n += 1) await send(`${SITE}/${n}`);
  assert.deepEqual([seen.state, asked.length], ['done', 601]);
});
