// One row of a time line: a mark for each try, a line for each wait, and words for who can't see them.

function span(kind) {
  return Object.assign(document.createElement('span'), { className: kind });
}

/** An empty row for a request. */
export function makeRow({ number }) {
  const row = document.createElement('li');
  const track = span('track');
  track.setAttribute('aria-hidden', 'true');
  row.append(Object.assign(span('number'), { textContent: number }), track, span('words'));
  return row;
}

/** Draws a request into its row, on a scale of so many milliseconds. */
export function drawRow(row, { tries, end, outcome }, total) {
  const [, track, words] = row.children;
  const parts = [];
  const place = (kind, from, to, text = '') => {
    const part = Object.assign(span(kind), { textContent: text });
    part.style.setProperty('--from', Math.min(1, from / total));
    part.style.setProperty('--to', Math.min(1, to / total));
    parts.push(part);
  };
  const last = tries.at(-1)?.to ?? 0;
  if (last || end) place('wait', tries[0]?.from ?? 0, end ?? total);
  for (const { to, status } of tries) if (to !== null) place(status === 200 ? 'yes' : 'no', to, to, status === 200 ? '\u2713' : '\u2715');
  track.replaceChildren(...parts);
  const sent = tries.length === 1 ? '1 try' : `${tries.length} tries`;
  words.textContent = end === null ? 'waiting' : `${outcome}, ${(end / 1000).toFixed(1)} s, ${sent}`;
}
