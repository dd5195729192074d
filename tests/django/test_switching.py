"""Switching: what is checked, who may, what is written down, and who is told."""

import logging
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from django_ratelimit_gcra import overrides, switching
from django_ratelimit_gcra.layers import described
from django_ratelimit_gcra.models import PolicyOverride
from django_ratelimit_gcra.weakening import _is_looser, weakens
from ratelimit_core import Bucket, ConfigurationError, Mode, Quota, gcra
from ratelimit_core.config import Override, Policy, Source
from tests.django.switches import ENFORCE, OFF, SHADOW, TENTH, WHY, in_an_hour, mode, quotas, switch, undo, user
from tests.servers import ServerUnderTest

pytestmark = pytest.mark.django_db

NAN = float("nan")


# --- what is checked


@pytest.mark.parametrize(
    ("bucket", "change", "message"),
    [
        ("reed", ENFORCE, "bucket = 'reed' can't be used: the buckets are auth_bootstrap, read, write, financial"),
        ("", OFF, "bucket = '' can't be used: the buckets are"),
        ("read", Override(), "bucket 'read': change = None can't be used: a mode, a canary's share, or quotas"),
        ("read", Override("enfroce"), "bucket 'read': mode = 'enfroce' can't be used: one of off, shadow, canary"),  # type: ignore[arg-type]  # on purpose
        ("read", Override(Mode.CANARY), "bucket 'read': canary_percent = None can't be used: a number from 0 to 100"),
        ("read", Override(Mode.CANARY, 101), "bucket 'read': canary_percent = 101 can't be used: a number from 0 to"),
        ("read", Override(Mode.CANARY, NAN), "bucket 'read': canary_percent = nan can't be used: a number from 0 to"),
        ("read", Override(Mode.ENFORCE, 10), "bucket 'read': canary_percent = 10 can't be used: none: only mode"),
        ("read", Override(None, 10), "bucket 'read': canary_percent = 10 can't be used: none: only mode 'canary'"),
        ("read", Override(quotas=()), "bucket 'read': quotas = () can't be used: give quota= or quotas="),
        ("read", Override(quotas=(Quota(1, 1_500, 1),)), "bucket 'read': quota = '1/1500us:1' can't be used: a period"),
        ("read", quotas("6/m:1", "7/m:1"), None),
        ("read", quotas("6/m:1", "7/h:1", "8/h:1"), "bucket 'read': quotas = ['60s', '3600s', '3600s'] can't be used"),
    ],
)
def test_what_can_not_be_is_refused_by_name_and_nothing_is_written(
    bucket: str, change: Override, message: str | None
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        switching.switch(bucket, change, WHY, "me")
    assert str(caught.value).startswith(message or "bucket 'read': quotas = ['60s', '60s']")
    assert not PolicyOverride.objects.exists()


def test_a_burst_that_a_cost_in_a_view_would_never_fit_is_refused(settings: Any) -> None:
    """The settings are refused for it; a switch that made a page answer 413 for ever would be no better."""
    settings.ROOT_URLCONF = "tests.django.places"
    settings.RATE_LIMIT_BUCKETS = {"read": {"quota": "60/m", "burst": 10}}
    with pytest.raises(
        ConfigurationError, match=r"bucket 'read': quotas = .*never fits into bucket 'read', whose burst"
    ):
        switching.switch("read", quotas("60/m:1"), WHY, "me")
    switching.switch("write", quotas("60/m:1"), WHY, "me")


@pytest.mark.parametrize("reason", ["", "  \n ", "x" * 501, "a\0b", "a\x1bb", "\ud800"])
@pytest.mark.parametrize("what", ["reason", "by"])
def test_a_reason_is_a_line_that_can_be_stored_and_shown(reason: str, what: str) -> None:
    said = {"reason": WHY, "by": "me", what: reason}
    for act in (
        lambda: switching.switch("read", ENFORCE, said["reason"], said["by"]),
        lambda: switching.kill(on=True, reason=said["reason"], by=said["by"]),
    ):
        with pytest.raises(ConfigurationError, match=f"{what} = .* can't be used: a few words, at most"):
            act()
    row = switch("read", ENFORCE)
    with pytest.raises(ConfigurationError, match=f"{what} = "):
        switching.undo(row, said["reason"], said["by"])
    assert mode("read")[0] is Mode.ENFORCE


@pytest.mark.parametrize("reason", ["<script>'</script>", "\U0001f9e8 four bytes", "\u202eright to left", "x" * 500])
def test_any_other_text_is_a_reason(reason: str) -> None:
    assert switching.switch("read", ENFORCE, f"  {reason}\n", "me").reason == reason


@pytest.mark.parametrize("after", [timedelta(0), timedelta(seconds=-1), timedelta(days=367)])
def test_an_end_is_to_come_and_within_a_year(after: timedelta) -> None:
    with pytest.raises(ConfigurationError, match="expires = "):
        switching.switch("read", ENFORCE, WHY, "me", expires=timezone.now() + after)


# --- undoing


def test_a_change_is_undone_once() -> None:
    row = switch("read", ENFORCE)
    undo(row)
    with pytest.raises(ConfigurationError, match=r"override = \d+ can't be used: .* this one is undone"):
        switching.undo(row, WHY, "me")
    row.refresh_from_db()
    assert (row.standing, row.undone_by, row.undone_reason) == ("undone", "me", WHY)


def test_what_expired_or_never_was_can_not_be_undone() -> None:
    row = switch("read", ENFORCE, expires=in_an_hour())
    PolicyOverride.objects.update(expires=timezone.now())
    with pytest.raises(ConfigurationError, match="this one is expired"):
        switching.undo(row, WHY, "me")
    with pytest.raises(ConfigurationError, match="there is none of this number"):
        switching.undo(row.pk + 1, WHY, "me")


class Rival:
    """Somebody whose permissions are looked up while somebody else is faster."""

    pk = None

    def has_perm(self, perm: str, obj: object = None) -> bool:
        return bool(PolicyOverride.objects.update(undone=timezone.now()))


def test_of_two_who_undo_the_same_change_one_is_told() -> None:
    row = switch("read", ENFORCE)
    with pytest.raises(ConfigurationError, match="somebody else has just undone it"):
        switching.undo(row, WHY, "me", user=Rival())


def test_a_row_that_can_not_be_used_can_be_undone() -> None:
    row = switch("read", ENFORCE)
    PolicyOverride.objects.update(bucket="gone")
    overrides.refresh()
    assert overrides.state().broken
    undo(row)
    assert not overrides.state().broken


# --- the kill switch


def test_the_kill_switch_is_moved_and_moved_back() -> None:
    switch("read", ENFORCE)
    switching.kill(on=True, reason=WHY, by="me")
    switching.kill(on=True, reason=WHY, by="me", expires=in_an_hour())
    overrides.refresh()
    assert mode("read") == mode("financial") == (Mode.OFF, Source.KILL_SWITCH)
    assert len(switching.kill(on=False, reason=WHY, by="me")) == 2
    overrides.refresh()
    assert mode("read")[0] is Mode.ENFORCE
    with pytest.raises(ConfigurationError, match=r"kill switch = 'off' can't be used: 'on': it is off already"):
        switching.kill(on=False, reason=WHY, by="me")


def test_a_kill_switch_that_the_settings_hold_is_moved_there(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert switching.kill_switch_held() is None
    monkeypatch.setenv("RATE_LIMIT_ENABLED", "false")
    settings.RATE_LIMIT_SHADOW = None  # a setting that changed has them read again
    assert switching.kill_switch_held() == "RATE_LIMIT_ENABLED is false (variable) and holds it on: change it there"
    for on in (True, False):
        with pytest.raises(ConfigurationError, match="holds it on"):
            switching.kill(on, WHY, "me")


# --- what is written down


def test_who_and_why_stand_in_the_admin_s_log_and_in_the_process_s(
    caplog: Any, django_capture_on_commit_callbacks: Any
) -> None:
    boss = User.objects.create_superuser("boss")
    with (
        caplog.at_level(logging.WARNING, "django_ratelimit_gcra"),
        django_capture_on_commit_callbacks(execute=True) as told,
    ):
        row = switching.switch("read", TENTH, "too \u202emany\nfans", "boss", user=boss)
        switching.undo(row, "enough", "boss", user=boss)
    assert len(told) == 2
    entries = LogEntry.objects.order_by("pk")
    assert [(one.user_id, one.object_id) for one in entries] == [(boss.pk, str(row.pk))] * 2
    assert [one.change_message for one in entries] == [
        "read: canary 10 %: too \u202emany fans",
        f"override {row.pk} of read undone: enough",
    ]
    assert [record.getMessage() for record in caplog.records] == [
        "read: canary 10 % (by 'boss': 'too \\u202emany fans')",
        f"override {row.pk} of read undone (by 'boss': 'enough')",
    ]


def test_nobody_s_switch_stands_in_the_process_s_log_only() -> None:
    assert switching.switch("read", ENFORCE, WHY, "root, ratelimit_switch").by == "root, ratelimit_switch"
    assert not LogEntry.objects.exists()


def test_history_shows_the_newest_first() -> None:
    rows = [switch("read", ENFORCE), switch("write", SHADOW, expires=in_an_hour())]
    assert switching.history() == rows[::-1]
    assert switching.history(most=1) == rows[1:]
    assert str(rows[1]) == f"override {rows[1].pk} of write"


@pytest.mark.parametrize(
    ("override", "text"),
    [
        (ENFORCE, "read: enforce"),
        (TENTH, "read: canary 10 %"),
        (Override(Mode.CANARY, 2.5), "read: canary 2.5 %"),
        (Override(None, 20), "read: 20 %"),
        (quotas("90/m:15", "100/h:20"), "read: 90/m:15, 100/h:20"),
        (Override(Mode.SHADOW, quotas=quotas("6/m:1").quotas), "read: shadow, 6/m:1"),
    ],
)
def test_a_change_reads_as_it_was_given(override: Override, text: str) -> None:
    assert described("read", override) == text
    assert described("", OFF) == "kill switch: off"


def test_a_preview_is_what_a_switch_would_bring_about() -> None:
    assert switching.preview("read", ENFORCE).policy("read").mode is Mode.ENFORCE
    assert mode("read")[0] is Mode.SHADOW
    with pytest.raises(ConfigurationError):
        switching.preview("reed", ENFORCE)


# --- who is told


@pytest.mark.django_db(transaction=True)
def test_a_switch_is_in_force_here_when_it_returns() -> None:
    switching.switch("read", ENFORCE, WHY, "me")
    assert mode("read")[0] is Mode.ENFORCE
    switching.kill(on=True, reason=WHY, by="me")
    assert mode("read")[0] is Mode.OFF
    switching.kill(on=False, reason=WHY, by="me")
    assert mode("read")[0] is Mode.ENFORCE


@pytest.mark.django_db(transaction=True)
def test_a_switch_that_is_rolled_back_never_was(settings: Any, redis_server: ServerUnderTest, namespace: str) -> None:
    settings.RATE_LIMIT_STORE_URL = redis_server.url
    settings.RATE_LIMIT_NAMESPACE = namespace
    try:
        with transaction.atomic():
            switching.switch("read", ENFORCE, WHY, "me")
            raise KeyError  # noqa: TRY301
    except KeyError:
        pass
    assert mode("read")[0] is Mode.SHADOW
    assert redis_server.keys() == {}
    switching.switch("read", ENFORCE, WHY, "me")
    assert mode("read")[0] is Mode.ENFORCE
    assert list(redis_server.keys()) == [f"{namespace}:policy"]


# --- who may


def test_a_user_needs_the_permission_to_switch() -> None:
    row = switch("read", ENFORCE)
    nobody = user("view_dashboard", "view_identities", "weaken_policy", "reset_live")
    for act in (
        lambda: switching.switch("read", SHADOW, WHY, "x", user=nobody),
        lambda: switching.undo(row, WHY, "x", user=nobody),
        lambda: switching.kill(on=True, reason=WHY, by="x", user=nobody),
    ):
        with pytest.raises(PermissionDenied, match="switch_policy is needed"):
            act()
    assert not LogEntry.objects.exists()
    assert switching.history() == [row]


def test_a_user_who_may_switch_may_not_weaken_a_shield() -> None:
    switcher = user("switch_policy")
    switching.switch("read", ENFORCE, WHY, "x", user=switcher)
    switching.switch("read", OFF, WHY, "x", user=switcher)
    switching.switch("financial", quotas("4/m:1"), WHY, "x", user=switcher)
    overrides.refresh()
    for change in (OFF, SHADOW, TENTH, quotas("5/m:1"), quotas("4/m:2")):
        with pytest.raises(PermissionDenied, match="weaken_policy is needed: this weakens financial"):
            switching.switch("financial", change, WHY, "x", user=switcher)
    with pytest.raises(PermissionDenied, match="weaken_policy"):
        switching.kill(on=True, reason=WHY, by="x", user=switcher)
    may = user("switch_policy", "weaken_policy")
    switching.switch("financial", SHADOW, WHY, "x", user=may)
    switching.kill(on=True, reason=WHY, by="x", user=may)


def test_undoing_what_strengthened_a_shield_weakens_it() -> None:
    stricter = switch("financial", quotas("2/m:1"))
    with pytest.raises(PermissionDenied, match="weaken_policy"):
        switching.undo(stricter, WHY, "x", user=user("switch_policy"))
    shadowed = switch("financial", SHADOW)
    switching.undo(shadowed, WHY, "x", user=user("switch_policy"))


def test_nothing_is_weakened_behind_the_kill_switch(settings: Any) -> None:
    switching.kill(on=True, reason=WHY, by="me")
    overrides.refresh()
    with pytest.raises(PermissionDenied, match="weaken_policy"):
        switching.switch("financial", SHADOW, WHY, "x", user=user("switch_policy"))
    settings.RATE_LIMIT_ENABLED = False
    with pytest.raises(PermissionDenied, match="weaken_policy"):
        switching.switch("financial", SHADOW, WHY, "x", user=user("switch_policy"))


def test_nothing_is_weakened_behind_a_change_that_ends(settings: Any) -> None:
    """Somebody who may lets it observe for an hour; nobody else may make that last for ever."""
    switch("financial", SHADOW, expires=in_an_hour())
    with pytest.raises(PermissionDenied, match="weaken_policy"):
        switching.switch("financial", SHADOW, WHY, "x", user=user("switch_policy"))


def test_nothing_is_weakened_under_a_change_that_ends(settings: Any) -> None:
    settings.RATE_LIMIT_SHADOW_FINANCIAL = True
    lasting = switch("financial", ENFORCE)
    switch("financial", ENFORCE, expires=in_an_hour())
    with pytest.raises(PermissionDenied, match="weaken_policy"):
        switching.undo(lasting, WHY, "x", user=user("switch_policy"))


CLOSED = Bucket("pay", quota="60/m:10", concurrency=1, store_down="closed")  # type: ignore[arg-type]  # text is read


@pytest.mark.parametrize(
    ("now", "share", "change", "weaker"),
    [
        (Mode.ENFORCE, 0, OFF, True),
        (Mode.ENFORCE, 0, SHADOW, True),
        (Mode.ENFORCE, 0, TENTH, True),
        (Mode.ENFORCE, 0, ENFORCE, False),
        (Mode.CANARY, 5, TENTH, False),
        (Mode.CANARY, 20, TENTH, True),
        (Mode.CANARY, 20, Override(None, 30), False),
        (Mode.CANARY, 20, Override(None, 10), True),
        (Mode.CANARY, 20, ENFORCE, False),
        (Mode.SHADOW, 0, TENTH, False),
        (Mode.SHADOW, 0, OFF, True),
        (Mode.OFF, 0, SHADOW, False),
        (Mode.OFF, 0, OFF, False),
        (Mode.SHADOW, 0, quotas("61/m:10"), True),
        (Mode.ENFORCE, 0, quotas("60/m:11"), True),
        (Mode.ENFORCE, 0, quotas("60/m:10", "100/h:1"), False),
        (Mode.ENFORCE, 0, quotas("3600/h:10"), False),
        (Mode.ENFORCE, 0, quotas("30/m:20"), True),
    ],
)
def test_a_protection_is_taken_away_by_a_smaller_share_or_a_looser_quota(
    now: Mode, share: float, change: Override, weaker: bool
) -> None:
    for open_too, bucket in ((False, CLOSED), (True, Bucket("chat", quota="60/m:10"))):
        changed = Override(now, share or None).over(bucket)
        policy = Policy(changed, now, Source.BUCKET)
        assert weakens(policy, change) is (weaker and not open_too)


quota = st.builds(Quota, st.integers(1, 6), st.just(60_000_000), st.integers(1, 4))


@given(st.lists(quota, min_size=1, max_size=3), st.lists(quota, min_size=1, max_size=3), st.lists(st.integers(0, 40)))
def test_quotas_that_are_not_looser_admit_nothing_new(old: list[Quota], new: list[Quota], gaps: list[int]) -> None:
    """Whatever passes the new quotas passes the old ones too, at any time."""
    if _is_looser(old, new):
        return
    now_us, before, after = 0, [0] * len(old), [0] * len(new)
    for gap in gaps:
        now_us += gap * 1_000_000
        if not _passes(after, new, now_us):
            continue
        assert _passes(before, old, now_us)


def _passes(tats: list[int], group: list[Quota], now_us: int) -> bool:
    rooms = [gcra.measure(tat, now_us, one.tolerance_us, one.interval_us) for tat, one in zip(tats, group, strict=True)]
    if min(rooms) < 0:
        return False
    tats[:] = [gcra.arrival(room, now_us, one.tolerance_us) for room, one in zip(rooms, group, strict=True)]
    return True
