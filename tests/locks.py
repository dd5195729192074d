"""The locked sets of packages: what `python3 -m tests` and `python3 -m testproject` install."""

import subprocess

from testproject.bootstrap import ENVIRONMENT, ROOT

TESTS = ROOT / "tests" / "requirements.lock"
DEMO = ROOT / "testproject" / "requirements.lock"

# Universal: one file for every platform and every Python from 3.11 up; with hashes, without any registry's address.
COMPILE = (
    *("-m", "uv", "pip", "compile", "setup.cfg", "--quiet", "--universal", "--python-version", "3.11"),
    *("--generate-hashes", "--no-emit-index-url", "--no-emit-find-links", "--no-annotate"),
    *("--custom-compile-command", "python3 -m tests --lock"),
)


def write() -> int:
    """Both locks anew; the demo's versions are the tests' own."""
    tests = ("--upgrade", "--extra", "test", "-o", str(TESTS))
    demo = ("--upgrade", "--extra", "demo", "--constraint", str(TESTS), "-o", str(DEMO))
    return _compile(tests) or _compile(demo)


def _compile(arguments: tuple[str, ...]) -> int:
    return subprocess.run([str(ENVIRONMENT.python), *COMPILE, *arguments], cwd=ROOT, check=False).returncode
