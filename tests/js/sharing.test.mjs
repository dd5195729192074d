// The same request in flight is sent once, and each caller has an answer of its own.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { answer, Bucket, createFetch, kit, ManualClock, RateLimitError, SITE, watch } from './world.mjs';

/** A kit whose server answers when the test says so. */
function held() {
  const open = [];
  const answers = Array.from({ length: 9 }, () => (request, signal) =>
    new Promise((resolve, reject) => {
      open.push({ resolve, signal });
      signal.addEventListener('abort', () => reject(signal.reason));
    }));
  return { ...kit(answers), open };
}

test('the same GET in flight is sent once, and every caller reads the whole body', async () => {
  const { send, asked, clock, open } = held();
  const seen = [1, 2, 3].map(() => watch(send(`${SITE}/a?q=1`)));
  await clock.advance(0);
  open[0].resolve(answer(200));
  await clock.advance(0);
  assert.equal(asked.length, 1);
  assert.deepEqual(await Promise.all(seen.map(({ value }) => value.text())), Array(3).fill('answer 200'));
});

test('one URL in several spellings is the same, one with another query is not', async () => {
  const { send, asked, clock } = held();
  for (const url of [`${SITE}/a?q=1`, `${SITE}:443/b/../a?q=1#x`, new URL(`${SITE}/a?q=1`), new Request(`${SITE}/a?q=1`)]) watch(send(url));
  watch(send(`${SITE}/a?q=2`));
  await clock.advance(0);
  assert.deepEqual(asked.map(({ url }) => url), [`${SITE}/a?q=1`, `${SITE}/a?q=2`]);
});

for (const [what, one, other] of [
  ['method', {}, { method: 'HEAD' }],
  ['credentials', { credentials: 'omit' }, { credentials: 'include' }],
  ['Accept', { headers: { Accept: 'text/html' } }, { headers: { Accept: 'application/json' } }],
  ['Accept-Language', { headers: { 'Accept-Language': 'de' } }, {}],
  ['Authorization', { headers: { Authorization: 'Token a' } }, { headers: { Authorization: 'Token b' } }],
  ['mode', { mode: 'cors' }, { mode: 'same-origin' }],
  ['cache', { cache: 'reload' }, {}],
  ['wishes', { ratelimit: { bootstrap: true } }, {}],
]) {
  test(`another ${what} is another request`, async () => {
    const { send, asked, clock } = held();
    watch(send(`${SITE}/a`, one));
    watch(send(`${SITE}/a`, other));
    await clock.advance(0);
    assert.equal(asked.length, 2);
  });
}

test('what may have effects is never shared', async () => {
  const { send, asked, clock } = held();
  for (let n = 0; n < 2; n += 1) watch(send(`${SITE}/a`, { method: 'POST', body: 'same' }));
  await clock.advance(0);
  assert.equal(asked.length, 2);
});

test('one caller’s abort is its own, the last one’s ends the request', async () => {
  const { send, open, clock, asked } = held();
  const stops = [new AbortController(), new AbortController()];
  const seen = stops.map(({ signal }) => watch(send(`${SITE}/a`, { signal })));
  await clock.advance(0);
  stops[0].abort(new Error('mine'));
  await clock.advance(0);
  assert.deepEqual([seen[0].error?.message, seen[1].state, open[0].signal.aborted], ['mine', 'pending', false]);
  stops[1].abort(new Error('last'));
  await clock.advance(0);
  assert.deepEqual([seen[1].error?.message, open[0].signal.aborted], ['last', true]);
  const again = watch(send(`${SITE}/a`));
  await clock.advance(0);
  open[1].resolve(answer(200));
  await clock.advance(0);
  assert.deepEqual([again.value?.status, asked.length], [200, 2], 'who comes later does not join what was ended');
});

test('a caller without a signal keeps the request alive', async () => {
  const { send, open, clock } = held();
  const stop = new AbortController();
  watch(send(`${SITE}/a`, { signal: stop.signal }));
  const other = watch(send(`${SITE}/a`));
  await clock.advance(0);
  stop.abort();
  open[0].resolve(answer(200));
  await clock.advance(0);
  assert.equal(await other.value.text(), 'answer 200');
});

test('who joins after somebody left reads the whole body as well', async () => {
  const { send, open, clock } = held();
  const stop = new AbortController();
  const seen = [watch(send(`${SITE}/a`)), watch(send(`${SITE}/a`, { signal: stop.signal }))];
  await clock.advance(0);
  stop.abort();
  seen.push(watch(send(`${SITE}/a`)), watch(send(`${SITE}/a`)));
  await clock.advance(0);
  open[0].resolve(answer(200));
  await clock.advance(0);
  const texts = await Promise.all(seen.filter(({ value }) => value).map(({ value }) => value.text()));
  assert.deepEqual(texts, Array(3).fill('answer 200'));
});

test('an abort while the body is read ends the request of a single caller', async () => {
  const { send, open, clock } = held();
  const stop = new AbortController();
  const seen = watch(send(`${SITE}/a`, { signal: stop.signal }));
  await clock.advance(0);
  open[0].resolve(answer(200));
  await clock.advance(0);
  stop.abort();
  assert.deepEqual([seen.state, open[0].signal.aborted], ['done', true]);
});

test('an error is every caller’s, and the next request is a new one', async () => {
  const { send, asked, clock } = kit([new TypeError('down'), answer('something left')]);
  const seen = [1, 2].map(() => watch(send(`${SITE}/a`)));
  await clock.advance(0);
  assert.deepEqual(seen.map(({ error }) => error?.message), ['down', 'down']);
  assert.equal((await send(`${SITE}/a`)).status, 200);
  assert.equal(asked.length, 2);
});

test('a refusal is waited for once, for all', async () => {
  const clock = new ManualClock();
  const server = new Bucket(clock, { burst: 1 });
  const send = createFetch({ clock, fetch: server.fetch, channel: '' });
  await Promise.all([send(`${SITE}/spent`), clock.advance(10)]);
  const seen = Array.from({ length: 5 }, () => watch(send(`${SITE}/a`)));
  await clock.advance(2000);
  assert.ok(seen.every(({ value }) => value?.status === 200));
  assert.equal(server.answered.length, 3);
});

test('an error that is shared can be read by each', async () => {
  const { send } = kit([answer('refused for an hour')]);
  const seen = await Promise.allSettled([send(`${SITE}/a`), send(`${SITE}/a`)]);
  for (const { reason } of seen) assert.ok(reason instanceof RateLimitError && reason.problem.code === 'rate_limited');
});
