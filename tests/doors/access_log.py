"""The requests of a real web server's log: when, how, what, from where.

`data/access_log.tsv.gz` is made from `apache_combined_10k.log.gz` by `python -m tests.doors.access_log`; where that
log stands beside the checkout, a test compares the two.
"""

import gzip
from pathlib import Path
from typing import NamedTuple

from ratelimit_core.simulate.accesslog import read_line
from testproject.bootstrap import ROOT

LOG = ROOT.parent / "shared" / "data" / "apache_combined_10k.log.gz"
COPY = Path(__file__).with_name("data") / "access_log.tsv.gz"


class Logged(NamedTuple):
    """One request: epoch seconds, method, path without its query, address."""

    time: int
    method: str
    path: str
    address: str


def read_log() -> list[Logged]:
    """The log itself, in stable time order; its lines are not."""
    with gzip.open(LOG, "rt", encoding="utf-8", errors="replace") as lines:
        return sorted((_read(line) for line in lines), key=lambda request: request.time)


def read_copy() -> list[Logged]:
    """What is kept of it here."""
    with gzip.open(COPY, "rt", encoding="ascii") as lines:
        rows = (line.rstrip("\n").split("\t") for line in lines)
        return [Logged(int(time), method, path, address) for time, method, path, address in rows]


def write_copy() -> None:
    """Make the copy anew; the same log makes the same bytes."""
    text = "".join("\t".join(map(str, request)) + "\n" for request in read_log())
    COPY.write_bytes(gzip.compress(text.encode("ascii"), 9, mtime=0))


def _read(line: str) -> Logged:
    found = read_line(line)
    if found is None:
        raise ValueError(f"not a line of a combined log: {line!r}")
    return Logged(found.at_us // 1_000_000, found.method, found.path, found.address)


if __name__ == "__main__":
    write_copy()
