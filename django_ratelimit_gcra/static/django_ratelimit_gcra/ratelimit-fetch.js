// fetch, for servers that say how long to wait; described in ratelimit-fetch.d.ts
import { CLOCK, createTurns, retryAfterMs, sleep } from './ratelimit-time.js';

export { countdown, debounced } from './ratelimit-time.js';
export { retryAfterMs };

/** @import { Caller, Depart, Exchange, Flight, Given, Read, Refused, Rest, Send, Share } from './ratelimit-internals.js' */

const KEY_FIELD = 'idempotency_key'; // of {% ratelimit_key %}
const REFUSALS = [429, 503];
const NO_ANSWERS = [401, 403, 408, 425, 429]; // nor is a 5xx
const UNDECIDED = ['in_progress', 'outcome_unknown'];
const LEAST_BACKOFF_MS = 100; // never at once
const BACKOFF_MS = 500;
const DEFAULTS = {
  retries: 2,
  maxWaitMs: 60_000,
  deadlineMs: 120_000,
  jitterMs: 250,
  financialPolicies: ['financial'],
  channel: 'ratelimit-fetch',
  random: Math.random,
  clock: CLOCK,
};

export class RateLimitError extends Error {
  name = 'RateLimitError';

  /** @param {Given} given */
  constructor(...[status, policy, retryAfterMs, problem, response]) {
    super(problem?.detail ?? `Refused with ${status} by ${policy}`);
    Object.assign(this, { status, policy, retryAfterMs, problem, response });
  }
}

/** @param {Response} response */
const problemOf = (response) => response.clone().json().catch(() => null);

/** @type {Read} */
function read({ headers }, nowMs) {
  const policy = headers.get('X-RateLimit-Policy');
  const left = headers.get('X-RateLimit-Remaining');
  const spent = [...(headers.get('RateLimit') ?? '').matchAll(/"(\w+)[^"]*";r=0;t=(\d+)/g)];
  return {
    policy,
    policies: policy?.split(', ') ?? [],
    spent: spent.map((item) => item[1]),
    remaining: left ? Number(left) : null,
    pauseMs: Math.max(0, ...spent.map((item) => Number(item[2]) * 1000)),
    waitMs: retryAfterMs(headers.get('Retry-After'), nowMs, headers.get('Date')),
  };
}

/**
 * One flight for all who ask for the same. Each has a body and an abort of its own; the last abort ends the flight.
 * @type {() => Share}
 */
function createShare() {
  /** @type {Map<string, Flight>} */
  const flights = new Map();

  /** @type {Depart} */
  function depart(key, start) {
    const controller = new AbortController();
    /** @type {Flight} */
    const flight = { controller, callers: new Set(), land: () => flights.get(key) === flight && flights.delete(key) };
    flights.set(key, flight);
    start(controller.signal)
      .finally(flight.land)
      .then(
        (response) => {
          let others = flight.callers.size;
          for (const [resolve] of flight.callers) resolve(--others ? response.clone() : response);
        },
        (error) => flight.callers.forEach(([, reject]) => reject(error)),
      );
    return flight;
  }

  return (key, signal, start) =>
    new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const { callers, controller, land } = flights.get(key) ?? depart(key, start);
      /** @type {Caller} */
      const caller = [resolve, reject];
      callers.add(caller);
      const leave = () => {
        reject(signal?.reason);
        callers.delete(caller);
        if (callers.size) return;
        land();
        controller.abort(signal?.reason);
      };
      signal?.addEventListener('abort', leave, { once: true });
    });
}

/** @type {typeof import('./ratelimit-fetch.js').createFetch} */
export function createFetch(given = {}) {
  const options = { ...DEFAULTS, ...given };
  const { clock, random, channel } = options;
  const turns = createTurns(clock, channel);
  const share = createShare();

  /**
   * Waits, or gives up at once.
   * @type {Rest}
   */
  async function rest({ request, response, error, said, attempt, ...ask }, ms) {
    const waiting = ask.again && ms <= ask.maxWaitMs && clock.now() + ms < ask.latest;
    const { url, method } = request;
    const { policy, remaining } = said;
    const status = response?.status ?? (error ? 0 : 429);
    const state = { url, method, status, policy, remaining, seconds: Math.ceil(ms / 1000), attempt, waiting };
    Promise.resolve(state).then(options.onLimit).catch(console.error);
    if (waiting) return sleep(clock, ms + 1 + random() * options.jitterMs, ask.signal);
    throw error ?? new RateLimitError(status, policy, said.waitMs, response && (await problemOf(response)), response);
  }

  /** @type {Exchange} */
  async function exchange(ask, inTurn) {
    const { request, signal, route } = ask;
    const cut = globalThis.navigator?.onLine === false && (inTurn || ask.attempt > 0);
    ask.response = ask.error = null;
    ask.attempt += 1;
    try {
      if (cut) await sleep(clock, ask.latest - clock.now(), signal, globalThis);
      ask.response = await (options.fetch ?? fetch)(ask.retry || ask.poll ? request.clone() : request, { signal });
    } catch (error) {
      ask.error = error;
    }
    ask.said = read(ask.response ?? Response.error(), clock.now());
    if (!ask.response) return;
    const { policies, spent, remaining, waitMs, pauseMs } = ask.said;
    const refused = REFUSALS.includes(ask.response.status);
    const ms = refused ? (waitMs ?? 0) : remaining === 0 ? pauseMs : null;
    turns.spread({ route, policies, spent: refused || inTurn ? (spent.length ? spent : policies) : [], ms });
  }

  /** @type {Refused} */
  async function refused(ask) {
    const { retry, poll, attempt, response, error, said } = ask;
    const pending = poll && response?.status === 409 && (await problemOf(response))?.code === 'in_progress';
    const financial = said.policies.some((policy) => options.financialPolicies.includes(policy));
    ask.again = pending || (retry && !financial && attempt <= ask.retries);
    if (error) return retry && (attempt > 1 || ask.bootstrap) && !ask.signal?.aborted;
    return pending || REFUSALS.includes(response?.status ?? 0);
  }

  /** @type {Send} */
  async function send(ask) {
    const { route, signal } = ask;
    for (;;) {
      if (!ask.retry || !turns.limited(route)) await exchange(ask, false);
      else {
        await turns.pass(
          route,
          signal,
          (waitMs, policies) => rest({ ...ask, said: { ...ask.said, policy: policies.join(', '), remaining: 0, waitMs } }, waitMs),
          () => exchange(ask, true),
        );
      }
      if (!(await refused(ask))) {
        if (ask.response) return ask.response;
        throw ask.error;
      }
      const { waitMs } = ask.said;
      const backoff = LEAST_BACKOFF_MS + random() * Math.min(options.maxWaitMs, BACKOFF_MS * 2 ** (ask.attempt - 1));
      if (!ask.again || !waitMs || !turns.limited(route)) await rest(ask, waitMs ?? backoff);
    }
  }

  return async (input, { ratelimit = {}, ...init } = {}) => {
    const signal = init.signal ?? (input instanceof Request ? input.signal : null);
    const request = new Request(input, { ...init, signal: null });
    if (ratelimit.key) request.headers.set('Idempotency-Key', ratelimit.key.value);
    const { method, url, credentials, mode, cache, redirect, headers } = request;
    const { origin, pathname } = new URL(url);
    const { bootstrap = false } = ratelimit;
    const keyed = headers.has('Idempotency-Key');
    const safe = method === 'GET' || method === 'HEAD';
    const financial = ratelimit.financial || options.isFinancial?.(url, method);
    const ask = {
      request,
      route: `${origin} ${method} ${pathname}`,
      bootstrap,
      retry: !financial && (safe || bootstrap || (keyed && ratelimit.retry === true)),
      poll: keyed && ratelimit.poll === true,
      retries: bootstrap ? Infinity : options.retries,
      maxWaitMs: bootstrap ? Infinity : options.maxWaitMs,
      latest: clock.now() + (ratelimit.deadlineMs ?? options.deadlineMs),
      attempt: 0,
      again: true,
      response: null,
      error: null,
      said: read(Response.error(), 0),
    };
    const same = [method, url.split('#')[0], credentials, mode, cache, redirect, [...headers], ratelimit];
    const response = safe
      ? await share(JSON.stringify(same), signal, (flight) => send({ ...ask, signal: flight }))
      : await send({ ...ask, signal });
    await ratelimit.key?.settle(response);
    return response;
  };
}

/** @type {typeof import('./ratelimit-fetch.js').idempotencyKey} */
export function idempotencyKey(form) {
  let field = /** @type {HTMLInputElement | null} */ (form.elements.namedItem(KEY_FIELD));
  if (!field) {
    field = form.ownerDocument.createElement('input');
    Object.assign(field, { type: 'hidden', name: KEY_FIELD });
    form.append(field);
  }
  const fresh = () => crypto.getRandomValues(new Uint32Array(4)).join('-');
  const value = (field.value ||= fresh());
  return {
    value,
    async settle(response) {
      if (response.status >= 500 || NO_ANSWERS.includes(response.status)) return;
      if (response.status === 409 && UNDECIDED.includes((await problemOf(response))?.code)) return;
      if (field.value === value) field.value = fresh();
    },
  };
}

/** @type {typeof import('./ratelimit-fetch.js').stillSignedIn} */
export async function stillSignedIn(check) {
  const { ok, status } = await check().catch(() => Response.error());
  return ok || (status === 401 ? false : undefined);
}
