// Log in. A limited login waits by itself and is let in; nobody has to press again.
import { createFetch } from '../django_ratelimit_gcra/ratelimit-fetch.js';
import { errorText, explain, JSON_ONLY, statusLine } from './site.js';

const form = document.querySelector('main form');
const button = form.querySelector('button');
const line = statusLine();

const fetch = createFetch({
  onLimit: ({ seconds, waiting }) => {
    if (waiting) line.count(seconds, (left) => `Many logins at once: yours goes on in ${left} s; there is no need to press again.`);
  },
});

form.addEventListener('submit', async (event) => {
  event.preventDefault();
  button.disabled = true;
  line.say('Logging in...');
  try {
    const body = new URLSearchParams(new FormData(form));
    const response = await fetch(location.href, { method: 'POST', body, headers: JSON_ONLY, ratelimit: { bootstrap: true } });
    const answer = await response.json().catch(() => ({}));
    if (response.ok) {
      line.say(`Welcome, ${answer.username}.`, 'good');
      return location.assign(answer.next);
    }
    line.say(response.status === 403 ? 'This page is too old; reload it.' : errorText(answer.errors), 'bad');
  } catch (error) {
    line.say(explain(error), 'bad');
  }
  button.disabled = false;
});
