"""What is committed says nothing about the machine it was made on."""

import configparser
import re
from pathlib import Path

import pytest

from testproject.bootstrap import ROOT
from tests.packaging.tree import files

HOME = re.compile(r"/(?:home|root|Users)/\w")
REGISTRY = re.compile(r"pypi\.(?:org|python)|pythonhosted\.|npmjs\.|index-url|deb\.debian\.", re.IGNORECASE)
LOCKS = ("tests/requirements.lock", "testproject/requirements.lock")


def texts() -> list[tuple[str, str]]:
    own = Path(__file__).resolve()
    plain = [path for path in files() if path != own and b"\0" not in path.read_bytes()]
    return [(path.relative_to(ROOT).as_posix(), path.read_text("utf-8")) for path in plain]


def test_no_file_names_a_place_of_this_machine() -> None:
    here = f"{ROOT}/"
    assert [name for name, text in texts() if HOME.search(text) or here in text] == []


def test_no_file_names_a_registry() -> None:
    assert [name for name, text in texts() if REGISTRY.search(text)] == ["tests/locks.py"]


def test_nothing_that_is_made_is_committed() -> None:
    made = {".sqlite3", ".pyc", ".whl", ".gz", ".log"}
    data = ROOT / "tests" / "doors" / "data"  # has its own NOTICE
    found = [path.name for path in files() if path.suffix in made or path.name == "uv.lock"]
    assert found == [path.name for path in data.glob("*.gz")]


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_release_has_a_hash(lock: str) -> None:
    text = (ROOT / lock).read_text("utf-8")
    releases = re.findall(r"^\S+==\S+.*(?:\n    --hash=sha256:[0-9a-f]{64}.*)+", text, re.MULTILINE)
    assert len(releases) == len(re.findall(r"^[A-Za-z]", text, re.MULTILINE)) > 10


def test_the_demo_runs_the_releases_that_are_tested() -> None:
    tested, demo = (set(re.findall(r"^\S+==\S+", (ROOT / lock).read_text("utf-8"), re.MULTILINE)) for lock in LOCKS)
    assert demo <= tested


def test_the_extras_are_those_of_the_documentation() -> None:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(ROOT / "setup.cfg", "utf-8")
    extras = set(parser["options.extras_require"])
    assert {"redis", "prometheus", "asgi", "fastapi", "django", "drf", "all", "demo", "test"} == extras
    assert "install_requires" not in parser["options"]
