// What one tab learns, all know: ten tabs on one exhausted bucket.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Bucket, createFetch, ManualClock, SITE, stub, watch } from './world.mjs';

const LATENCY_MS = 3;

/** Tabs of one browser: channels with a latency, and locks unless there are none. */
function browser(t, { locks = true } = {}) {
  const clock = new ManualClock();
  const open = new Set();
  stub(t, 'BroadcastChannel', class {
    constructor(name) {
      this.name = name;
      open.add(this);
    }
    postMessage(message) {
      const copy = structuredClone(message);
      for (const other of open) {
        if (other !== this && other.name === this.name) clock.setTimeout(() => other.onmessage?.({ data: copy }), LATENCY_MS);
      }
    }
  });
  const lines = new Map();
  const request = async (name, { signal } = {}, run) => {
    const mine = (lines.get(name) ?? Promise.resolve()).then(() => {
      signal?.throwIfAborted();
      return run();
    });
    lines.set(name, mine.catch(() => {}));
    return mine;
  };
  stub(t, 'navigator', locks ? { locks: { request } } : {});
  const tab = (server, options) => createFetch({ clock, fetch: server.fetch, ...options });
  return { clock, tab };
}

/** The most requests in any stretch of so long. */
function busiest(answered, ms) {
  return Math.max(...answered.map(({ at }) => answered.filter((one) => one.at >= at && one.at < at + ms).length));
}

async function exhaust(clock, server, send) {
  for (let n = 0; n <= server.burst; n += 1) watch(send(`${SITE}/list?${n}`));
  await clock.advance(20);
  assert.equal(server.count(429), 1);
  server.answered.length = 0;
}

for (const locks of [true, false]) {
  test(`ten tabs on one exhausted bucket send at most two requests for each Retry-After (${locks ? 'with' : 'without'} locks)`, async (t) => {
    const { clock, tab } = browser(t, { locks });
    const server = new Bucket(clock, { intervalMs: 3000, burst: 3, latencyMs: 5 });
    const tabs = Array.from({ length: 10 }, () => tab(server));
    await clock.advance(10);
    await exhaust(clock, server, tabs[0]);
    const seen = tabs.map((send, n) => watch(send(`${SITE}/list?tab=${n}`)));
    await clock.advance(60_000);
    assert.deepEqual(seen.map(({ value }) => value?.status), Array(10).fill(200));
    if (locks) assert.ok(busiest(server.answered, 3000) <= 2, `${busiest(server.answered, 3000)} in 3 s`);
    assert.ok(server.answered.length <= (locks ? 12 : 30), `${server.answered.length} requests`);
  });
}

test('a tab that opens later asks what is blocked, and does not learn it by a refusal', async (t) => {
  const { clock, tab } = browser(t);
  const server = new Bucket(clock, { intervalMs: 5000, burst: 1 });
  await exhaust(clock, server, tab(server));
  const late = tab(server);
  await clock.advance(10);
  const seen = watch(late(`${SITE}/list`));
  await clock.advance(2000);
  assert.deepEqual([seen.state, server.answered.length], ['pending', 0]);
  await clock.advance(20_000);
  assert.deepEqual([seen.value?.status, server.count(429)], [200, 0]);
});

test('tabs that share nothing learn for themselves', async (t) => {
  const { clock, tab } = browser(t);
  const server = new Bucket(clock, { intervalMs: 5000, burst: 1 });
  await exhaust(clock, server, tab(server));
  watch(tab(server, { channel: '' })(`${SITE}/list`));
  watch(tab(server, { channel: 'another app' })(`${SITE}/list`));
  await clock.advance(100);
  assert.equal(server.count(429), 2);
});

test('a request that hangs in its turn keeps the others for three seconds, not for ever', async (t) => {
  const { clock, tab } = browser(t);
  const server = new Bucket(clock, { burst: 1 });
  const hanging = (request, init) => (request.url.includes('hangs') ? new Promise(() => {}) : server.fetch(request, init));
  const [one, other] = [hanging, server.fetch].map((fetch) => tab({ fetch }, { random: () => 0.5 }));
  await clock.advance(10);
  await exhaust(clock, server, other);
  const hangs = watch(one(`${SITE}/list?hangs`));
  await clock.advance(3000);
  const seen = watch(other(`${SITE}/list?goes-on`));
  await clock.advance(1000);
  assert.equal(seen.state, 'pending');
  await clock.advance(5000);
  assert.deepEqual([hangs.state, seen.value?.status], ['pending', 200]);
});

test('where the browser forbids channels and locks, as it does where storage is blocked, the page manages alone', async (t) => {
  const forbid = () => new DOMException('forbidden', 'SecurityError');
  stub(t, 'BroadcastChannel', class {
    constructor() {
      throw forbid();
    }
  });
  stub(t, 'navigator', { locks: { request: () => Promise.reject(forbid()) } });
  const clock = new ManualClock();
  const server = new Bucket(clock, { burst: 1 });
  const send = createFetch({ clock, fetch: server.fetch });
  const seen = [1, 2, 3].map((n) => watch(send(`${SITE}/list?${n}`)));
  await clock.advance(10_000);
  assert.deepEqual(seen.map(({ value }) => value?.status), [200, 200, 200]);
});

test('an abort in the line leaves the line to the others', async (t) => {
  for (const locks of [true, false]) {
    const { clock, tab } = browser(t, { locks });
    const server = new Bucket(clock, { burst: 1 });
    const send = tab(server);
    await exhaust(clock, server, send);
    const stop = new AbortController();
    const gone = watch(send(`${SITE}/list?gone`, { signal: stop.signal }));
    const stays = watch(send(`${SITE}/list?stays`));
    await clock.advance(100);
    stop.abort();
    await clock.advance(0);
    assert.equal(gone.error?.name, 'AbortError');
    await clock.advance(10_000);
    assert.equal(stays.value?.status, 200);
    assert.ok(!server.answered.some(({ url }) => url.endsWith('gone')));
  }
});

test('a channel of Node does not keep the process', async () => {
  const { execFileSync } = await import('node:child_process');
  const module = new URL('../../django_ratelimit_gcra/static/django_ratelimit_gcra/ratelimit-fetch.js', import.meta.url);
  const code = `import(${JSON.stringify(module.href)}).then(({ createFetch }) => console.log(typeof createFetch()))`;
  assert.equal(execFileSync(process.execPath, ['-e', code], { timeout: 20_000, encoding: 'utf8' }), 'function\n');
});
