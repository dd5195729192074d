"""`python3 -m testproject`: the demo, from nothing but Python to a running site; see `--help`."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - an older Python runs this file too
    sys.exit(f"Python 3.11 or newer is needed; this is {sys.version.split()[0]}")

import argparse
import os
import subprocess

from testproject.bootstrap import ENVIRONMENT, ROOT, BootstrapError

LOCK = ROOT / "testproject" / "requirements.lock"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python3 -m testproject", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="where to listen (%(default)s)")
    parser.add_argument("--port", default=8000, type=int, help="on which port; 0 takes a free one (%(default)s)")
    return parser.parse_args()


def main() -> int:
    options = parse()
    try:
        ENVIRONMENT.ready(LOCK)
    except BootstrapError as error:
        sys.exit(f"FAILED: {error}")
    command = [str(ENVIRONMENT.python), "-m", "testproject.serve", options.host, str(options.port)]
    os.chdir(ROOT)
    if os.name == "posix":
        os.execv(command[0], command)  # noqa: S606 - Ctrl-C and SIGTERM reach the server itself
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
