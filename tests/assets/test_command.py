"""`ratelimit_assets`: what it writes, and what it never overwrites."""

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

NAMES = ["grafana.json", "rules.yml", "runbook.md"]


def written(place: Path, *arguments: str) -> list[str]:
    out = StringIO()
    call_command("ratelimit_assets", str(place), *arguments, stdout=out)
    return out.getvalue().splitlines()


def failing(*arguments: str) -> str:
    with pytest.raises(CommandError) as failed:
        call_command("ratelimit_assets", *arguments, stdout=StringIO())
    return str(failed.value)


def test_every_asset_is_written_as_the_package_holds_it_to_a_folder_that_is_made(tmp_path: Path) -> None:
    place = tmp_path / "deploy" / "monitoring"
    assert written(place) == [f"written: {place / name}" for name in NAMES]
    packaged = {path.name: path.read_bytes() for path in Path("django_ratelimit_gcra/assets").iterdir()}
    assert {path.name: path.read_bytes() for path in place.iterdir()} == packaged


def test_a_second_time_writes_nothing(tmp_path: Path) -> None:
    written(tmp_path)
    before = [path.stat().st_mtime_ns for path in sorted(tmp_path.iterdir())]
    assert written(tmp_path) == [f"unchanged: {tmp_path / name}" for name in NAMES]
    assert [path.stat().st_mtime_ns for path in sorted(tmp_path.iterdir())] == before


def test_a_changed_file_is_named_and_then_nothing_at_all_is_written(tmp_path: Path) -> None:
    changed = tmp_path / "rules.yml"
    changed.write_text("groups: []")
    said = failing(str(tmp_path))
    assert str(changed) in said
    assert "nothing was written" in said
    assert "--force" in said
    assert [path.name for path in tmp_path.iterdir()] == ["rules.yml"]
    assert changed.read_text() == "groups: []"


def test_force_overwrites_a_changed_file(tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text("groups: []")
    assert f"written: {tmp_path / 'rules.yml'}" in written(tmp_path, "--force")
    assert "RateLimiterAbsent" in (tmp_path / "rules.yml").read_text()


def test_other_files_of_the_folder_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "alertmanager.yml").write_text("theirs")
    written(tmp_path)
    assert (tmp_path / "alertmanager.yml").read_text() == "theirs"


def test_alerts_link_to_the_team_s_own_runbook(tmp_path: Path) -> None:
    url = "https://wiki.example/ops/ratelimit"
    written(tmp_path, "--runbook-url", url)
    links = [line.split(": ")[1] for line in (tmp_path / "rules.yml").read_text().splitlines() if "runbook_url" in line]
    assert len(links) >= 8
    assert [link for link in links if not link.startswith(f"{url}#")] == []


@pytest.mark.parametrize(
    "url", ["wiki", "ftp://wiki/x", "https://wiki/#x", "https://wiki/a b", "https://wiki/{{x}}", ""]
)
def test_a_runbook_url_that_cant_be_linked_to_is_refused(tmp_path: Path, url: str) -> None:
    assert "--runbook-url" in failing(str(tmp_path), "--runbook-url", url)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file_is_said_to_be(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.touch()
    said = failing(str(place))
    assert str(place) in said
    assert "can't be read or written" in said


def test_a_file_that_is_a_folder_is_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "grafana.json").mkdir()
    assert f"{tmp_path / 'grafana.json'}: can't be read or written" in failing(str(tmp_path))
