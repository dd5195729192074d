"""
Makes the environments that the demo, the tests and the benchmarks run in, with nothing but Python.

`ENVIRONMENT.ready(lock)` leaves `.venv` holding what `lock` names, and this project in editable form. A second call
with the same lock and metadata installs nothing; one that finds the rest of an interrupted run starts over.
"""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

METADATA = ("setup.cfg", "pyproject.toml")


class BootstrapError(Exception):
    """The environment can't be made; the message says what to do."""


def say(text: str) -> None:
    """Prints a line at once, so that it stands before what a subprocess prints."""
    print(text, flush=True)


@dataclass(frozen=True, slots=True)
class Environment:
    """The `.venv` of the checkout at `root`, or one beside it."""

    root: Path
    name: str = ".venv"

    @property
    def venv(self) -> Path:
        return self.root / self.name

    @property
    def scripts(self) -> Path:
        return self.venv / ("Scripts" if os.name == "nt" else "bin")

    @property
    def python(self) -> Path:
        return self.scripts / ("python.exe" if os.name == "nt" else "python")

    @property
    def half_made(self) -> Path:
        """There while something is being installed: found at a start, it tells of an interrupted run."""
        return self.venv / ".half-made"

    def stamp(self, lock: Path) -> Path:
        """Holds the fingerprint of what was installed for this lock."""
        return self.venv / f".installed-{lock.parent.name}"

    def fingerprint(self, lock: Path) -> str:
        """Of everything that an installation depends on; the editable link and the scripts hold the place, too."""
        packages = sorted(path.parent.name for path in self.root.glob("*/__init__.py"))
        digest = hashlib.sha256(f"{self.root}\0{packages}\0".encode())
        for path in (lock, *(self.root / name for name in METADATA)):
            content = path.read_bytes()
            digest.update(f"{len(content)}\0".encode() + content)
        return digest.hexdigest()

    def is_ready(self, lock: Path) -> bool:
        """Whether `.venv` holds this lock and this state of the metadata."""
        stamp = self.stamp(lock)
        whole = self.python.exists() and stamp.exists() and not self.half_made.exists()
        return whole and stamp.read_text("utf-8") == self.fingerprint(lock)

    def ready(self, lock: Path) -> None:
        """Makes or updates `.venv` where needed; raises BootstrapError."""
        if self.is_ready(lock):
            return
        self.make()
        self.half_made.touch()
        say(f"Installing {lock.relative_to(self.root).as_posix()} into {self.name}")
        self._install(["--require-hashes", "-r", str(lock)])
        self._install(["--no-deps", "-e", str(self.root)])
        self.stamp(lock).write_text(self.fingerprint(lock), "utf-8")
        self.half_made.unlink()

    def make(self) -> None:
        """An environment that holds an installer only, unless there is one; raises BootstrapError."""
        if self.venv.exists() and (self.half_made.exists() or not self._answers("venv", "--help")):
            say(f"Starting over: {self.name} was left half made")
            shutil.rmtree(self.venv)
        if self.venv.exists():
            return
        if importlib.util.find_spec("ensurepip") is None:
            raise BootstrapError("this Python makes no virtual environments; try: apt-get install -y python3-venv")
        say(f"Making {self.name}")
        self.venv.mkdir()
        self.half_made.touch()
        self._run([sys.executable, "-m", "venv", str(self.venv)])
        if subprocess.run([*self._pip(), "install", "uv"], check=False).returncode:
            say("uv can't be had here: pip does the work, more slowly")
        self.half_made.unlink()

    def _install(self, arguments: Sequence[str]) -> None:
        if self._answers("uv"):
            command = [str(self.python), "-m", "uv", "pip", "install", "--quiet", "--python", str(self.python)]
            self._run([*command, *arguments])
            return
        if not self._answers("pip"):
            self._run([str(self.python), "-m", "ensurepip"])
        self._run([*self._pip(), "install", *arguments])

    def _pip(self) -> list[str]:
        return [str(self.python), "-m", "pip", "--quiet", "--disable-pip-version-check"]

    def _answers(self, module: str, option: str = "--version") -> bool:
        if not self.python.exists():
            return False
        command = [str(self.python), "-m", module, option]
        return not subprocess.run(command, check=False, capture_output=True).returncode

    def _run(self, command: Sequence[str]) -> None:
        try:
            subprocess.run(command, check=True, cwd=self.root)
        except (subprocess.CalledProcessError, OSError) as error:
            raise BootstrapError(f"this command failed: {' '.join(command)}") from error


ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = Environment(ROOT)
