"""`python -m ratelimit_core.simulate`: a log in, an answer out, and an exit code."""

import gzip
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ratelimit_core.simulate.__main__ import Bar, main
from ratelimit_core.simulate.report import shown
from testproject.bootstrap import ROOT


def written(tmp_path: Path, *groups: tuple[str, int, int]) -> Path:
    """A log of (address, requests, seconds between them); and one malformed line."""
    lines = ["garbage\n"]
    for address, count, pause_s in groups:
        for number in range(count):
            hours, seconds = divmod(number * pause_s, 3_600)
            time = f"17/May/2015:{10 + hours}:{seconds // 60:02}:{seconds % 60:02} +0200"
            lines.append(f'{address} - - [{time}] "GET /pay/?n={number} HTTP/1.1" 200 5 "-" "x"\n')
    path = tmp_path / "access.log.gz"
    path.write_bytes(gzip.compress("".join(lines).encode()))
    return path


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main([str(argument) for argument in arguments]) == 0
    return capsys.readouterr().out


def found(capsys: pytest.CaptureFixture[str], *arguments: object) -> Any:
    return json.loads(said(capsys, *arguments, "--json"))


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Why nothing was done."""
    assert main([str(argument) for argument in arguments]) == 2
    out, error = capsys.readouterr()
    assert (out, error.count("\n")) == ("", 1)
    return error


def test_a_report_says_how_many_are_refused_and_what_would_refuse_nobody(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = written(tmp_path, ("192.0.2.1", 5, 1), ("192.0.2.2", 14, 0), ("192.0.2.3", 1, 0))
    report = found(capsys, log, "--quota=60/m:10")
    each = report.pop("each")
    assert report == {
        "lines": 21,
        "malformed": 1,
        "left_out": 0,
        "from": "2015-05-17T08:00:00+00:00",
        "until": "2015-05-17T08:00:04+00:00",
        "quotas": ["60/m:10"],
        "requests": 20,
        "identities": 3,
        "refused": 4,
        "refused_share": 0.2,
        "touched": 1,
        "touched_share": 1 / 3,
        "worst": [
            {"identity": "ip:192.0.2.2", "requests": 14, "refused": 4, "needed_bursts": [14]},
            {"identity": "ip:192.0.2.1", "requests": 5, "refused": 0, "needed_bursts": [1]},
            {"identity": "ip:192.0.2.3", "requests": 1, "refused": 0, "needed_bursts": [1]},
        ],
    }
    (only,) = each
    assert (only["quota"], only["smallest_burst"], only["outliers"]) == ("60/m:10", 14, [])
    assert [(at["burst"], at["refused"]) for at in only["curve"]] == [
        *((1, 13), (2, 12), (3, 11), (5, 9), (7, 7), (10, 4), (14, 0))
    ]
    assert only["suggestion"] == {
        "quota": "60/m:14",
        "touched": 0,
        "touched_share": 0.0,
        "worst": "ip:192.0.2.2",
        "worst_before": 14,
        "worst_after": 14,
    }


def test_people_read_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = written(tmp_path, ("192.0.2.1", 5, 1), ("192.0.2.2", 14, 0), ("192.0.2.3", 1, 0))
    lines = said(capsys, log, "--quota=60/m:10").splitlines()
    assert lines[0] == "21 lines: 20 requests of 3 identities, 0 left out, 1 malformed"
    assert "60/m:10 refuses 4 requests (20.00%) and touches 1 identities (33.33%)" in lines
    assert ["ip:192.0.2.2", "14", "4", "14"] in [line.split() for line in lines]
    assert lines[-2] == "60/m refuses nothing from burst 14 on"
    assert lines[-1].startswith("60/m:14 touches 0 (0.00%; fewer than 0.1 % of identities are meant) and admits 14 of")


def test_a_loop_is_named_and_does_not_raise_the_limit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    people = [(f"192.0.2.{number}", 12, 0) for number in range(30)]
    log = written(tmp_path, *people, ("203.0.113.9", 3_000, 0))
    printed = said(capsys, log, "--quota=60/m:10")
    assert "nothing sensible touches fewer than 0.1 % of identities" in printed
    assert "no burst that makes sense contents 1 of them, more likely loops: ip:203.0.113.9" in printed
    assert "without these: 60/m:12 touches 1 (3.23%; fewer than 0.1 % of identities are meant) and admits 12" in printed


def test_several_quotas_are_charged_together_and_looked_at_one_by_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = written(tmp_path, ("192.0.2.1", 40, 2))
    report = found(capsys, log, "--quota=60/m:2", "--quota=20/h:20")
    assert (report["refused"], report["worst"][0]["needed_bursts"]) == (20, [1, 40])
    assert [one["smallest_burst"] for one in report["each"]] == [1, 40]
    assert "60/m:2 with 20/h:20 refuses 20 requests" in said(capsys, log, "--quota=60/m:2", "--quota=20/h:20")


def test_requests_can_be_chosen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = written(tmp_path, ("192.0.2.1", 4, 2))
    for options, requests in [
        (["--method=GET"], 4),
        (["--method=POST,PUT", "--method=GET"], 4),
        (["--method=POST"], 0),
        (["--path=/pay"], 4),
        (["--path=/pa"], 0),
        (["--path=/pay", "--method=DELETE"], 0),
    ]:
        assert found(capsys, log, "--quota=60/m:10", *options)["requests"] == requests


def test_a_log_without_requests_is_no_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = written(tmp_path)
    assert said(capsys, log, "--quota=1/d:1") == "1 lines: 0 requests of 0 identities, 0 left out, 1 malformed\n"
    report = found(capsys, log, "--quota=1/d:1")
    assert (report["from"], report["refused_share"], report["each"][0]["suggestion"]) == (None, 0.0, None)


def test_the_share_that_may_be_touched_can_be_chosen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = written(tmp_path, *((f"192.0.2.{number}", number + 1, 0) for number in range(10)))
    (one,) = found(capsys, log, "--quota=60/m:10", "--most-touched=30")["each"]
    assert (one["suggestion"]["quota"], one["suggestion"]["touched"]) == ("60/m:8", 2)


def test_the_user_of_the_log_is_charged_unless_addresses_are_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "log"
    path.write_text('192.0.2.1 - alice [17/May/2015:10:00:00 +0000] "GET / HTTP/1.1" 200 5\n')
    for options, identity in [([], "user:alice"), (["--identify=address"], "ip:192.0.2.1")]:
        assert found(capsys, path, "--quota=1/s:1", *options)["worst"][0]["identity"] == identity


def test_what_can_not_be_used_is_said_in_one_line_with_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = written(tmp_path)
    assert "missing.log can't be read: No such file" in refused(capsys, tmp_path / "missing.log", "--quota=1/s:1")
    assert "quota = '60/x:10' can't be used: write rate/period" in refused(capsys, log, "--quota=60/x:10")
    assert "quota burst = 0" in refused(capsys, log, "--quota=60/m:0")
    assert "each needs a name" in refused(capsys, log, "--quota=60/m:1", "--quota=90/m:1")
    assert "rule methods = ['FETCH']" in refused(capsys, log, "--quota=60/m:1", "--method=FETCH")
    assert "rule path = 'api'" in refused(capsys, log, "--quota=60/m:1", "--path=api")
    assert "--most-touched = 101.0" in refused(capsys, log, "--quota=60/m:1", "--most-touched=101")


def test_without_a_quota_the_usage_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main([str(written(tmp_path))])
    assert left.value.code == 2
    assert "--quota" in capsys.readouterr().err


def test_a_name_out_of_a_log_can_not_steer_a_terminal() -> None:
    assert shown("key:\x1b[2J\r\nx\u202e\x00") == "key:\\x1b[2J\\r\\nx\\u202e\\x00"
    assert shown("é" * 100) == "é" * 59 + "…"


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_progress_is_drawn_on_a_terminal_and_cleared() -> None:
    stream = Terminal()
    bar = Bar("access.log", stream)
    bar(20_000, 0.5)
    bar(40_000, 1.01)
    bar.clear()
    first, second, cleared = stream.getvalue().split("\r")[1:]
    assert first == f"access.log [{'#' * 15}{' ' * 15}]  50% 20,000 lines"
    assert second == f"access.log [{'#' * 30}] 101% 40,000 lines"
    assert cleared == "\x1b[K"


def test_progress_is_not_written_into_a_file() -> None:
    stream = io.StringIO()
    bar = Bar("access.log", stream)
    bar(20_000, 0.5)
    bar.clear()
    assert stream.getvalue() == ""


def test_it_runs_as_a_module_without_any_framework(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-m", "ratelimit_core.simulate", str(written(tmp_path, ("::1", 3, 0)))]
    done = subprocess.run(
        [*command, "--quota", "60/m:2"], cwd=ROOT, env={**os.environ}, text=True, check=False, capture_output=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "60/m:2 refuses 1 requests (33.33%)" in done.stdout


def test_a_reader_that_has_enough_ends_it_quietly(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "ratelimit_core.simulate", str(written(tmp_path, ("::1", 3, 0))), "--quota=1/m:2"]
    done = subprocess.run(command, cwd=ROOT, check=False, stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert (done.returncode, done.stderr) == (-signal.SIGPIPE, b"")
