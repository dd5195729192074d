"""The locked sets of packages: what the tests, the demo and the benchmarks of our peers install."""

import subprocess

from testproject.bootstrap import ENVIRONMENT, ROOT

TESTS = ROOT / "tests" / "requirements.lock"
DEMO = ROOT / "testproject" / "requirements.lock"
PEERS = ROOT / "tests" / "benchmarks" / "peers" / "requirements.lock"

# Universal: one file for every platform and every Python from 3.11 up; with hashes, without any registry's address.
COMPILE = (
    *("-m", "uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.11"),
    *("--generate-hashes", "--no-emit-index-url", "--no-emit-find-links", "--no-annotate"),
    *("--custom-compile-command", "python3 -m tests --lock"),
)


def write() -> int:
    """All locks anew; the demo's versions are the tests' own, the peers' are those that were chosen by hand."""
    tests = ("setup.cfg", "--upgrade", "--extra", "test", "-o", str(TESTS))
    demo = ("setup.cfg", "--upgrade", "--extra", "demo", "--constraint", str(TESTS), "-o", str(DEMO))
    peers = (str(PEERS.with_suffix(".txt")), "--upgrade", "-o", str(PEERS))
    return _compile(tests) or _compile(demo) or _compile(peers)


def _compile(arguments: tuple[str, ...]) -> int:
    return subprocess.run([str(ENVIRONMENT.python), *COMPILE, *arguments], cwd=ROOT, check=False).returncode
