"""Lines of web servers' logs: read whatever they hold, counted where they hold nothing."""

import gzip
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit_core import Bucket, Rule
from ratelimit_core.buckets import Identify
from ratelimit_core.simulate import Arrival
from ratelimit_core.simulate.accesslog import LogError, Logged, read_line, read_lines
from ratelimit_core.simulate.traffic import Traffic

COMMON = '203.0.113.9 - - [17/May/2015:10:05:03 +0000] "GET /a?b=c HTTP/1.1" 200 203023'
START_US = 1_431_857_103_000_000
BUCKET = Bucket("log", quota="60/m:10")


def line(
    address: str = "203.0.113.9",
    time: str = "17/May/2015:10:05:03 +0000",
    request: str = "GET / HTTP/1.1",
    user: str = "-",
) -> str:
    return f'{address} - {user} [{time}] "{request}" 200 5\n'


def gathered(lines: list[str], bucket: Bucket = BUCKET, rule: Rule | None = None) -> Traffic:
    traffic = Traffic()
    traffic.gather(lines, bucket, rule)
    return traffic


@pytest.mark.parametrize("rest", ["", "\n", ' "http://a/" "Mozilla \\"5.0\\" [x]"\n', ' "-" "-" 0.003 "forwarded"'])
def test_a_line_of_either_format_is_a_request(rest: str) -> None:
    assert read_line(COMMON + rest) == Logged(START_US, "203.0.113.9", None, "GET", "/a")


@pytest.mark.parametrize(
    ("time", "later_s"),
    [
        ("17/May/2015:10:05:04 +0000", 1),
        ("17/May/2015:12:05:03 +0200", 0),
        ("17/May/2015:04:35:03 -0530", 0),
        ("17/May/2015:10:05:60 +0000", 57),
        ("18/May/2015:00:05:03 +1400", 0),
    ],
)
def test_a_time_is_read_in_its_own_zone(time: str, later_s: int) -> None:
    found = read_line(line(time=time))
    assert found is not None
    assert found.at_us == START_US + later_s * 1_000_000


@given(st.integers(0, 4_102_444_800), st.integers(-14 * 60, 14 * 60))
def test_every_time_is_read_as_strptime_reads_it(epoch: int, offset: int) -> None:
    months = "JanFebMarAprMayJunJulAugSepOctNovDec"
    local = datetime.fromtimestamp(epoch, timezone(timedelta(minutes=offset)))
    month = months[3 * local.month - 3 : 3 * local.month]
    text = f"{local:%d}/{month}/{local:%Y:%H:%M:%S %z}"
    found = read_line(line(time=text))
    assert found is not None
    assert found.at_us == epoch * 1_000_000
    assert datetime.strptime(text, "%d/%b/%Y:%H:%M:%S %z").timestamp() == epoch


@pytest.mark.parametrize(
    ("request_line", "method", "path"),
    [
        ("GET /a%20b?q=%2F HTTP/2.0", "GET", "/a%20b"),
        ("post / HTTP/1.1", "POST", "/"),
        ("GET /old", "GET", "/old"),
        ('GET /\\"quoted\\" HTTP/1.1', "GET", '/\\"quoted\\"'),
        ("OPTIONS * HTTP/1.0", "OPTIONS", "*"),
        ("CONNECT example.org:443 HTTP/1.1", "CONNECT", "example.org:443"),
        ("M-SEARCH http://a/b HTTP/1.1", "M-SEARCH", "http://a/b"),
    ],
)
def test_method_and_path_are_read_without_the_query(request_line: str, method: str, path: str) -> None:
    found = read_line(line(request=request_line))
    assert found is not None
    assert (found.method, found.path) == (method, path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "nothing of a log",
        line(request="-"),
        line(request=""),
        line(request="\\x16\\x03\\x01\\x02"),
        line(request="GET"),
        line(time="31/Feb/2015:10:05:03 +0000"),
        line(time="17/Mai/2015:10:05:03 +0000"),
        line(time="17/May/2015:24:05:03 +0000"),
        line(time="17/May/2015:10:60:03 +0000"),
        line(time="17/May/2015:10:05:61 +0000"),
        line(time="17/May/0000:10:05:03 +0000"),
        line(time="17/May/2015:10:05:03 +9900"),
        line(time="17/May/2015:10:05:03"),
        COMMON[:60],
        "\x00" * 100,
        '{"remote_addr": "203.0.113.9"}',
    ],
)
def test_what_is_no_request_is_none(text: str) -> None:
    assert read_line(text) is None


@given(st.text(max_size=300))
def test_no_line_is_fatal(text: str) -> None:
    for given_line in (text, line(address=text), line(time=text), line(request=text), line(user=text)):
        read_line(given_line)


def test_a_hostile_line_takes_no_longer_than_its_length() -> None:
    assert read_line("a - " + " [" * 30_000) is None
    assert read_line(line(request="GET " + '\\"' * 30_000)[:-20]) is None


def test_requests_are_sorted_and_what_is_malformed_is_counted() -> None:
    lines = [line(time=f"17/May/2015:10:05:{second:02} +0000") for second in (9, 3, 60)]
    traffic = gathered([*lines, "garbage\n", line(time="17/May/2015:12:05:05 +0200"), line(request="-")])
    assert [arrival.at_us - START_US for arrival in traffic.arrivals] == [0, 2_000_000, 6_000_000, 57_000_000]
    assert (traffic.lines, traffic.malformed, traffic.left_out) == (6, 2, 0)


def test_several_logs_are_one_traffic() -> None:
    traffic = gathered([line(time="17/May/2015:10:05:09 +0000")])
    traffic.gather([line()], BUCKET)
    assert [arrival.at_us - START_US for arrival in traffic.arrivals] == [0, 6_000_000]
    assert traffic.lines == 2


@pytest.mark.parametrize(
    ("address", "user", "identity"),
    [
        ("203.0.113.9", "-", "ip:203.0.113.9"),
        ("::ffff:203.0.113.9", "-", "ip:203.0.113.9"),
        ("2001:db8::7", "-", "ip:2001:db8::/64"),
        ("crawler.example.org", "-", "key:crawler.example.org"),
        ("203.0.113.9", "alice", "user:alice"),
        ("203.0.113.9", "alice of accounting", "user:alice of accounting"),
        ("203.0.113.9", '""', "ip:203.0.113.9"),
    ],
)
def test_who_is_charged_is_named_as_the_limiter_names_them(address: str, user: str, identity: str) -> None:
    assert gathered([line(address, user=user)]).arrivals == [Arrival(START_US, identity)]


def test_a_bucket_that_identifies_by_address_ignores_the_logged_user() -> None:
    bucket = Bucket("log", quota="60/m:10", identify=Identify.ADDRESS)
    assert gathered([line(user="alice")], bucket).arrivals == [Arrival(START_US, "ip:203.0.113.9")]


def test_a_rule_chooses_by_path_and_method_as_in_the_settings_and_options_costs_nobody_anything() -> None:
    requests = ["GET /api/a", "HEAD /api/b?c", "POST /api/a", "GET /apis", "GET /%61pi/z", "OPTIONS /api/a", "GET /"]
    rule = Rule("log", path="/api", methods=["GET"])
    traffic = gathered([line(request=f"{request} HTTP/1.1") for request in requests], rule=rule)
    assert (len(traffic.arrivals), traffic.left_out) == (3, 4)
    assert gathered([line(request="OPTIONS / HTTP/1.1")]).left_out == 1


def told(lines: int, share: float) -> None:
    """Nobody listens."""


@pytest.mark.parametrize("name", ["access.log", "access.log.gz", "no_suffix_at_all"])
def test_a_log_is_decompressed_by_what_it_begins_with(tmp_path: Path, name: str) -> None:
    plain, packed = tmp_path / name, tmp_path / f"other_{name}"
    plain.write_bytes(b"one\ntwo \xff\r\nthree")
    packed.write_bytes(gzip.compress(b"one\ntwo \xff\r\n") + gzip.compress(b"three"))
    assert list(read_lines(plain, told)) == list(read_lines(packed, told)) == ["one\n", "two \ufffd\r\n", "three"]


def test_an_empty_log_has_no_lines(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert list(read_lines(tmp_path / "empty", told)) == []


def test_a_line_without_an_end_is_cut(tmp_path: Path) -> None:
    (tmp_path / "long").write_bytes(b"x" * 200_000)
    assert [len(part) for part in read_lines(tmp_path / "long", told)] == [65_536, 65_536, 65_536, 3_392]


def test_how_far_it_got_is_told_on_the_way(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(line() * 10_000)
    heard: list[tuple[int, float]] = []
    assert len(list(read_lines(tmp_path / "log", lambda *said: heard.append(said), every=2_500))) == 10_000
    assert [count for count, _ in heard] == [2_500, 5_000, 7_500, 10_000]
    assert [share for _, share in heard] == sorted(share for _, share in heard)
    assert heard[0][1] < 0.5
    assert heard[-1][1] == 1.0


def test_a_log_that_can_not_be_read_says_which_and_why(tmp_path: Path) -> None:
    missing, folder, broken = tmp_path / "missing", tmp_path / "folder", tmp_path / "broken"
    folder.mkdir()
    broken.write_bytes(gzip.compress(COMMON.encode() * 1_000)[:-30])
    garbled = tmp_path / "garbled"
    garbled.write_bytes(b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff" + b"\xff" * 100)
    for path, why in [(missing, "No such file"), (folder, "directory"), (broken, "ended"), (garbled, "invalid")]:
        with pytest.raises(LogError, match=f"{path.name} can't be read.*: .*{why}"):
            list(read_lines(path, told))
