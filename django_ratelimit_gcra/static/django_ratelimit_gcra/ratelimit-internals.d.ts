// The words that the modules share among themselves; nothing here is public.
import type { Clock, RateLimitError } from './ratelimit-fetch.js';

export type { Clock };

declare global {
  interface BroadcastChannel {
    /** Node's own. */
    unref?(): void;
  }
}

/** What an answer says. */
export interface Reading {
  policy: string | null;
  policies: string[];
  /** The policies that have nothing left. */
  spent: string[];
  remaining: number | null;
  /** Until each of them has a unit again. */
  pauseMs: number;
  waitMs: number | null;
}

/** One request on its way, what may be done for it, and its last answer. */
export interface Ask {
  request: Request;
  signal: AbortSignal | null;
  /** Origin, method and path: what is under the same policies at each time. */
  route: string;
  bootstrap: boolean;
  retry: boolean;
  poll: boolean;
  retries: number;
  maxWaitMs: number;
  /** No wait ends later. */
  latest: number;
  /** The tries so far. */
  attempt: number;
  /** Whether there is a next try. */
  again: boolean;
  response: Response | null;
  /** In place of a response: the network's, or the abort's. */
  error: unknown;
  said: Reading;
}

/** What became known of a route and its policies; with `ms` of null the spent have something left. */
export interface News {
  route: string;
  policies: string[];
  spent: string[];
  ms: number | null;
}

export interface Turns {
  /** Whether a policy of the route was exhausted at the last look. */
  limited(route: string): boolean;
  /** Waits for a turn by `rest`, as often as it takes, and exchanges. */
  pass(
    route: string,
    signal: AbortSignal | null,
    rest: (ms: number, policies: string[]) => Promise<void>,
    exchange: () => Promise<void>,
  ): Promise<void>;
  /** Tells this page and the other tabs. */
  spread(news: News): void;
}

/** Until when a policy is blocked, if it is exhausted; the policies of a route; the last one in a line. */
export type Maps = [Map<string, number>, Map<string, string[]>, Map<string, Promise<unknown>>];
/** Policies with their origin: two sites may both have a `read`. */
export type Names = (route: string, policies?: string[]) => string[];
export type Hear = (news: News) => void;
export type Locked = (name: string, signal: AbortSignal | null, run: () => Promise<void>) => Promise<unknown>;

export type Caller = [resolve: (response: Response) => void, reject: (reason: unknown) => void];
export interface Flight {
  controller: AbortController;
  callers: Set<Caller>;
  land(): void;
}
export type Share = (
  key: string,
  signal: AbortSignal | null,
  start: (signal: AbortSignal) => Promise<Response>,
) => Promise<Response>;

export type Depart = (key: string, start: (signal: AbortSignal) => Promise<Response>) => Flight;

export type Read = (response: Response, nowMs: number) => Reading;
export type Rest = (ask: Ask, ms: number) => Promise<void>;
export type Send = (ask: Ask) => Promise<Response>;
export type Exchange = (ask: Ask, inTurn: boolean) => Promise<void>;
export type Refused = (ask: Ask) => Promise<boolean>;
export type RetryAfter = (text: string, nowMs: number) => number | null;
export type Sleep = (clock: Clock, ms: number, signal?: AbortSignal | null, target?: EventTarget) => Promise<void>;
export type Debounced = (...given: any) => Promise<any>;
export type Given = ConstructorParameters<typeof RateLimitError>;
