"""`python3 -m tests`: the gate and every test. Needs nothing but Python; see `--help`."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - an older Python runs this file too
    sys.exit(f"Python 3.11 or newer is needed; this is {sys.version.split()[0]}")

import argparse
import time

from testproject.bootstrap import ENVIRONMENT, BootstrapError, say
from tests import gate, locks, system

INSTALL = "python3 -m tests --install"


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python3 -m tests",
        description=__doc__,
        epilog="After `--`: arguments for pytest, which then runs alone, as in: python3 -m tests -- tests/core -k gcra",
    )
    parser.add_argument("part", nargs="?", choices=sorted(gate.PARTS), default="all", help="what to run")
    parser.add_argument("--install", action="store_true", help="make .venv first, and install what the system lacks")
    parser.add_argument("--lock", action="store_true", help="only write the lock files anew, with the newest releases")
    return parser.parse_args(arguments)


def split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Ours, and pytest's: what stands before and after `--`."""
    at = arguments.index("--") if "--" in arguments else len(arguments)
    return arguments[:at], arguments[at + 1 :]


def prepare(install: bool, part: str) -> None:
    """Makes the environment, or says what would; raises BootstrapError. Only the whole needs the system's packages."""
    if install:
        ENVIRONMENT.ready(locks.TESTS)
    elif not ENVIRONMENT.is_ready(locks.TESTS):
        raise BootstrapError(f".venv is missing or older than its lock; run: {INSTALL}")
    if part == "all":
        system.provide(install)


def main() -> int:
    started = time.monotonic()
    own, pytest = split(sys.argv[1:])
    options = parse(own)
    try:
        if options.lock:
            ENVIRONMENT.make()
            return locks.write()
        prepare(options.install, options.part)
    except BootstrapError as error:
        say(f"FAILED: {error}")
        return 1
    failures = gate.run(options.part, pytest)
    verdict = f"FAILED: {', '.join(failures)}" if failures else "All is well"
    say(f"\n{verdict} ({options.part}, {time.monotonic() - started:.0f} s)")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
