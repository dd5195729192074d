/**
 * `fetch` for servers that say how long to wait: a dependency-free ES module for browsers and Node 20 or newer.
 *
 * ```js
 * import { createFetch } from './ratelimit-fetch.js';
 * const fetch = createFetch({ onLimit: ({ seconds }) => ... });
 * const found = await fetch('/instructors/?q=piano', { signal });
 * ```
 */

/** Time, and how to wait for it; a test hands in its own. */
export interface Clock {
  /** Epoch milliseconds that never run backwards. */
  now(): number;
  setTimeout(run: () => void, ms: number): unknown;
  clearTimeout(timer: any): void;
}

/** What the page is told whenever a request waits, and when it gives up. */
export interface LimitState {
  url: string;
  method: string;
  /** 429 or 503; 409 while a payment is being worked on; 0 where the network failed. */
  status: number;
  /** `X-RateLimit-Policy`: a bucket, or a list of them. */
  policy: string | null;
  /** `X-RateLimit-Remaining`. */
  remaining: number | null;
  /** Whole seconds until the next try; where there is none, until a new request makes sense. */
  seconds: number;
  /** The tries so far; 0 where the request waits for what another one has learnt. */
  attempt: number;
  /** Whether it waits; false where it gives up. */
  waiting: boolean;
}

export interface Options {
  /** What sends; the default is the global `fetch` at the time of each call. */
  fetch?: (request: Request, init: { signal: AbortSignal | null }) => Promise<Response>;
  /** How often a refused request is sent again (2). */
  retries?: number;
  /** The longest single wait that is worth it (60,000); a longer one fails at once. */
  maxWaitMs?: number;
  /** No wait ends later than this after the call (120,000). Requests under way are not cut: `AbortSignal.timeout` does that. */
  deadlineMs?: number;
  /** How much, at most, is added to every wait (250). */
  jitterMs?: number;
  /** The policies whose refusals are never retried (`['financial']`). */
  financialPolicies?: string[];
  /** Whether a request moves money, and so is never sent again. */
  isFinancial?: (url: string, method: string) => boolean;
  /** Whether a page can't live without a request: a login, a session's refresh. */
  isBootstrap?: (url: string, method: string) => boolean;
  /** The name under which the tabs of a site share what is blocked; '' shares nothing. */
  channel?: string;
  onLimit?: (state: LimitState) => void;
  random?: () => number;
  clock?: Clock;
}

/** What one request wants, as `init.ratelimit`. */
export interface Wishes {
  /** It moves money: never sent again, whatever else is said. */
  financial?: boolean;
  /** Whatever its method, it waits and is tried until the deadline, over failures of the network, too. */
  bootstrap?: boolean;
  /** With an `Idempotency-Key`: it may be sent again although it is not GET or HEAD. */
  retry?: boolean;
  /** With an `Idempotency-Key`: while the same request is being worked on (409), ask again for its answer. */
  poll?: boolean;
  /** Sent as `Idempotency-Key`, and settled by the answer. */
  key?: IdempotencyKey;
  /** In place of the option. */
  deadlineMs?: number;
}

export interface RateLimitInit extends RequestInit {
  ratelimit?: Wishes;
}

export type RateLimitFetch = (input: RequestInfo | URL, init?: RateLimitInit) => Promise<Response>;

/**
 * Makes a `fetch` that waits as it is told.
 *
 * - A 429 or 503 to GET or HEAD waits for `Retry-After` and a jitter, or an exponential backoff without it, and is sent
 *   again. When that is not allowed or takes too long, it rejects with a RateLimitError at once.
 * - Other methods are sent once, unless `init.ratelimit` says more; financial ones always.
 * - The same GET or HEAD in flight is sent once; every caller can read the body and abort for itself.
 * - The requests of a blocked policy go one after another, in all tabs together.
 */
export function createFetch(options?: Options): RateLimitFetch;

/** A problem body of RFC 9457, as django-ratelimit-gcra writes it. */
export interface Problem {
  type?: string;
  title?: string;
  status?: number;
  detail?: string;
  code?: string;
  bucket?: string;
  retry_after?: number | null;
  'violated-policies'?: string[];
}

/** A 429 or 503 that was not, or not any more, worth waiting for. */
export class RateLimitError extends Error {
  constructor(
    status: number,
    policy: string | null,
    retryAfterMs: number | null,
    problem?: Problem | null,
    response?: Response | null,
  );
  readonly name: 'RateLimitError';
  readonly status: number;
  readonly policy: string | null;
  /** When a new request makes sense; null where nobody said. */
  readonly retryAfterMs: number | null;
  readonly problem: Problem | null;
  /** The refusal, its body unread; null where another tab had learnt of the block and nothing was sent. */
  readonly response: Response | null;
}

/**
 * A `Retry-After` in milliseconds: digits, or one of the three HTTP-dates, read against the response's `Date` or `nowMs`.
 * Anything else, two joined headers among it, is null; a date in the past is 0.
 */
export function retryAfterMs(text: string | null, nowMs?: number, date?: string | null): number | null;

/** One key for one thing that a person wants. */
export interface IdempotencyKey {
  readonly value: string;
  /** Gives the form a new key if this response is definitive: not a 401, 403, 408, 425, 429, 5xx or a 409 in doubt. */
  settle(response: Response): Promise<void>;
}

/**
 * The key of what a form is about to do, kept in its hidden field (that of `{% ratelimit_key %}`, else a new one) until
 * there is a definitive answer: a second click and a retry after a failure of the network carry the same key.
 */
export function idempotencyKey(form: HTMLFormElement): IdempotencyKey;

/** Takes the function's arguments without the signal; undefined where a later call took over, or `cancel()` was called. */
export interface Debounced<Given extends unknown[], Result> {
  (...given: Given): Promise<Result | undefined>;
  cancel(): void;
}

/** Runs `run(...given, signal)` once nobody has called for so long; a call aborts the signal of the run before it. */
export function debounced<Given extends unknown[], Result>(
  run: (...given: [...Given, AbortSignal]) => Promise<Result> | Result,
  ms?: number,
  clock?: Clock,
): Debounced<Given, Result>;

/**
 * Counts down in an element of `role="status"`, and ends at zero or, also in peace, when the signal aborts; the element is
 * empty afterwards. What is shown ticks; what is spoken is the start. What the page, or another countdown, puts there
 * meanwhile stays, and ends this one.
 */
export function countdown(
  element: HTMLElement,
  seconds: number,
  options?: { text?: (left: number) => string; signal?: AbortSignal | null; clock?: Clock },
): Promise<void>;

/**
 * Whether a session goes on, by a request that asks. False only where the server says 401: a refusal (429, 503), a
 * failure of the network or of the server say nothing, and nobody is logged out for them.
 */
export function stillSignedIn(check: () => Promise<Response>): Promise<boolean | undefined>;
