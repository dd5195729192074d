"""What is built holds what is needed, and needs nothing else."""

import subprocess
import tarfile
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from testproject.bootstrap import ROOT

PACKAGES = ("ratelimit_core", "asgi_ratelimit", "django_ratelimit_gcra")
DATA = {".lua", ".html", ".txt", ".js", ".css", ".typed", ".json", ".yml", ".md"}

ADMIT_TWICE = """
from ratelimit_core import Bucket, Config, Identity, Limiter, Mode, Quota
from ratelimit_core.stores import MemoryStore
from ratelimit_core.testing import ManualClock

bucket = Bucket("api", quotas=[Quota.parse("60/m:1")], mode=Mode.ENFORCE)
limiter = Limiter(Config(buckets=[bucket]), store=MemoryStore(clock=ManualClock()))
print([limiter.admit(Identity.user("42"), "api").decision.allowed for _ in range(2)])
"""


def expected() -> set[str]:
    """Every Python and data file of the three packages, as the tree has them."""
    found = {path for package in PACKAGES for path in (ROOT / package).rglob("*")}
    return {
        path.relative_to(ROOT).as_posix()
        for path in found
        if path.suffix in {".py", *DATA} or path.name == "py.typed" or "static" in path.parts
        if path.is_file() and "__pycache__" not in path.parts
    }


def requirements(extra: str) -> list[Requirement]:
    """What the installed project asks for with this extra, on this machine; its own extras apart."""
    asked = [Requirement(text) for text in metadata.requires("django-ratelimit-gcra") or ()]
    wanted = [one for one in asked if one.marker is None or one.marker.evaluate({"extra": extra})]
    return [one for one in wanted if one.name != "django-ratelimit-gcra"]


def in_wheel(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_holds_every_file_of_the_packages(wheel: Path) -> None:
    assert expected() - in_wheel(wheel) == set()


def test_the_wheel_holds_nothing_but_the_packages_and_its_metadata(wheel: Path) -> None:
    tops = {name.split("/")[0] for name in in_wheel(wheel)}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)


def test_the_sdist_holds_every_file_of_the_packages(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    assert expected() | {"LICENSE", "README.md", "pyproject.toml", "setup.cfg"} <= names


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_says_that_it_is_typed(package: str, wheel: Path) -> None:
    assert f"{package}/py.typed" in in_wheel(wheel)


def test_the_scripts_are_in_the_wheel(wheel: Path) -> None:
    scripts = {"acquire", "settle", "peek"}
    assert {f"ratelimit_core/stores/lua/{name}.lua" for name in scripts} <= in_wheel(wheel)


def test_the_wheel_alone_admits_in_memory(bare_python: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [bare_python, "-W", "error", "-c", ADMIT_TWICE], cwd=tmp_path, text=True, check=False, capture_output=True
    )
    assert (done.stdout, done.stderr) == ("[True, False]\n", "")


def test_without_an_extra_nothing_is_asked_for() -> None:
    assert requirements("") == []


@pytest.mark.parametrize("extra", ["redis", "prometheus", "asgi", "fastapi", "django", "drf", "demo", "test"])
def test_the_lock_holds_what_an_extra_asks_for(extra: str) -> None:
    wanted = requirements(extra)
    assert [str(one) for one in wanted if metadata.version(one.name) not in one.specifier] == []
    assert wanted
