// Is the session still good? Asked when the tab comes to the front, and on demand. A refusal is no answer: nobody is
// logged out because the site is busy.
import { createFetch, stillSignedIn } from '../django_ratelimit_gcra/ratelimit-fetch.js';
import { JSON_ONLY, statusLine } from './site.js';

const button = document.querySelector('[data-session]');
const line = statusLine();
let asking = false;

const fetch = createFetch({
  onLimit: ({ seconds, waiting }) => {
    if (waiting) line.count(seconds, (left) => `You stay signed in. The site is busy, and is asked again in ${left} s.`);
  },
});

async function check() {
  if (asking) return;
  asking = true;
  button.disabled = true;
  line.say('Asking...');
  const init = { headers: JSON_ONLY, cache: 'no-store', ratelimit: { bootstrap: true, deadlineMs: 30_000 } };
  const signedIn = await stillSignedIn(() => fetch(button.dataset.session, init));
  asking = false;
  button.disabled = false;
  if (signedIn === false) return location.assign(button.dataset.login);
  const time = new Date().toLocaleTimeString();
  if (signedIn) line.say(`You are signed in, as of ${time}.`, 'good');
  else line.say('The site could not say at the moment. You stay signed in.');
}

button.addEventListener('click', check);
document.addEventListener('visibilitychange', () => document.visibilityState === 'visible' && check());
