// Pay. Every click is sent, with one key for one intent: however often it is clicked, money moves once, and every click
// learns what became of it.
import { createFetch, idempotencyKey, RateLimitError } from '../django_ratelimit_gcra/ratelimit-fetch.js';
import { errorText, explain, holdBack, JSON_ONLY, statusLine } from './site.js';

const form = document.querySelector('main form');
const button = form.querySelector('button');
const log = document.querySelector('[data-clicks]');
const line = statusLine();
let clicks = 0;
let paid = false;

const fetch = createFetch();

async function pay(report) {
  const body = new URLSearchParams(new FormData(form));
  const ratelimit = { key: idempotencyKey(form), financial: true, poll: true };
  const response = await fetch(location.pathname, { method: 'POST', body, headers: JSON_ONLY, ratelimit });
  const answer = await response.json();
  if (response.ok) {
    paid = true;
    button.disabled = true;
    const again = response.headers.get('Idempotent-Replayed') === 'true';
    report(again ? `payment ${answer.id}, the same one: it was not made again` : `payment ${answer.id} was made`);
    return line.say(`Paid ${answer.amount}.`, 'good');
  }
  button.disabled = false;
  const text = response.status === 402 || response.status === 400 ? errorText(answer.errors) : answer.detail;
  report(text);
  const unsure = response.status === 409 || response.status === 422;
  line.say(unsure ? `${text} Look at the booking before you pay again.` : text, 'bad');
}

async function failed(error, report) {
  if (!(error instanceof RateLimitError)) {
    report('no answer');
    button.disabled = false;
    return line.say('The network failed. Press Pay again: it is the same payment, and is made once at most.', 'bad');
  }
  report('too soon, nothing was charged');
  if (paid) return;
  if (error.retryAfterMs === null) return line.say(explain(error), 'bad');
  const over = await holdBack(button, line, error, (left) => `Nothing was charged: one payment at a time. You can pay in ${left} s.`);
  if (over) line.say('You can pay now.');
}

form.addEventListener('submit', async (event) => {
  event.preventDefault();
  if (paid) return;
  clicks += 1;
  const item = document.createElement('li');
  const report = (text) => (item.textContent = text);
  report('sent, waiting for the answer');
  log.parentElement.hidden = false;
  log.append(item);
  if (clicks === 1) line.say('Paying...');
  try {
    await pay(report);
  } catch (error) {
    await failed(error, report);
  }
});
