// Everything that waits: a header, a timer, a turn, typing, counting down.

/** @import * as T from './ratelimit-internals.js' */

const LONGEST_TIMER_MS = 2 ** 31 - 1; // setTimeout(f, 2 ** 31) fires at once
const SPREAD_MS = 50;
const HELD_MS = 3000; // by one that hangs
const MOST_ROUTES = 500;

/** @type {T.Clock} */
export const CLOCK = {
  now: () => performance.timeOrigin + performance.now(),
  setTimeout: (run, ms) => globalThis.setTimeout(run, ms),
  clearTimeout: (timer) => globalThis.clearTimeout(timer),
};

/**
 * RFC 9110 section 5.6.7: the obsolete forms become the third, which has to survive a round trip.
 * @type {T.RetryAfter}
 */
function httpDateMs(text, nowMs) {
  const year = new Date(nowMs).getUTCFullYear();
  const date = text
    .replace(/^(\w{3} \w{3})  /, '$1 0')
    .replace(/^(\w{3}) (\w{3}) (\d\d) (\S{8}) (\d{4})$/, '$1, $3 $2 $5 $4 GMT')
    .replace(/^(Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, (\d\d)-(\w{3})-(\d\d) /, (_, day, date, month, short) => {
      const near = year - (year % 100) + Number(short);
      return `${day.slice(0, 3)}, ${date} ${month} ${near > year + 50 ? near - 100 : near} `;
    });
  const ms = Date.parse(date);
  return ms === ms && new Date(ms).toUTCString() === date ? ms : null;
}

/** @type {typeof import('./ratelimit-fetch.js').retryAfterMs} */
export function retryAfterMs(text, nowMs = Date.now(), date) {
  if (/^\d+$/.test(text ?? '')) return Math.min(Number(text) * 1000, Number.MAX_SAFE_INTEGER);
  const at = httpDateMs(text ?? '', nowMs);
  return at && Math.max(0, at - (httpDateMs(date ?? '', nowMs) ?? nowMs));
}

/** @type {T.Sleep} */
export function sleep(clock, ms, signal, target) {
  return new Promise((resolve, reject) => {
    const until = clock.now() + ms;
    /** @type {unknown} */
    let timer;
    const end = () => {
      clock.clearTimeout(timer);
      signal?.removeEventListener('abort', end);
      target?.removeEventListener('online', end);
      signal?.aborted ? reject(signal.reason) : resolve();
    };
    const tick = () => {
      const left = until - clock.now();
      if (left <= 0 || signal?.aborted) end();
      else timer = clock.setTimeout(tick, Math.min(Math.ceil(left), LONGEST_TIMER_MS));
    };
    signal?.addEventListener('abort', end);
    target?.addEventListener('online', end);
    tick();
  });
}

/** @type {T.CreateBlocks} */
function createBlocks(clock) {
  const [blocked, routes] = /** @type {T.Maps} */ ([new Map(), new Map()]);
  /** @type {T.Names} */
  const names = (route, policies = routes.get(route) ?? []) => policies.map((policy) => `${route.split(' ')[0]} ${policy}`);
  return {
    routes,
    names,
    limited: (route) => names(route).some((name) => blocked.has(name)),
    waitMs: (route) => Math.max(...names(route).map((name) => blocked.get(name) ?? 0)) - clock.now(),
    hear({ route, policies, spent, ms }) {
      routes.delete(route);
      routes.set(route, policies);
      if (routes.size > MOST_ROUTES) routes.delete([...routes.keys()][0]);
      for (const name of names(route, spent)) {
        if (ms === null) blocked.delete(name);
        else blocked.set(name, Math.max(blocked.get(name) ?? 0, clock.now() + ms));
      }
    },
  };
}

/** @type {T.OpenChannel} */
function openChannel(name, { routes, limited, waitMs, hear }) {
  let channel;
  try {
    channel = new BroadcastChannel(name);
  } catch {
    return null; // there are none, or storage is blocked
  }
  channel.onmessage = ({ data }) => {
    if (data.route) return hear(data);
    for (const [route, policies] of routes) {
      if (limited(route)) channel.postMessage({ route, policies, spent: policies, ms: waitMs(route) });
    }
  };
  channel.postMessage({}); // a new tab asks
  channel.unref?.(); // Node would never end
  return channel;
}

/** @type {T.Locked} */
async function locked(tails, name, signal, run) {
  const locks = globalThis.navigator?.locks;
  try {
    if (locks) return await locks.request(`ratelimit ${name}`, { signal: signal ?? undefined }, run);
  } catch (/** @type {any} */ error) {
    if (error.name !== 'SecurityError') throw error; // storage is blocked
  }
  const mine = Promise.resolve(tails.get(name)).then(run);
  tails.set(name, mine.catch(() => {}));
  return mine;
}

/** @type {T.CreateTurns} */
export function createTurns(clock, name) {
  const blocks = createBlocks(clock);
  const { limited, waitMs } = blocks;
  const channel = name ? openChannel(name, blocks) : null;
  const tails = new Map();
  return {
    limited,
    spread(news) {
      blocks.hear(news);
      if (news.spent.length) channel?.postMessage(news);
    },
    async pass({ route, signal }, rest, exchange) {
      /** @type {unknown} */
      let done;
      while (!done) {
        const ms = waitMs(route);
        if (ms > 0) await rest(ms, blocks.routes.get(route)?.join(', ') ?? null);
        await locked(tails, blocks.names(route).join(), signal, async () => {
          if (waitMs(route) > 0) return;
          done = exchange();
          await Promise.race([done, sleep(clock, HELD_MS)]);
          if (channel && limited(route)) await sleep(clock, SPREAD_MS);
        });
      }
      await done;
    },
  };
}

/** @type {typeof import('./ratelimit-fetch.js').debounced} */
export function debounced(run, ms = 300, clock = CLOCK) {
  /** @type {unknown} */
  let timer;
  let current = new AbortController();
  const cancel = () => {
    clock.clearTimeout(timer);
    current.abort();
  };
  /** @type {T.Debounced} */
  const later = (...given) => {
    cancel();
    const { signal } = (current = new AbortController());
    return new Promise((resolve, reject) => {
      signal.addEventListener('abort', () => resolve(undefined));
      timer = clock.setTimeout(() => Promise.resolve(/** @type {any} */ ([...given, signal])).then((all) => run(...all)).then(resolve, reject), ms);
    });
  };
  return Object.assign(later, { cancel });
}

/** @type {typeof import('./ratelimit-fetch.js').countdown} */
export async function countdown(element, seconds, { text = (/** @type {number} */ n) => `${n} s`, signal, clock = CLOCK } = {}) {
  const end = clock.now() + seconds * 1000;
  const left = () => Math.ceil((end - clock.now()) / 1000);
  const ticking = element.ownerDocument.createElement('span');
  ticking.setAttribute('role', 'timer'); // what is inserted is spoken, the ticking is not
  ticking.textContent = text(left());
  element.setAttribute('role', 'status');
  if (seconds > 0) element.replaceChildren(ticking);
  try {
    while (ticking.parentNode && left() > 0) {
      ticking.textContent = text(left());
      await sleep(clock, end - (left() - 1) * 1000 - clock.now(), signal);
    }
  } catch {} // aborted
  ticking.remove();
}
