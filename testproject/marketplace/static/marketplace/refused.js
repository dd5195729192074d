// A page that was refused: counts down to the moment at which it can be asked for again.
import { statusLine } from './site.js';

const place = document.querySelector('[data-status]');
const line = statusLine(place);

if (await line.count(Number(place.dataset.seconds), (left) => `You can go on in ${left} s.`)) line.say('You can go on now.', 'good');
