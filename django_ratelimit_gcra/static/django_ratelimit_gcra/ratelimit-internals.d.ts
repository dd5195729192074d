// The words that the modules share among themselves, described here, where no page loads it; nothing is public.
import type { Clock, Options, RateLimitError, Wishes } from './ratelimit-fetch.js';

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

/** What the requests of one `createFetch` have in common. */
export interface Kit extends Options {
  retries: number;
  maxWaitMs: number;
  deadlineMs: number;
  jitterMs: number;
  financialPolicies: string[];
  random: () => number;
  clock: Clock;
  turns: Turns;
}

/** One request on its way, what may be done for it, and its last answer. */
export interface Ask extends Kit {
  request: Request;
  signal: AbortSignal | null;
  /** GET or HEAD. */
  safe: boolean;
  /** Origin, method and path: what is under the same policies at each time. */
  route: string;
  bootstrap?: boolean;
  retry?: boolean;
  poll?: boolean;
  /** No wait ends later. */
  latest: number;
  /** The tries so far. */
  attempt: number;
  /** Whether there is a next try. */
  again: boolean;
  response: Response | null;
  /** In place of a response: the network's, or the abort's. */
  error?: unknown;
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
    ask: Ask,
    rest: (ms: number, policy: string | null) => Promise<void>,
    exchange: () => Promise<void>,
  ): Promise<void>;
  /** Tells this page and the other tabs. */
  spread(news: News): void;
}

/** Until when a policy is blocked, if it is exhausted; the policies of a route. */
export type Maps = [Map<string, number>, Map<string, string[]>];
/** Policies with their origin: two sites may both have a `read`. */
export type Names = (route: string, policies?: string[]) => string[];
export interface Blocks {
  routes: Maps[1];
  names: Names;
  limited(route: string): boolean;
  waitMs(route: string): number;
  hear(news: News): void;
}
export type CreateBlocks = (clock: Clock) => Blocks;
/**
 * A refusal blocks its policies until a moment, in all tabs. From then on their requests go one at a time (a Web Lock:
 * in all tabs), until an answer says that something is left.
 */
export type CreateTurns = (clock: Clock, name: string) => Turns;
export type OpenChannel = (name: string, blocks: Blocks) => BroadcastChannel | null;
/** One at a time; without Web Locks `tails` has the last one of each line. */
export type Locked = (
  tails: Map<string, Promise<unknown>>,
  name: string,
  signal: AbortSignal | null,
  run: () => Promise<void>,
) => Promise<unknown>;

export interface Flight {
  controller: AbortController;
  /** Who have not left. */
  callers: number;
  /** Who get a response; the last one gets the flight's own. */
  unread: number;
  answer: Promise<Response>;
}
export type Flights = Map<string, Flight>;
/** One flight for all who ask for the same. Each has a body and an abort of its own; the last abort ends the flight. */
export type Share = (
  flights: Flights,
  key: string,
  signal: AbortSignal | null,
  start: (signal: AbortSignal) => Promise<Response>,
) => Promise<Response>;

export type Depart = (start: (signal: AbortSignal) => Promise<Response>) => Flight;

export type Read = (response: Response | null, nowMs: number) => Reading;
/** Waits, or gives up at once. */
export type Rest = (ask: Ask, ms: number) => Promise<void>;
export type Prepare = (kit: Kit, request: Request, wishes: Wishes) => Omit<Ask, 'signal'>;
export type Send = (ask: Ask) => Promise<Response>;
export type Exchange = (ask: Ask, inTurn: boolean) => Promise<void>;
export type Refused = (ask: Ask) => Promise<boolean | undefined>;
export type RetryAfter = (text: string, nowMs: number) => number | null;
/** Ends after so long, at 'online' of a target, or with the reason of an abort. */
export type Sleep = (clock: Clock, ms: number, signal?: AbortSignal | null, target?: EventTarget) => Promise<void>;
export type Debounced = (...given: any) => Promise<any>;
export type Given = ConstructorParameters<typeof RateLimitError>;
