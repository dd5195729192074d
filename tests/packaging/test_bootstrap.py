"""The environment is made once, and made anew where it has to be."""

from pathlib import Path

import pytest

from testproject.bootstrap import METADATA, Environment


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    """A checkout whose environment looks installed."""
    environment = Environment(tmp_path)
    environment.scripts.mkdir(parents=True)
    environment.python.touch()
    for name in METADATA:
        (tmp_path / name).write_text("metadata")
    lock = lock_of(environment)
    lock.parent.mkdir()
    lock.write_text("six==1.17.0")
    environment.stamp(lock).write_text(environment.fingerprint(lock))
    return environment


def lock_of(environment: Environment) -> Path:
    return environment.root / "demo" / "requirements.lock"


def test_an_installed_lock_is_ready_and_nothing_is_installed_again(environment: Environment) -> None:
    assert environment.is_ready(lock_of(environment))
    environment.ready(lock_of(environment))


@pytest.mark.parametrize("name", ["demo/requirements.lock", *METADATA])
def test_a_change_of_lock_or_metadata_installs_again(environment: Environment, name: str) -> None:
    (environment.root / name).write_text("changed")
    assert not environment.is_ready(lock_of(environment))


def test_a_new_package_installs_again(environment: Environment) -> None:
    (environment.root / "demo" / "__init__.py").touch()
    assert not environment.is_ready(lock_of(environment))


def test_an_interrupted_run_is_not_ready(environment: Environment) -> None:
    environment.half_made.touch()
    assert not environment.is_ready(lock_of(environment))


def test_an_environment_without_python_is_not_ready(environment: Environment) -> None:
    environment.python.unlink()
    assert not environment.is_ready(lock_of(environment))


def test_another_lock_is_not_ready(environment: Environment) -> None:
    other = environment.root / "more" / "requirements.lock"
    other.parent.mkdir()
    other.write_text("six==1.17.0")
    assert not environment.is_ready(other)
