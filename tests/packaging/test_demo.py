"""`python3 -m testproject`, from the moment on that everything is installed."""

import os
import re
import signal
import sys
import urllib.request
from pathlib import Path

import pytest

from testproject import serve
from tests import polling, processes


def test_the_demo_says_where_it_is_answers_there_and_ends_at_ctrl_c(tmp_path: Path) -> None:
    log = tmp_path / "demo.log"
    env = {**os.environ, "TESTPROJECT_DB": str(tmp_path / "demo.sqlite3"), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "testproject.serve", "127.0.0.1", "0"]
    process = processes.spawn(command, log, env)
    try:
        polling.until(lambda: process.poll() is not None or "Ctrl-C" in log.read_text("utf-8"), "the guide", seconds=60)
        url = re.search(r"http://127\.0\.0\.1:\d+/", log.read_text("utf-8"))
        assert url, processes.tail(log)
        with urllib.request.urlopen(url[0], timeout=20) as answer:
            assert answer.status == 200
    finally:
        processes.end(process, signal.SIGINT)
    assert process.returncode == 0, processes.tail(log)
    assert "Traceback" not in log.read_text("utf-8")


def test_a_port_that_is_taken_is_said_before_anything_else() -> None:
    with serve.listen("127.0.0.1", 0) as taken, pytest.raises(SystemExit, match="--port 0"):
        serve.main("127.0.0.1", str(taken.getsockname()[1]))
