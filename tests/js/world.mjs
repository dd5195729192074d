// A clock that is moved by hand, and servers, tabs and forms that know no other. No test here waits.
import { webcrypto } from 'node:crypto';
import { readFileSync } from 'node:fs';

import { createFetch } from '../../django_ratelimit_gcra/static/django_ratelimit_gcra/ratelimit-fetch.js';

export * from '../../django_ratelimit_gcra/static/django_ratelimit_gcra/ratelimit-fetch.js';

globalThis.crypto ??= webcrypto; // Node 18, which Debian 12 has, lacks nothing else

export const FIXTURE = JSON.parse(readFileSync(new URL('headers.json', import.meta.url), 'utf8'));
export const SITE = 'https://shop.example';

export class ManualClock {
  constructor(nowMs = FIXTURE.now_ms) {
    this.nowMs = nowMs;
    this.timers = new Map();
    this.longest = 0;
    this.last = 0;
  }

  now = () => this.nowMs;

  setTimeout = (run, ms) => {
    this.longest = Math.max(this.longest, ms);
    this.last += 1;
    // as a browser: what does not fit into 31 bits fires at once
    this.timers.set(this.last, { at: this.nowMs + (ms > 2 ** 31 - 1 ? 0 : Math.max(ms, 0)), run });
    return this.last;
  };

  clearTimeout = (timer) => void this.timers.delete(timer);

  /** Moves time by so much, and lets everything happen that falls into it, in order. */
  async advance(ms) {
    const until = this.nowMs + ms;
    for (;;) {
      await settled();
      const due = [...this.timers].filter(([, { at }]) => at <= until).sort(([, a], [, b]) => a.at - b.at)[0];
      if (!due) break;
      this.timers.delete(due[0]);
      this.nowMs = Math.max(this.nowMs, due[1].at);
      due[1].run();
    }
    this.nowMs = until;
    await settled();
  }
}

/** Returns when whatever can happen without time passing has happened. */
export async function settled() {
  for (let turn = 0; turn < 20; turn += 1) await new Promise((done) => setImmediate(done));
}

/** An answer of the shared fixture, by its name there, or a plain one of a status. */
export function answer(said, headers = {}) {
  const known = FIXTURE.answers[said];
  if (!known) return new Response(`answer ${said}`, { status: said, headers });
  return new Response(known.body ? JSON.stringify(known.body) : 'found', {
    status: known.status,
    headers: [...known.headers, ...Object.entries(headers)],
  });
}

/** A fetch that gives prepared answers in order (an Error is thrown) and keeps what it was asked. */
export function scripted(clock, ...answers) {
  const asked = [];
  const fetch = async (request, { signal } = {}) => {
    signal?.throwIfAborted();
    const body = await request.text();
    asked.push({ method: request.method, url: request.url, key: request.headers.get('Idempotency-Key'), body, at: clock.now() });
    const next = answers.shift();
    if (next === undefined) throw new Error(`no answer was prepared for ${request.method} ${request.url}`);
    if (next instanceof Error) throw next;
    return typeof next === 'function' ? next(request, signal) : next;
  };
  return { fetch, asked, times: () => asked.map(({ at }) => at - FIXTURE.now_ms) };
}

/** A kit on a clock of its own: no jitter but the least, no other tabs. */
export function kit(answers, options = {}) {
  const clock = new ManualClock();
  const server = scripted(clock, ...answers);
  const states = [];
  const onLimit = (state) => void states.push(state);
  const send = createFetch({ clock, fetch: server.fetch, random: () => 0, jitterMs: 0, channel: '', onLimit, ...options });
  return { clock, send, states, ...server };
}

/** What became of a promise so far. */
export function watch(promise) {
  const seen = { state: 'pending' };
  promise.then(
    (value) => Object.assign(seen, { state: 'done', value }),
    (error) => Object.assign(seen, { state: 'failed', error }),
  );
  return seen;
}

/** A bucket as the server has it, and what it answered: DESIGN.md section 5, in milliseconds. */
export class Bucket {
  constructor(clock, { name = 'read', intervalMs = 1000, burst = 10, latencyMs = 5, shadow = false } = {}) {
    Object.assign(this, { clock, name, intervalMs, burst, latencyMs, shadow, tat: 0, answered: [] });
  }

  fetch = async (request, { signal } = {}) => {
    signal?.throwIfAborted();
    await new Promise((done) => this.clock.setTimeout(done, this.latencyMs));
    const now = this.clock.now();
    const tat = Math.max(this.tat, now) + this.intervalMs;
    const room = this.burst * this.intervalMs - (tat - now);
    const refused = room < 0;
    if (!refused) this.tat = tat;
    const status = refused && !this.shadow ? 429 : 200;
    this.answered.push({ at: now, status, url: request.url });
    const left = refused ? 0 : Math.floor(room / this.intervalMs);
    const wait = Math.max(1, Math.ceil((refused ? -room : this.intervalMs - room) / 1000));
    return new Response(status === 429 ? '{"code": "rate_limited"}' : `page ${request.url}`, {
      status,
      headers: {
        'X-RateLimit-Remaining': String(left),
        'X-RateLimit-Policy': this.name,
        RateLimit: `"${this.name}";r=${left};t=${left ? Math.ceil(room / 1000) : wait}`,
        ...(status === 429 && { 'Retry-After': String(wait) }),
      },
    });
  };

  count = (status) => this.answered.filter((one) => one.status === status).length;
}

/** Replaces a global for one test. */
export function stub(t, name, value) {
  const before = Object.getOwnPropertyDescriptor(globalThis, name);
  Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  t.after(() => (before ? Object.defineProperty(globalThis, name, before) : delete globalThis[name]));
}

/** A form with the hidden field that `{% ratelimit_key %}` writes, or without it. */
export function form(value) {
  const fields = new Map(value === undefined ? [] : [['idempotency_key', { name: 'idempotency_key', value }]]);
  return {
    elements: { namedItem: (name) => fields.get(name) ?? null },
    ownerDocument: { createElement: () => ({ value: '' }) },
    append: (field) => fields.set(field.name, field),
    key: () => fields.get('idempotency_key')?.value,
  };
}
