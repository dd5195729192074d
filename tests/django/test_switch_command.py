"""`ratelimit_switch`, and what `ratelimit_status` says of it: the same acts from a shell."""

import getpass
import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from django_ratelimit_gcra import overrides, runtime
from django_ratelimit_gcra.models import PolicyOverride
from ratelimit_core import Mode
from tests import databases
from tests.django.switches import held, mode, row

pytestmark = pytest.mark.django_db

ME = f"{getpass.getuser()}, ratelimit_switch"


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("ratelimit_switch", *arguments, stdout=out)
    overrides.refresh()
    return out.getvalue()


def status() -> Any:
    out = StringIO()
    call_command("ratelimit_status", "--json", stdout=out, stderr=StringIO())
    return json.loads(out.getvalue())


def printed() -> list[str]:
    out = StringIO()
    call_command("ratelimit_status", stdout=out, stderr=StringIO())
    return [" ".join(line.split()) for line in out.getvalue().splitlines()]


def test_a_mode_a_share_quotas_and_an_end() -> None:
    said = run("read", "canary", "--percent=12.5", "--quota=90/m:15", "--quota=500/h:50", "--reason=try it", "--for=1h")
    kept = PolicyOverride.objects.get()
    assert (kept.mode, kept.canary_percent, kept.quotas) == ("canary", 12.5, ["90/m:15", "500/h:50"])
    assert kept.expires is not None
    assert (kept.expires - kept.created).total_seconds() == pytest.approx(3_600, abs=5)
    assert f"in force  read: canary 12.5 %, 90/m:15, 500/h:50, until {kept.expires:%Y-%m-%d %H:%M:%S} UTC" in said
    assert said.endswith(f"by {ME}: try it\n")
    assert (mode("read")[0], held("read")) == (Mode.CANARY, ["90/m:15", "500/h:50"])


def test_quotas_alone_leave_the_mode() -> None:
    run("financial", "--quota=2/m:1", "--reason=fraud")
    assert (mode("financial")[0], held("financial")) == (Mode.ENFORCE, ["2/m:1"])


def test_a_change_is_undone_by_its_number_and_history_shows_all() -> None:
    assert run("--history") == "nothing was changed\n"
    run("read", "enforce", "--reason=it is time")
    row(mode="enfroce", reason="by hand")
    pk = PolicyOverride.objects.earliest("pk").pk
    assert "undone  read: enforce  by" in run("--undo", str(pk), "--reason=too early")
    assert mode("read")[0] is Mode.SHADOW
    newest, oldest = run("--history").splitlines()
    assert "in force  read: can't be used: mode = 'enfroce' can't be used" in newest
    assert oldest.endswith(f"by {ME}: it is time; undone by {ME}: too early")


def test_the_kill_switch() -> None:
    assert "kill switch: off, until " in run("--kill", "--reason=all is lost", "--for=10m")
    assert mode("financial")[0] is Mode.OFF
    assert "undone  kill switch: off" in run("--unkill", "--reason=found it")
    assert mode("financial")[0] is Mode.ENFORCE


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "which bucket, and what about it"),
        (["--reason=x"], "which bucket, and what about it"),
        (["read", "enforce"], "reason = '' can't be used"),
        (["reed", "enforce", "--reason=x"], "the buckets are auth_bootstrap, read, write, financial"),
        (["read", "--reason=x"], "bucket 'read': change = None can't be used"),
        (["read", "enfroce", "--reason=x"], "mode = 'enfroce' can't be used: one of off, shadow, canary, enforce"),
        (["read", "canary", "--reason=x"], "bucket 'read': canary_percent = None can't be used"),
        (["read", "canary", "--percent=nan", "--reason=x"], "bucket 'read': canary_percent = nan can't be used"),
        (["read", "--quota=90/m", "--reason=x"], "quota = '90/m' can't be used: a burst is required"),
        (["read", "enforce", "--for=soon", "--reason=x"], "--for = 'soon' can't be used"),
        (
            ["read", "enforce", "--for=0", "--reason=x"],
            "--for = '0' can't be used: more than nothing",
        ),
        (["read", "enforce", "--for=367d", "--reason=x"], "--for = '367d' can't be used"),
        (["read", "enforce", "--for=999999999999999d", "--reason=x"], "can't be used: more than nothing"),
        (["read", "--kill", "--reason=x"], "give a bucket and what to change about it, or one of"),
        (["--percent=10", "--history"], "give a bucket and what to change about it, or one of"),
        (["--unkill", "--for=1h", "--reason=x"], "--for goes with a change or with --kill"),
        (["--undo=7", "--reason=x"], "override = 7 can't be used"),
        (["--unkill", "--reason=x"], "kill switch = 'off' can't be used"),
        (["--kill"], "reason = ''"),
    ],
)
def test_what_is_left_open_or_can_not_be_is_said(arguments: list[str], message: str) -> None:
    with pytest.raises(CommandError) as failed:
        run(*arguments)
    assert message in str(failed.value)
    assert not PolicyOverride.objects.exists()


def test_without_a_database_nothing_is_switched(tmp_path: Any) -> None:
    with (
        databases.unmigrated({"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "empty.sqlite3")}),
        pytest.raises(CommandError, match="the database can't be used, and nothing was changed"),
    ):
        run("read", "enforce", "--reason=x")
    assert mode("read")[0] is Mode.SHADOW


# --- ratelimit_status


def test_status_shows_what_was_switched_with_number_who_why_and_end() -> None:
    run("read", "enforce", "--reason=it is time", "--for=1h")
    run("read", "--quota=90/m:15", "--reason=they <b>complained</b>")
    mine, older = PolicyOverride.objects.order_by("-pk")
    found = status()
    read = next(bucket for bucket in found["buckets"] if bucket["name"] == "read")
    assert (read["mode"], read["mode_source"]) == ("enforce", f"override {older.pk}")
    assert (read["quotas"], read["quotas_override"]) == (["90/m:15"], mine.pk)
    assert [(one["id"], one["by"], one["reason"]) for one in found["overrides"]["in_force"]] == [
        (mine.pk, ME, "they <b>complained</b>"),
        (older.pk, ME, "it is time"),
    ]
    assert found["overrides"]["in_force"][1]["expires"].endswith("+00:00")
    assert f"read enforce override {older.pk} 90/m:15 (override {mine.pk}) user open" in printed()
    assert f"{mine.pk} read: 90/m:15 by {ME}: they <b>complained</b>" in printed()


def test_status_prints_what_enforcement_reads_and_reads_the_rows_itself() -> None:
    """Others showed overrides that nothing enforced."""
    row("write", mode="off")
    found = {bucket["name"]: bucket["mode"] for bucket in status()["buckets"]}
    assert found["write"] == "off"
    assert runtime.limiter().config.policy("write").mode is Mode.OFF


def test_status_tells_who_moved_the_kill_switch(settings: Any) -> None:
    run("--kill", "--reason=all is lost")
    pk = PolicyOverride.objects.get().pk
    assert {bucket["mode_source"] for bucket in status()["buckets"]} == {f"override {pk}"}
    settings.RATE_LIMIT_ENABLED = False
    assert {bucket["mode_source"] for bucket in status()["buckets"]} == {"RATE_LIMIT_ENABLED (setting)"}


def test_status_shows_broken_rows_and_that_the_rest_stays() -> None:
    assert "nothing" in printed()
    broken = row(mode="enfroce")
    assert "mode = 'enfroce'" in status()["overrides"]["broken"][str(broken.pk)]
    assert any(line.startswith(f"{broken.pk} can't be used: ") for line in printed())


def test_status_says_that_the_rows_can_not_be_read(tmp_path: Any) -> None:
    with databases.unmigrated({"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "empty.sqlite3")}):
        assert "no such table" in status()["overrides"]["failure"]
        assert any("the processes that serve keep what they read last" in line for line in printed())
