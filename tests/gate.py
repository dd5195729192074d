"""The gate and the tests, in sections with a heading each; what failed is returned by name."""

import os
import subprocess
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from testproject.bootstrap import ENVIRONMENT, ROOT, say

# The least branch coverage of each package, measured separately.
COVERAGE = {"ratelimit_core": 100, "asgi_ratelimit": 95, "django_ratelimit_gcra": 95}

# Which tests a part runs (none: the gate only), and whose coverage they answer for.
PARTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "all": (("tests",), tuple(COVERAGE)),
    "core": (("tests/core", "tests/stores"), ("ratelimit_core",)),
    "gate": ((), ()),
}

TOOLS = {
    "mypy --strict": ("mypy",),
    "ruff check": ("ruff", "check"),
    "ruff format": ("ruff", "format", "--check"),
    "import contracts": ("lint-imports", "--no-logo"),
}


def run(part: str, pytest_arguments: Sequence[str] = ()) -> list[str]:
    """Everything that belongs to the part; with arguments for pytest, pytest alone."""
    paths, packages = PARTS[part]
    if pytest_arguments:
        return _tests(pytest_arguments)
    failures = _tools()
    if paths:
        failures += _tests(paths) + _coverage(packages)
    return failures


def heading(title: str, text: str = "") -> None:
    say(f"\n--- {title} {'-' * (110 - len(title))}\n{text}")


def _environment() -> dict[str, str]:
    return {
        **os.environ,
        "PATH": f"{ENVIRONMENT.scripts}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONUNBUFFERED": "1",
        # Bytecode is kept: else each server that a test starts compiles all of Django, 2.5 s of a core instead of 0.9.
        "PYTHONDONTWRITEBYTECODE": "",
    }


def _tools() -> list[str]:
    """All at once, the longest first: they wait for nobody."""
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(_tool, TOOLS))
    return [name for name, failed in zip(TOOLS, results, strict=True) if failed]


def _tool(name: str) -> bool:
    started = time.monotonic()
    command = [str(ENVIRONMENT.scripts / TOOLS[name][0]), *TOOLS[name][1:]]
    done = subprocess.run(
        command, cwd=ROOT, env=_environment(), check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    heading(
        f"{name}: {'FAILED' if done.returncode else 'ok'} ({time.monotonic() - started:.1f} s)", done.stdout.strip()
    )
    return bool(done.returncode)


def _tests(arguments: Sequence[str]) -> list[str]:
    heading("pytest")
    _coverage_command("erase")
    done = _coverage_command("run", "-m", "pytest", *arguments)
    return ["pytest"] if done else []


def _coverage(packages: Sequence[str]) -> list[str]:
    heading("branch coverage")
    _coverage_command("combine", "--quiet")
    return [f"coverage of {package}" for package in packages if not _covered(package)]


def _covered(package: str) -> bool:
    least = COVERAGE[package]
    say(f"{package}: at least {least} %")
    return not _coverage_command(
        "report", f"--include={package}/*", f"--fail-under={least}", "--skip-covered", "--show-missing"
    )


def _coverage_command(*arguments: str) -> int:
    command = [str(ENVIRONMENT.python), "-m", "coverage", *arguments]
    return subprocess.run(command, cwd=ROOT, env=_environment(), check=False).returncode
