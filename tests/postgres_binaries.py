"""Where PostgreSQL's programs are; with the standard library alone, since `python3 -m tests --install` asks too."""

import shutil
from pathlib import Path

PACKAGE = "postgresql"
LINE = f"apt-get install -y --no-install-recommends {PACKAGE}"
_DEBIAN = Path("/usr/lib/postgresql")


def find(name: str) -> str | None:
    """A program on PATH, else Debian's newest, which is not on it."""
    versions = sorted(_DEBIAN.glob("*/bin"), key=lambda path: float(path.parent.name), reverse=True)
    return shutil.which(name) or next((str(path / name) for path in versions if (path / name).exists()), None)


def present() -> bool:
    """Whether a server can be started."""
    return find("initdb") is not None and find("postgres") is not None


def path_of(name: str) -> str:
    """The program, or a failure with the line that would bring it."""
    found = find(name)
    if found is None:
        raise RuntimeError(f"missing: PostgreSQL's {name}; as root, run: {LINE}")
    return found
