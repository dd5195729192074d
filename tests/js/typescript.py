"""The type checker, from npm at one version, into .venv: nothing of it stands in the tree."""

import shutil
import subprocess
from pathlib import Path

from testproject.bootstrap import ENVIRONMENT

VERSION = "5.9.3"
_INSTALL = ("install", "--no-save", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund")


def compiler() -> Path:
    """`tsc`; raises RuntimeError with npm's words where it can't be had."""
    place = ENVIRONMENT.venv / f"typescript-{VERSION}"
    found = place / "node_modules" / "typescript" / "bin" / "tsc"
    if not found.exists():
        npm = shutil.which("npm")
        if npm is None:
            raise RuntimeError("missing: npm; run: python3 -m tests --install")
        place.mkdir(parents=True, exist_ok=True)
        command = [npm, *_INSTALL, "--prefix", str(place), f"typescript@{VERSION}"]
        done = subprocess.run(command, check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode:
            raise RuntimeError(f"npm could not fetch TypeScript {VERSION}:\n{done.stdout}")
    return found
