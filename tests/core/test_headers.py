"""Every header of every kind of answer, on a clock that is moved by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit_core import Admission, Bucket, Config, Identity, Limiter, Mode, Quota, RequestInfo, StoreError
from ratelimit_core.buckets import StoreDown
from ratelimit_core.stores import MemoryStore
from ratelimit_core.testing import ManualClock, ScriptedStore

NEW_YEAR = 1_767_225_600
ALICE = Identity.user("alice")
READ = Bucket("read", quota="60/m:10")
PAY = Bucket("pay", quota="5/m:1")
# T = 6 s, tau = 30 s; T = 36 s, tau = 360 s
PAIR = Bucket("pair", quotas=("10/m:5", "100/h:10"))  # type: ignore[arg-type]  # text is read
WATCHED = Bucket("watched", quota="5/m:1", mode=Mode.SHADOW)
OFF = Bucket("off", quota="5/m:1", mode=Mode.OFF)
NAMES = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "X-RateLimit-Policy")
DRAFT = ("RateLimit-Policy", "RateLimit")


class Room:
    """A limiter whose clock starts at New Year."""

    def __init__(self, *buckets: Bucket, enabled: bool = True, draft_fields: bool = True) -> None:
        self.clock = ManualClock(NEW_YEAR * 1_000_000)
        config = Config(buckets=buckets or (READ,), enabled=enabled, draft_fields=draft_fields)
        self.limiter = Limiter(config, MemoryStore(self.clock))

    def admit(self, *names: str, times: int = 1, cost: int = 1) -> Admission:
        """The last of so many admissions."""
        return [self.limiter.admit(ALICE, names or ("read",), cost) for _ in range(times)][-1]

    def ask(self, *names: str, times: int = 1, cost: int = 1) -> dict[str, str]:
        """The headers of the last of so many admissions."""
        return self.headers(self.admit(*names, times=times, cost=cost))

    def headers(self, admission: Admission) -> dict[str, str]:
        pairs = self.limiter.headers(admission)
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)

    def pause(self, seconds: float) -> None:
        self.clock.advance_us(round(seconds * 1_000_000))


def test_the_first_of_ten() -> None:
    room = Room()
    assert room.limiter.headers(room.admit()) == [
        ("X-RateLimit-Limit", "10"),
        ("X-RateLimit-Remaining", "9"),
        ("X-RateLimit-Reset", str(NEW_YEAR + 1)),
        ("X-RateLimit-Policy", "read"),
        ("RateLimit-Policy", '"read";q=10;w=10'),
        ("RateLimit", '"read";r=9;t=9'),
    ]


def test_ten_count_down_to_nothing_and_the_eleventh_is_told_when_to_come_back() -> None:
    room = Room()
    assert [room.ask()["X-RateLimit-Remaining"] for _ in range(10)] == list("9876543210")
    assert room.limiter.headers(room.admit()) == [
        ("X-RateLimit-Limit", "10"),
        ("X-RateLimit-Remaining", "0"),
        ("X-RateLimit-Reset", str(NEW_YEAR + 10)),
        ("X-RateLimit-Policy", "read"),
        ("RateLimit-Policy", '"read";q=10;w=10'),
        ("RateLimit", '"read";r=0;t=1'),
        ("Retry-After", "1"),
    ]


@pytest.mark.parametrize(("bucket", "times", "field"), [(READ, 10, '"read";r=0;t=1'), (PAY, 1, '"pay";r=0;t=12')])
def test_with_the_last_unit_spent_the_draft_says_when_the_next_one_comes(
    bucket: Bucket, times: int, field: str
) -> None:
    headers = Room(bucket).ask(bucket.name, times=times)
    assert headers["RateLimit"] == field
    assert "Retry-After" not in headers


def test_retry_after_is_rounded_up_and_the_reset_is_never_before_it() -> None:
    """The original of this design cut it off, so that obedient clients were refused again."""
    room = Room(PAY)
    room.ask("pay")
    room.pause(0.5)
    refused = room.ask("pay")
    assert refused["Retry-After"] == "12"  # 11.5 s
    assert refused["RateLimit"] == '"pay";r=0;t=12'
    assert refused["X-RateLimit-Reset"] == str(NEW_YEAR + 13)  # all is earned back at 12 s, but 0.5 + 12 is later
    room.pause(12)
    assert "Retry-After" not in room.ask("pay")


def test_the_reset_is_the_moment_at_which_all_is_earned_back_and_no_constant() -> None:
    room = Room()
    resets = []
    for _ in range(3):
        resets.append(int(room.ask()["X-RateLimit-Reset"]) - NEW_YEAR)
        room.pause(0.3)
    assert resets == [1, 2, 3]


def test_the_reset_follows_the_store_s_clock_and_not_this_machine_s() -> None:
    """In the original of this design every web server used its own."""
    limiter = Limiter(Config(buckets=[READ]), ScriptedStore([(5_000_000, 9_000_000), (5_000_000, -1)]))
    resets = [dict(limiter.headers(limiter.admit(ALICE, "read")))["X-RateLimit-Reset"] for _ in range(2)]
    assert resets == ["6", "15"]


def test_a_reset_within_a_second_is_rounded_up() -> None:
    room = Room(Bucket("fast", quota="1000/s:5"))
    assert room.ask("fast")["X-RateLimit-Reset"] == str(NEW_YEAR + 1)
    assert room.ask("fast")["RateLimit-Policy"] == '"fast";q=5;w=1'
    room.pause(0.5)
    assert room.ask("fast")["X-RateLimit-Reset"] == str(NEW_YEAR + 1)  # and not a second from now
    assert room.ask("fast", times=5)["Retry-After"] == "1"


quotas = st.builds(
    Quota, st.integers(1, 600), st.sampled_from([1_000_000, 60_000_000, 3_600_000_000]), st.integers(1, 5)
)


@given(quotas, st.lists(st.tuples(st.integers(0, 90_000_000), st.integers(1, 5)), min_size=1, max_size=30))
def test_whoever_waits_as_told_is_admitted(quota: Quota, history: list[tuple[int, int]]) -> None:
    room = Room(Bucket("any", quota=quota))
    for pause_us, cost in history:
        room.clock.advance_us(pause_us)
        headers = room.ask("any", cost=min(cost, quota.burst))
        if "Retry-After" in headers:
            wait = int(headers["Retry-After"])
            now_us = room.clock.now_us()
            assert wait >= 1
            assert int(headers["X-RateLimit-Reset"]) * 1_000_000 >= now_us + wait * 1_000_000
            room.clock.advance_us(wait * 1_000_000)
            assert "Retry-After" not in room.ask("any", cost=min(cost, quota.burst))


@given(quotas, st.lists(st.integers(0, 5_000_000), min_size=1, max_size=20))
def test_the_draft_promises_what_the_limiter_keeps(quota: Quota, pauses: list[int]) -> None:
    """With r units left none is refused; with none left, one is there after t seconds."""
    room = Room(Bucket("any", quota=quota))
    for pause_us in pauses:
        room.clock.advance_us(pause_us)
        left, seconds = (int(part[2:]) for part in room.ask("any")["RateLimit"].split(";")[1:])
        if left:
            assert room.limiter.peek(ALICE, "any", cost=left).allowed
        else:
            room.clock.advance_us(seconds * 1_000_000)
            assert room.limiter.peek(ALICE, "any").allowed


def test_several_quotas_are_listed_most_exhausted_first() -> None:
    room = Room(PAIR)
    assert room.limiter.headers(room.admit("pair")) == [
        ("X-RateLimit-Limit", "5"),
        ("X-RateLimit-Remaining", "4"),
        ("X-RateLimit-Reset", str(NEW_YEAR + 36)),
        ("X-RateLimit-Policy", "pair"),
        ("RateLimit-Policy", '"pair";q=5;w=30, "pair-3600s";q=10;w=360'),
        ("RateLimit", '"pair";r=4;t=24, "pair-3600s";r=9;t=324'),
    ]
    room.ask("pair", times=4)
    room.pause(30)
    room.ask("pair", times=5)
    room.pause(30)
    # the hour's quota has 60 s earned back: one unit after ten were spent
    assert room.ask("pair")["RateLimit"] == '"pair-3600s";r=0;t=12, "pair";r=4;t=24'
    refused = room.ask("pair")
    assert refused["X-RateLimit-Limit"] == "10"
    assert refused["RateLimit"] == '"pair-3600s";r=0;t=12, "pair";r=4;t=24'
    assert refused["Retry-After"] == "12"
    assert refused["X-RateLimit-Reset"] == str(NEW_YEAR + 396)


def test_several_buckets_are_one_answer() -> None:
    room = Room(READ, PAY)
    assert room.limiter.headers(room.admit("read", "pay")) == [
        ("X-RateLimit-Limit", "1"),
        ("X-RateLimit-Remaining", "0"),
        ("X-RateLimit-Reset", str(NEW_YEAR + 12)),
        ("X-RateLimit-Policy", "read, pay"),
        ("RateLimit-Policy", '"pay";q=1;w=12, "read";q=10;w=10'),
        ("RateLimit", '"pay";r=0;t=12, "read";r=9;t=9'),
    ]
    refused = room.ask("read", "pay")
    assert refused["RateLimit"] == '"pay";r=0;t=12, "read";r=9;t=9'  # the refusal charged read nothing
    assert refused["Retry-After"] == "12"


def test_a_watched_refusal_never_says_retry_after() -> None:
    """It would make good clients wait for nothing."""
    room = Room(WATCHED)
    admission = room.admit("watched", times=2)
    assert admission.decision.would_block
    assert room.limiter.headers(admission) == [
        ("X-RateLimit-Limit", "1"),
        ("X-RateLimit-Remaining", "0"),
        ("X-RateLimit-Reset", str(NEW_YEAR + 12)),
        ("X-RateLimit-Policy", "watched"),
        ("RateLimit-Policy", '"watched";q=1;w=12'),
        ("RateLimit", '"watched";r=0;t=12'),
    ]


def test_a_watched_bucket_beside_a_refusing_one_lends_it_no_wait() -> None:
    room = Room(WATCHED, READ)
    room.ask("watched", "read")
    assert "Retry-After" not in room.ask("watched", "read")
    room.ask("read", times=8)
    assert room.ask("watched", "read")["Retry-After"] == "1"


def test_a_cost_that_can_never_fit_is_told_no_wait() -> None:
    room = Room()
    room.ask(times=3)
    headers = room.ask(cost=11)
    assert "Retry-After" not in headers
    assert (headers["X-RateLimit-Remaining"], headers["RateLimit"]) == ("7", '"read";r=7;t=7')


def test_a_refused_cost_above_one_shows_what_is_left_without_it() -> None:
    room = Room()
    room.ask(times=8)
    headers = room.ask(cost=5)
    assert (headers["X-RateLimit-Remaining"], headers["Retry-After"]) == ("2", "3")
    assert headers["RateLimit"] == '"read";r=2;t=3'


@pytest.mark.parametrize(
    ("room", "name", "policy"),
    [(Room(enabled=False), "read", "off"), (Room(Bucket("none", quota="5/m:1", mode=Mode.OFF)), "none", "none")],
)
def test_without_a_limit_there_are_no_numbers(room: Room, name: str, policy: str) -> None:
    assert room.limiter.headers(room.admit(name)) == [("X-RateLimit-Policy", policy)]


def test_a_bucket_that_is_off_is_named_beside_one_that_is_not() -> None:
    headers = Room(OFF, READ).ask("off", "read")
    assert headers["X-RateLimit-Policy"] == "off, read"
    assert headers["RateLimit"] == '"read";r=9;t=9'


def test_the_draft_s_fields_can_be_switched_off() -> None:
    room = Room(draft_fields=False)
    assert tuple(room.ask()) == NAMES
    assert tuple(room.ask(times=10)) == (*NAMES, "Retry-After")


@pytest.mark.parametrize("names", [("read",), ("pay", "read"), ("pair",), ("watched",)])
@pytest.mark.parametrize("times", [1, 2, 20])
def test_the_names_come_in_the_same_order_on_every_answer(names: tuple[str, ...], times: int) -> None:
    headers = tuple(Room(READ, PAY, PAIR, WATCHED).ask(*names, times=times))
    assert headers[:6] == (*NAMES, *DRAFT)
    assert headers[6:] in {(), ("Retry-After",)}


def test_without_the_store_a_closed_bucket_says_when_to_come_back() -> None:
    closed = Bucket("closed", quota="60/m:10", store_down=StoreDown.CLOSED)
    limiter = Limiter(Config(buckets=[closed]), ScriptedStore([StoreError("timeout", "slow", wait_us=1_200_000)]))
    admission = limiter.admit(ALICE, "closed")
    headers = dict(limiter.headers(admission))
    assert (headers["X-RateLimit-Remaining"], headers["Retry-After"]) == ("0", "2")
    assert headers["RateLimit"] == '"closed";r=0;t=2'
    assert int(headers["X-RateLimit-Reset"]) * 1_000_000 >= admission.decision.now_us + 2_000_000


def test_without_a_user_the_numbers_of_an_idle_identity_are_shown() -> None:
    room = Room(Bucket("users", quota="5/m:1", require_user=True))
    headers = room.headers(room.limiter.admit(RequestInfo(peer="203.0.113.9"), "users"))
    assert "Retry-After" not in headers
    assert headers["X-RateLimit-Remaining"] == "1"


def test_a_value_is_plain_ascii_without_line_breaks() -> None:
    limiter = Room().limiter
    admission = limiter.admit(Identity.user("x\r\nSet-Cookie: a=b\ud800"), "read", scope="\r\n", route="\r\n")
    for name, value in limiter.headers(admission):
        assert f"{name}: {value}".isascii()
        assert f"{name}: {value}".isprintable()
