// Never run: what pages write has to be what the declarations allow, and nothing else.
import {
  countdown,
  createFetch,
  debounced,
  idempotencyKey,
  RateLimitError,
  retryAfterMs,
  stillSignedIn,
  type LimitState,
} from '../../django_ratelimit_gcra/static/django_ratelimit_gcra/ratelimit-fetch.js';

const fetch: typeof globalThis.fetch = createFetch(); // it stands where fetch stood
const send = createFetch({
  retries: 1,
  financialPolicies: ['financial', 'payouts'],
  isFinancial: (url, method) => method === 'POST' && url.endsWith('/pay/'),
  onLimit: ({ policy, seconds, waiting }: LimitState) => console.log(policy, seconds, waiting),
});
// @ts-expect-error an unknown option is a typo
createFetch({ retrys: 2 });
// @ts-expect-error and so is an unknown wish
void send('/a', { ratelimit: { financal: true } });

async function pay(form: HTMLFormElement, status: HTMLElement, signal: AbortSignal): Promise<number | null> {
  const key = idempotencyKey(form);
  try {
    const response = await send(form.action, { method: 'POST', signal, ratelimit: { key, financial: true, poll: true } });
    return response.status;
  } catch (error) {
    if (!(error instanceof RateLimitError)) throw error;
    const seconds: number = (error.retryAfterMs ?? 0) / 1000;
    await countdown(status, seconds, { text: (left) => `again in ${left.toFixed()} s`, signal });
    return error.problem?.retry_after ?? null;
  }
}

const find = debounced((text: string, limit: number, signal: AbortSignal) => send(`/?q=${text}&n=${limit}`, { signal }));
const found: Promise<Response | undefined> = find('piano', 3);
// @ts-expect-error the signal is not the caller's to give
void find('piano', 3, new AbortController().signal);
find.cancel();

const session: Promise<boolean | undefined> = stillSignedIn(() => fetch('/session/'));
const wait: number | null = retryAfterMs('120');
export { found, pay, session, wait };
