"""The clock that a process runs on."""

import time

from ratelimit_core.clock import SystemClock


def test_it_tells_epoch_microseconds() -> None:
    before = time.time_ns() // 1_000
    told = SystemClock().now_us()
    after = time.time_ns() // 1_000
    # the wall clock may be corrected between the readings; an hour off would be another unit
    assert before - 3_600_000_000 <= told <= after + 3_600_000_000


def test_it_never_runs_backwards() -> None:
    clock = SystemClock()
    told = [clock.now_us() for _ in range(1_000)]
    assert told == sorted(told)
