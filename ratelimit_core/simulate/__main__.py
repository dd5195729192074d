"""What quotas would have done to the traffic of an access log (Common or Combined format, .gz or not)."""

import argparse
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from ratelimit_core.buckets import Bucket, Identify
from ratelimit_core.errors import ConfigurationError
from ratelimit_core.quota import Quota
from ratelimit_core.rules import Rule
from ratelimit_core.simulate.accesslog import LogError, read_lines
from ratelimit_core.simulate.report import report, text
from ratelimit_core.simulate.traffic import Traffic

_WIDTH = 30


class Bar:
    """A progress bar on a terminal, and nothing anywhere else."""

    def __init__(self, name: str, stream: TextIO) -> None:
        self._name, self._stream = name, stream
        self._shown = stream.isatty()

    def __call__(self, lines: int, share: float) -> None:
        """Draw it anew."""
        if not self._shown:
            return
        filled = round(min(share, 1.0) * _WIDTH)
        bar = "#" * filled + " " * (_WIDTH - filled)
        self._stream.write(f"\r{self._name} [{bar}] {share:4.0%} {lines:,} lines")
        self._stream.flush()

    def clear(self) -> None:
        """Leave an empty line."""
        if self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Read, replay, print; returns the exit code: 2 for a log or an option that can't be used."""
    options = _parser().parse_args(arguments)
    try:
        quotas = [Quota.parse(given) for given in options.quota]
        bucket = Bucket("log", quotas=quotas, identify=options.identify)
        rule = _rule(options.path, options.method)
        share = _share(options.most_touched)
        traffic = Traffic()
        for path in options.log:
            _gather(traffic, path, bucket, rule)
    except (ConfigurationError, LogError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    found = report(traffic, bucket, share)
    sys.stdout.write(json.dumps(found, indent=2) if options.json else "\n".join(text(found, share)))
    sys.stdout.write("\n")
    return 0


def _gather(traffic: Traffic, path: Path, bucket: Bucket, rule: Rule | None) -> None:
    bar = Bar(path.name, sys.stderr)
    try:
        traffic.gather(read_lines(path, bar), bucket, rule)
    finally:
        bar.clear()


def _rule(path: str | None, methods: Sequence[str] | None) -> Rule | None:
    """What the options choose; None where that is everything."""
    if path is None and methods is None:
        return None
    chosen = None if methods is None else [name for given in methods for name in given.split(",")]
    return Rule("log", path=path, pattern=".*" if path is None else None, methods=chosen)


def _share(percent: float) -> float:
    if not 0 <= percent <= 100:
        raise ConfigurationError("--most-touched", percent, "a percentage, from 0 to 100")
    return percent / 100


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ratelimit_core.simulate", description=__doc__)
    parser.add_argument("log", nargs="+", type=Path, help="one or several; their lines may be in any order")
    parser.add_argument(
        "--quota", action="append", required=True, metavar="60/m:10", help="several are charged together, all or none"
    )
    parser.add_argument("--method", action="append", metavar="POST,PUT", help="only requests of these methods")
    parser.add_argument("--path", metavar="/api/", help="only requests below this path; * is one segment")
    parser.add_argument(
        "--identify", choices=list(Identify), default=Identify.USER, help="charge the logged user and else the address"
    )
    parser.add_argument(
        "--most-touched", type=float, default=0.1, metavar="PERCENT", help="fewer identities than this may be refused"
    )
    parser.add_argument("--json", action="store_true", help="for programs")
    return parser


if __name__ == "__main__":
    if hasattr(signal, "SIGPIPE"):  # pragma: no branch - Windows has none
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `... | head` ends it quietly
    sys.exit(main())
