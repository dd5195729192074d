"""Processes that tests start: their port, their log, and an end that comes whatever happens to the tests."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from testproject.bootstrap import ROOT

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def spawn(
    command: Sequence[str], log: Path, env: Mapping[str, str] | None = None, user: str | None = None
) -> subprocess.Popen[bytes]:
    """
    Starts a process, as `user` if one is named, whose output goes to `log`; on Linux it dies with the thread that
    started it.

    Call it from the main thread, or from one that outlives the process.
    """
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            user=user,
            preexec_fn=_die_with_parent if _LIBC else None,  # noqa: PLW1509 - loaded before the fork, one system call
        )


def end(process: subprocess.Popen[bytes], how: signal.Signals, seconds: float = 20) -> None:
    """Sends the signal, and SIGKILL to one that doesn't end in time; a process that ended is left alone."""
    if process.poll() is None:
        process.send_signal(signal.SIGCONT)
        process.send_signal(how)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def tail(log: Path, lines: int = 30) -> str:
    """The end of a log, for the message of a failure."""
    return "\n".join(log.read_text("utf-8", "replace").splitlines()[-lines:])


def _die_with_parent() -> None:
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == 1:  # pragma: no cover - the parent ended between the fork and this line
            os._exit(1)
