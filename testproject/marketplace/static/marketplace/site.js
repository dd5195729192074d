// What the pages share: one line that says what is going on, and words for what went wrong.
import { countdown, RateLimitError } from '../django_ratelimit_gcra/ratelimit-fetch.js';

export const JSON_ONLY = { Accept: 'application/json' };

/** The page's status line: says one thing at a time, and counts down where there is something to wait for. */
export function statusLine(element = document.querySelector('[data-status]')) {
  let current = new AbortController();
  function clear(kind) {
    current.abort();
    current = new AbortController();
    element.dataset.kind = kind;
  }
  return {
    say(text, kind = 'plain') {
      clear(kind);
      element.replaceChildren(text);
    },
    show(...nodes) {
      clear('good');
      element.replaceChildren(...nodes);
    },
    async count(seconds, text) {
      clear('wait');
      const { signal } = current;
      await countdown(element, seconds, { text, signal });
      return !signal.aborted;
    },
  };
}

/** For a person: what a failed request means. */
export function explain(error) {
  if (error instanceof RateLimitError) {
    return error.retryAfterMs === null ? 'The site is busy; try again later.' : `Too much at once; try again in ${inWords(error.retryAfterMs)}.`;
  }
  return error instanceof TypeError ? 'The network failed; nothing is lost, try again.' : String(error);
}

/** Seconds up to two minutes, then minutes. */
export function inWords(ms) {
  const seconds = Math.ceil(ms / 1000);
  return seconds < 120 ? `${seconds} s` : `${Math.ceil(seconds / 60)} minutes`;
}

/** The messages of Django's form errors, as JSON has them. */
export function errorText(errors = {}) {
  return Object.values(errors).flat().map(({ message }) => message).join(' ') || 'That did not work.';
}

/** Keeps a button still until the server wants it pressed; false where something else was said meanwhile, which decides. */
export async function holdBack(button, line, error, text) {
  button.disabled = true;
  const over = await line.count(error.retryAfterMs / 1000, text);
  if (over) button.disabled = false;
  return over;
}

export function link(href, text) {
  return Object.assign(document.createElement('a'), { href, textContent: text });
}
