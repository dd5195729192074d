// fetch, for servers that say how long to wait; described in ratelimit-fetch.d.ts
import { CLOCK, createTurns, retryAfterMs, sleep } from './ratelimit-time.js';

export { countdown, debounced, retryAfterMs } from './ratelimit-time.js';

/** @import * as T from './ratelimit-internals.js' */

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

  /** @param {T.Given} given */
  constructor(...[status, policy, retryAfterMs, problem, response]) {
    super(problem?.detail ?? `Refused with ${status} by ${policy}`);
    Object.assign(this, { status, policy, retryAfterMs, problem, response });
  }
}

/** @param {Response} response */
const problemOf = (response) => response.clone().json().catch(() => null);

/** @type {T.Read} */
function read(response, nowMs) {
  const { headers } = response ?? Response.error();
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

/** @type {T.Depart} */
function depart(start) {
  const controller = new AbortController();
  return { controller, callers: 0, unread: 0, answer: start(controller.signal) };
}

/** @type {T.Share} */
const share = (flights, key, signal, start) =>
  new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const flight = flights.get(key) ?? depart(start);
    const land = () => flights.get(key) === flight && flights.delete(key);
    const leave = () => {
      reject(signal?.reason);
      if (--flight.callers) return;
      land();
      flight.controller.abort(signal?.reason);
    };
    flights.set(key, flight);
    flight.callers += 1;
    flight.unread += 1;
    signal?.addEventListener('abort', leave, { once: true });
    flight.answer.finally(land).then((response) => resolve(--flight.unread ? response.clone() : response), reject);
  });

/** @type {T.Rest} */
async function rest({ clock, request, response, error, said, attempt, ...ask }, ms) {
  const waiting = ask.again && ms <= ask.maxWaitMs && clock.now() + ms < ask.latest;
  const { url, method } = request;
  const { policy, remaining } = said;
  const status = response?.status ?? (error ? 0 : 429);
  const state = { url, method, status, policy, remaining, seconds: Math.ceil(ms / 1000), attempt, waiting };
  Promise.resolve(state).then(ask.onLimit).catch(console.error);
  if (waiting) return sleep(clock, ms + 1 + Math.max(0, ask.random() * ask.jitterMs), ask.signal);
  throw error ?? new RateLimitError(status, policy, said.waitMs, response && (await problemOf(response)), response);
}

/** @type {T.Exchange} */
async function exchange(ask, inTurn) {
  const { clock, request, signal, route } = ask;
  const cut = globalThis.navigator?.onLine === false && (inTurn || ask.attempt > 0);
  ask.response?.body?.cancel().catch(() => {}); // it holds a connection
  ask.response = ask.error = null;
  ask.attempt += 1;
  try {
    if (cut) await sleep(clock, ask.latest - clock.now(), signal, globalThis);
    ask.response = await (ask.fetch ?? fetch)(ask.retry || ask.poll ? request.clone() : request, { signal });
  } catch (error) {
    ask.error = error;
  }
  ask.said = read(ask.response, clock.now());
  if (!ask.response) return;
  const { policies, spent, remaining, waitMs, pauseMs } = ask.said;
  const refused = REFUSALS.includes(ask.response.status);
  const ms = refused ? (waitMs ?? 0) : remaining === 0 ? pauseMs : null;
  ask.turns.spread({ route, policies, spent: refused || inTurn ? (spent.length ? spent : policies) : [], ms });
}

/** @type {T.Refused} */
async function refused(ask) {
  const { retry, poll, attempt, response, error, said } = ask;
  const pending = poll && response?.status === 409 && (await problemOf(response))?.code === 'in_progress';
  const financial = said.policies.some((policy) => ask.financialPolicies.includes(policy));
  ask.again = !!(pending || (retry && !financial && attempt <= ask.retries));
  if (error) return retry && (attempt > 1 || ask.bootstrap) && !ask.signal?.aborted;
  return pending || REFUSALS.includes(response?.status ?? 0);
}

/** @type {T.Send} */
async function send(ask) {
  const limited = () => ask.turns.limited(ask.route);
  for (;;) {
    if (!ask.retry || !limited()) await exchange(ask, false);
    else {
      await ask.turns.pass(
        ask,
        (waitMs, policy) => rest({ ...ask, said: { ...ask.said, policy, remaining: 0, waitMs } }, waitMs),
        () => exchange(ask, true),
      );
    }
    if (!(await refused(ask))) {
      if (ask.response) return ask.response;
      throw ask.error;
    }
    const { waitMs } = ask.said;
    const longest = Math.min(ask.maxWaitMs, DEFAULTS.maxWaitMs, BACKOFF_MS * 2 ** (ask.attempt - 1));
    if (!ask.again || !waitMs || !limited()) await rest(ask, waitMs ?? LEAST_BACKOFF_MS + ask.random() * longest);
  }
}

/** @type {T.Prepare} */
function prepare(kit, request, wishes) {
  const { method, url } = request;
  const { origin, pathname } = new URL(url);
  const keyed = request.headers.has('Idempotency-Key');
  const safe = method === 'GET' || method === 'HEAD';
  const financial = wishes.financial || kit.isFinancial?.(url, method);
  const bootstrap = wishes.bootstrap ?? kit.isBootstrap?.(url, method);
  return {
    ...kit,
    request,
    safe,
    route: `${origin} ${method} ${pathname}`,
    bootstrap,
    retry: !financial && (safe || bootstrap || (keyed && wishes.retry)),
    poll: keyed && wishes.poll,
    ...(bootstrap && { retries: Infinity, maxWaitMs: Infinity }),
    latest: kit.clock.now() + (wishes.deadlineMs ?? kit.deadlineMs),
    attempt: 0,
    again: true,
    response: null,
    said: read(null, 0),
  };
}

/** @type {typeof import('./ratelimit-fetch.js').createFetch} */
export function createFetch(given) {
  const options = { ...DEFAULTS, ...given };
  const kit = { ...options, turns: createTurns(options.clock, options.channel) };
  /** @type {T.Flights} */
  const flights = new Map();

  return async (input, { ratelimit = {}, ...init } = {}) => {
    const signal = init.signal ?? (input instanceof Request ? input.signal : null);
    const request = new Request(input, { ...init, signal: null });
    if (ratelimit.key) request.headers.set('Idempotency-Key', ratelimit.key.value);
    const { method, url, credentials, mode, cache, redirect, headers } = request;
    const same = [method, url.split('#')[0], credentials, mode, cache, redirect, [...headers], ratelimit];
    const ask = prepare(kit, request, ratelimit);
    const response = ask.safe
      ? await share(flights, JSON.stringify(same), signal, (flight) => send({ ...ask, signal: flight }))
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
