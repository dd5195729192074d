// Book a lesson. A booking is not repeated by itself: who was refused is told when to press again.
import { createFetch, RateLimitError } from '../django_ratelimit_gcra/ratelimit-fetch.js';
import { errorText, explain, holdBack, JSON_ONLY, link, statusLine } from './site.js';

const form = document.querySelector('main form');
const button = form.querySelector('button');
const list = document.querySelector('[data-bookings]');
const line = statusLine();
const fetch = createFetch();

async function book() {
  const response = await fetch(location.pathname, { method: 'POST', body: new URLSearchParams(new FormData(form)), headers: JSON_ONLY });
  const answer = await response.json();
  if (!response.ok) return line.say(errorText(answer.errors), 'bad');
  const where = list.dataset.url.replace('/0/', `/${answer.id}/`);
  const item = document.createElement('li');
  const title = document.createElement('h3');
  const text = document.createElement('p');
  title.append(link(where, answer.instructor));
  text.textContent = `${answer.when}, ${answer.price}, not paid`;
  item.append(title, text);
  list.querySelector('[data-none]')?.remove();
  list.append(item);
  line.show('Booked. ', link(`${where}pay/`, 'Pay for it'));
}

form.addEventListener('submit', async (event) => {
  event.preventDefault();
  button.disabled = true;
  line.say('Booking...');
  try {
    await book();
  } catch (error) {
    line.say(explain(error), 'bad');
    if (error instanceof RateLimitError && error.retryAfterMs !== null) {
      const over = await holdBack(button, line, error, (left) => `Not booked: that was a lot at once. You can book again in ${left} s.`);
      if (over) line.say('You can book again.');
    }
  }
  button.disabled = false;
});
