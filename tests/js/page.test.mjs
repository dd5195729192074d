// What pages use beside fetch: keys, typing, counting down, staying signed in.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { answer, countdown, debounced, form, idempotencyKey, kit, ManualClock, settled, SITE, stillSignedIn, watch } from './world.mjs';

test('two clicks are one intent, and have one key', () => {
  const page = form('written-by-the-server');
  assert.deepEqual([idempotencyKey(page).value, idempotencyKey(page).value], ['written-by-the-server', 'written-by-the-server']);
});

test('a form without the hidden field gets one, so that it is sent without the kit, too', () => {
  const page = form();
  const { value } = idempotencyKey(page);
  assert.match(value, /^[\d-]{7,43}$/);
  assert.equal(page.key(), value);
  assert.notEqual(idempotencyKey(form()).value, value);
});

for (const [said, kept] of [
  ['something left', false], [201, false], [302, false], [400, false], [402, false], [404, false], [409, false], [410, false], [422, false],
  ['refused a payment', true], ['a payment in progress', true], ['a payment in doubt', true], ['without a store', true],
  [401, true], [403, true], [408, true], [425, true], [500, true], [502, true], [504, true],
]) {
  test(`a key is ${kept ? 'kept' : 'dropped'} after ${said}`, async () => {
    const page = form('k');
    await idempotencyKey(page).settle(answer(said));
    assert.equal(page.key() === 'k', kept);
    assert.ok(page.key());
  });
}

test('the answer to an older intent does not drop the key of a newer one', async () => {
  const page = form('k');
  const older = idempotencyKey(page);
  await older.settle(answer(201));
  const newer = page.key();
  await older.settle(answer(201));
  assert.equal(page.key(), newer);
});

test('a failure of the network keeps the key: nobody knows what became of the payment', async () => {
  const { send, asked } = kit([new TypeError('cut'), answer(201)]);
  const page = form('k');
  const pay = () => send(`${SITE}/pay`, { method: 'POST', ratelimit: { key: idempotencyKey(page), financial: true } });
  await assert.rejects(pay());
  await pay();
  assert.deepEqual(asked.map(({ key }) => key), ['k', 'k']);
  assert.notEqual(page.key(), 'k');
});

/** A search that keeps what it was asked and answers after so long. */
function search(clock, latencyMs = 200) {
  const asked = [];
  const run = async (text, signal) => {
    asked.push({ text, signal });
    await new Promise((done, fail) => {
      clock.setTimeout(done, latencyMs);
      signal.addEventListener('abort', () => fail(signal.reason));
    });
    return `found ${text}`;
  };
  return { asked, find: debounced(run, 300, clock) };
}

test('typing sends one request per pause, 300 ms after the last key', async () => {
  const clock = new ManualClock();
  const { asked, find } = search(clock);
  const seen = [];
  for (const text of ['p', 'pi', 'pia', 'pian', 'piano']) {
    seen.push(watch(find(text)));
    await clock.advance(100);
  }
  await clock.advance(199);
  assert.deepEqual(asked, []);
  await clock.advance(1000);
  assert.deepEqual(asked.map(({ text }) => text), ['piano']);
  assert.deepEqual(seen.map(({ state, value }) => [state, value]), [...Array(4).fill(['done', undefined]), ['done', 'found piano']]);
});

test('a key typed while a request is in flight ends it', async () => {
  const clock = new ManualClock();
  const { asked, find } = search(clock);
  const stale = watch(find('pia'));
  await clock.advance(400);
  const fresh = watch(find('piano'));
  await clock.advance(0);
  assert.deepEqual([asked[0].signal.aborted, stale.state, stale.value], [true, 'done', undefined]);
  await clock.advance(1000);
  assert.equal(fresh.value, 'found piano');
});

test('cancel() stops what is waiting and what is in flight', async () => {
  const clock = new ManualClock();
  const { asked, find } = search(clock);
  find.cancel();
  const waiting = watch(find('a'));
  find.cancel();
  await clock.advance(1000);
  assert.deepEqual([waiting.state, asked.length], ['done', 0]);
  const flying = watch(find('b'));
  await clock.advance(400);
  find.cancel();
  await clock.advance(0);
  assert.deepEqual([flying.state, flying.value, asked[0].signal.aborted], ['done', undefined, true]);
});

for (const how of ['throws', 'rejects']) {
  test(`an error of the search is the caller’s (${how})`, async () => {
    const clock = new ManualClock();
    const fail = () => {
      if (how === 'throws') throw new Error('down');
      return Promise.reject(new Error('down'));
    };
    const seen = watch(debounced(fail, 300, clock)());
    await clock.advance(300);
    assert.equal(seen.error?.message, 'down');
  });
}

/** As much of an element as a countdown needs; what is inserted is announced. */
function element() {
  const made = () => ({
    attributes: {},
    setAttribute(name, value) {
      this.attributes[name] = value;
    },
    remove() {
      if (this.parentNode) this.parentNode.children = [];
      this.parentNode = null;
    },
  });
  return {
    ...made(),
    children: [],
    announced: [],
    ownerDocument: { createElement: made },
    replaceChildren(...children) {
      for (const child of this.children) child.parentNode = null;
      this.children = children;
      for (const child of children) child.parentNode = this;
      this.announced.push(children.map((child) => child.textContent).join());
    },
    get text() {
      return this.children.map((child) => child.textContent).join();
    },
  };
}

test('a countdown ticks every second in a status, announces its start, and leaves nothing behind', async () => {
  const clock = new ManualClock();
  const place = element();
  const seen = watch(countdown(place, 3, { clock, text: (left) => `again in ${left} s` }));
  const shown = [];
  for (let n = 0; n < 4; n += 1) {
    shown.push(place.text);
    if (n === 0) assert.equal(place.children[0].attributes.role, 'timer', 'whose changes are not announced');
    await clock.advance(1000);
  }
  assert.deepEqual(shown, ['again in 3 s', 'again in 2 s', 'again in 1 s', '']);
  assert.deepEqual([place.attributes.role, place.announced, seen.state], ['status', ['again in 3 s'], 'done']);
});

test('a countdown of a fraction rounds up, and of nothing is over', async () => {
  const clock = new ManualClock();
  const place = element();
  watch(countdown(place, 1.2, { clock }));
  assert.equal(place.text, '2 s');
  await clock.advance(200);
  assert.equal(place.text, '1 s');
  const over = watch(countdown(element(), 0, { clock }));
  await settled();
  assert.equal(over.state, 'done');
});

test('an abort ends a countdown in peace', async () => {
  const clock = new ManualClock();
  const place = element();
  const stop = new AbortController();
  const seen = watch(countdown(place, 30, { clock, signal: stop.signal }));
  await clock.advance(1500);
  stop.abort();
  await settled();
  assert.deepEqual([seen.state, place.text, clock.timers.size], ['done', '', 0]);
});

test('a second countdown takes the place of the first', async () => {
  const clock = new ManualClock();
  const place = element();
  watch(countdown(place, 2, { clock, text: (left) => `first ${left}` }));
  watch(countdown(place, 9, { clock, text: (left) => `second ${left}` }));
  await clock.advance(2500);
  assert.equal(place.text, 'second 7');
});

test('a longer countdown does not come back where a shorter one, or the page, took its place', async () => {
  const clock = new ManualClock();
  const place = element();
  const first = watch(countdown(place, 9, { clock, text: (left) => `first ${left}` }));
  watch(countdown(place, 2, { clock, text: (left) => `second ${left}` }));
  await clock.advance(1500);
  assert.deepEqual([place.text, first.state], ['second 1', 'done']);
  await clock.advance(5000);
  assert.deepEqual([place.text, place.announced, clock.timers.size], ['', ['first 9', 'second 2'], 0]);
});

test('only a 401 says that a session is over', async () => {
  const said = async (status) => stillSignedIn(async () => answer(status));
  assert.deepEqual(await Promise.all([200, 202, 401, 403, 429, 500, 503].map(said)), [true, true, false, ...Array(4).fill(undefined)]);
  assert.equal(await stillSignedIn(() => Promise.reject(new TypeError('cut'))), undefined);
});
