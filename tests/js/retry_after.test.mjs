// What a Retry-After says, and what is none.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { FIXTURE, retryAfterMs } from './world.mjs';

for (const { text, ms } of FIXTURE.retry_after) {
  test(`Retry-After ${JSON.stringify(text)} is ${ms === null ? 'ignored' : `${ms} ms`}`, () => {
    assert.equal(retryAfterMs(text, FIXTURE.now_ms), ms);
  });
}

test('a date is read against the clock of the server that wrote it', () => {
  const date = 'Thu, 01 Jan 2026 00:10:00 GMT'; // the server is ten minutes ahead
  assert.equal(retryAfterMs('Thu, 01 Jan 2026 00:10:05 GMT', FIXTURE.now_ms, date), 5000);
  assert.equal(retryAfterMs('Thu, 01 Jan 2026 00:10:05 GMT', FIXTURE.now_ms, 'nonsense'), 605_000);
});

test('two digits of a year are the nearest that is not fifty years ahead', () => {
  const at = (year) => retryAfterMs(`${year}`, Date.UTC(2026, 0, 1));
  assert.equal(at('Friday, 01-Jan-27 00:00:00 GMT'), 365 * 86_400_000);
  assert.equal(at('Saturday, 01-Jan-77 00:00:00 GMT'), 0); // 1977 was a Saturday; 2077 is a Friday
  assert.ok(at('Wednesday, 01-Jan-76 00:00:00 GMT') > 0);
});

test('without a clock in hand, the machine says what time it is', () => {
  assert.equal(retryAfterMs(new Date(Date.now() - 5000).toUTCString()), 0);
});
