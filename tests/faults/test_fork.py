"""A process forks with live connections and held locks, as gunicorn with --preload does: both halves work."""

import subprocess
import sys

from testproject.bootstrap import ROOT
from tests.servers import ServerUnderTest


def test_parent_and_child_each_work_on_their_own_connections(redis_server: ServerUnderTest) -> None:
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-m", "tests.faults.forking", redis_server.url]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
