"""The files that belong to the project."""

import subprocess
from pathlib import Path

from testproject.bootstrap import ROOT

_LIST = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")


def files() -> list[Path]:
    """What is, or would be, committed."""
    names = subprocess.run(_LIST, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]
