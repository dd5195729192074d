// Search as you type: one request for each pause, and none that nobody waits for any more.
import { createFetch, debounced } from '../django_ratelimit_gcra/ratelimit-fetch.js';
import { errorText, explain, JSON_ONLY, statusLine } from './site.js';

const form = document.querySelector('search form');
const list = document.querySelector('[data-results]');
const sample = document.querySelector('template');
const line = statusLine();

const fetch = createFetch({
  onLimit: ({ seconds, waiting }) => {
    if (waiting) line.count(seconds, (left) => `Many searches at once: yours goes on in ${left} s.`);
  },
});

const find = debounced(async (query, signal) => {
  const url = new URL(location.pathname, location.href);
  if (query) url.searchParams.set('q', query);
  const response = await fetch(url, { signal, headers: JSON_ONLY });
  return { url, ...(await response.json()) };
});

function show({ url, instructors, errors }) {
  if (errors) return line.say(errorText(errors), 'bad');
  list.replaceChildren(...instructors.map(card));
  history.replaceState(null, '', url);
  line.say(instructors.length === 1 ? '1 instructor' : `${instructors.length || 'No'} instructors`);
}

function card({ id, name, subject, city, price }) {
  const item = sample.content.cloneNode(true);
  const anchor = item.querySelector('a');
  anchor.href = anchor.dataset.url.replace('/0/', `/${id}/`);
  anchor.textContent = name;
  item.querySelector('p').textContent = `${subject} in ${city}, ${price} a lesson`;
  return item;
}

let failed = false;

async function search() {
  list.setAttribute('aria-busy', 'true');
  try {
    const found = await find(form.elements.q.value.trim());
    if (!found) return; // somebody typed on
    failed = false;
    show(found);
  } catch (error) {
    failed = true;
    line.say(explain(error), 'bad');
  }
  list.removeAttribute('aria-busy');
}

form.addEventListener('input', search);
form.addEventListener('submit', (event) => {
  event.preventDefault();
  search();
});
addEventListener('online', () => failed && search());
