"""Where a browser is; with the standard library alone, since `python3 -m tests --install` asks too."""

import shutil

PACKAGE = "chromium"
LINE = f"apt-get install -y --no-install-recommends {PACKAGE}"
_NAMES = ("chromium", "chromium-browser", "google-chrome")

# It talks to nobody but the site under test.
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def present() -> bool:
    """Whether one can be started."""
    return any(map(shutil.which, _NAMES))


def path() -> str:
    """The program, or a failure with the line that would bring it."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        raise RuntimeError(f"missing: a Chromium browser; as root, run: {LINE}")
    return found
