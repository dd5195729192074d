// Fires a burst and draws what becomes of each request: tries, refusals, waits, answers.
import { createFetch, RateLimitError } from '../django_ratelimit_gcra/ratelimit-fetch.js';
import { drawRow, makeRow } from './timeline.js';
import { statusLine } from './site.js';

const form = document.querySelector('main form');
const button = form.querySelector('button');
const rows = document.querySelector('[data-rows]');
const scale = document.querySelector('[data-scale]');
const line = statusLine();

/** One request of a burst: its tries, and how it ended. */
function asked(number) {
  return { number, tries: [], end: null, outcome: '' };
}

/** A fetch that writes every try into the request it belongs to. */
function recording(requests, start) {
  return async (request, init) => {
    const said = { from: performance.now() - start, to: null, status: 0 };
    requests[Number(new URL(request.url).searchParams.get('n')) - 1].tries.push(said);
    try {
      const response = await globalThis.fetch(request, init);
      said.status = response.status;
      return response;
    } finally {
      said.to = performance.now() - start;
    }
  };
}

async function one(send, url, request, start) {
  try {
    const response = await send(`${url}?n=${request.number}`);
    request.outcome = response.ok ? 'answered' : `${response.status} reached the page`;
  } catch (error) {
    request.outcome = error instanceof RateLimitError ? `${error.status} reached the page, after all` : 'no answer';
  }
  request.end = performance.now() - start;
}

function summary(requests, seconds) {
  const count = (test) => requests.filter(test).length;
  const reached = count(({ outcome }) => outcome !== 'answered');
  const tries = requests.reduce((sum, request) => sum + request.tries.length, 0);
  const waited = count(({ tries: sent, outcome }) => sent.length > 1 && outcome === 'answered');
  return `${requests.length - reached} of ${requests.length} answered in ${seconds.toFixed(1)} s, ${waited} of them after a wait; ${tries} requests sent; ${reached} refusals reached the page.`;
}

async function fire({ url, count, kit }) {
  const start = performance.now();
  const requests = Array.from({ length: count }, (_, n) => asked(n + 1));
  const record = recording(requests, start);
  const send = kit ? createFetch({ fetch: record }) : (address) => record(new Request(address));
  const drawn = requests.map(makeRow);
  rows.replaceChildren(...drawn);
  const redraw = () => {
    const total = Math.max(1000, performance.now() - start);
    scale.textContent = `${(total / 1000).toFixed(1)} s`;
    requests.forEach((request, n) => drawRow(drawn[n], request, total));
  };
  const ticking = setInterval(redraw, 200);
  line.say('Firing...');
  await Promise.all(requests.map((request) => one(send, new URL(url, location.href), request, start)));
  clearInterval(ticking);
  redraw();
  const failed = requests.some(({ outcome }) => outcome !== 'answered');
  line.say(summary(requests, (performance.now() - start) / 1000), failed ? 'bad' : 'good');
}

form.addEventListener('submit', async (event) => {
  event.preventDefault();
  button.disabled = true;
  const { url, count, how } = form.elements;
  await fire({ url: url.value, count: Math.min(40, Math.max(1, Number(count.value) || 1)), kit: how.value === 'kit' });
  button.disabled = false;
});
