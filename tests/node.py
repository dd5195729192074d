"""Where Node is; with the standard library alone, since `python3 -m tests --install` asks too."""

import shutil
import subprocess

PACKAGE = "nodejs"
NPM_PACKAGE = "npm"
OLDEST = 18  # Debian 12's; the browser kit itself promises 20


def present() -> bool:
    """Whether one is there that is new enough."""
    found = shutil.which("node")
    said = (
        ""
        if found is None
        else subprocess.run([found, "--version"], check=False, capture_output=True, text=True).stdout
    )
    return said.startswith("v") and int(said[1:].split(".")[0]) >= OLDEST


def npm_present() -> bool:
    """Whether something is there to fetch TypeScript with."""
    return shutil.which("npm") is not None
