"""Switching a policy at run time: one function an act, for the admin and for the shell; nobody else writes the rows.

Each act is checked as the settings are, written down with who and why in one transaction, and then told to every
process. They raise ConfigurationError for what can't be done, which names bucket, field and accepted values;
PermissionDenied for a user who may not; `django.db.Error` where the database can't be written: nothing was changed.
"""

import logging
import unicodedata
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

from django.apps import apps
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.utils import timezone

from django_ratelimit_gcra import conf, overrides, runtime, viewchecks
from django_ratelimit_gcra.layers import Layer, aware, described, laid_over, read
from django_ratelimit_gcra.models import PolicyOverride
from django_ratelimit_gcra.weakening import weakened
from ratelimit_core import Config, ConfigurationError, Mode
from ratelimit_core.config import Override

SWITCH, WEAKEN = "django_ratelimit_gcra.switch_policy", "django_ratelimit_gcra.weaken_policy"
LONGEST_REASON = 500
LONGEST = timedelta(days=366)
_LONGEST_NAME = 200
_ENABLED = "RATE_LIMIT_ENABLED"
_KILLED = Override(Mode.OFF)
_log = logging.getLogger("django_ratelimit_gcra")


class User(Protocol):
    """Somebody of the admin's."""

    pk: Any

    def has_perm(self, perm: str, obj: Any = None) -> bool: ...


def switch(
    bucket: str, change: Override, reason: str, by: str, user: User | None = None, expires: datetime | None = None
) -> PolicyOverride:
    """Change a bucket's mode, share or quotas, for good or until `expires`."""
    base = runtime.base_config()
    with transaction.atomic(using=overrides.alias()):
        standing = overrides.load()
        _check(base, bucket, change)
        row = _row(bucket, change, reason, by, expires)
        _check_costs(laid_over(base, (_layer(row, base), *standing)), bucket, change)
        _add(row, change, standing, user)
    return row


def undo(row: PolicyOverride | int, reason: str, by: str, user: User | None = None) -> PolicyOverride:
    """End a change: what stood before it stands again. By row or by its number."""
    with transaction.atomic(using=overrides.alias()):
        found = _standing_row(row if isinstance(row, int) else row.pk)
        standing = overrides.load()
        _permit(user, standing, [layer for layer in standing if layer.pk != found.pk])
        found.undone, found.undone_by = timezone.now(), words("by", by, _LONGEST_NAME)
        found.undone_reason = words("reason", reason, LONGEST_REASON)
        changed = {"undone": found.undone, "undone_by": found.undone_by, "undone_reason": found.undone_reason}
        rows = PolicyOverride.objects.using(overrides.alias()).filter(pk=found.pk, undone=None)
        if not rows.update(**changed):
            raise _unknown(found.pk, "somebody else has just undone it")
        _noted(found, f"{found} undone", found.undone_reason, found.undone_by, user)
    return found


def kill(
    on: bool, reason: str, by: str, user: User | None = None, expires: datetime | None = None
) -> tuple[PolicyOverride, ...]:
    """Move the kill switch: with it no store is called and nobody is refused. The rows that were written."""
    held = kill_switch_held()
    if held is not None:
        raise ConfigurationError("kill switch", "on" if on else "off", held)
    with transaction.atomic(using=overrides.alias()):
        standing = overrides.load()
        if on:
            row = _row("", _KILLED, reason, by, expires)
            _add(row, _KILLED, standing, user)
            return (row,)
        killed = [layer.pk for layer in standing if not layer.bucket]
        if not killed:
            raise ConfigurationError("kill switch", "off", "'on': it is off already")
        return tuple(undo(pk, reason, by, user) for pk in killed)


def kill_switch_held() -> str | None:
    """Why the kill switch can't be moved here; None where it can."""
    if runtime.base_config().enabled:
        return None
    return f"{_ENABLED} is false ({conf.sources().get(_ENABLED, 'default')}) and holds it on: change it there"


def history(most: int = 100) -> list[PolicyOverride]:
    """What was changed, the newest first."""
    return list(PolicyOverride.objects.using(overrides.alias()).order_by("-pk")[:most])


def preview(bucket: str, change: Override) -> Config:
    """The configuration that `switch` would bring about; raises ConfigurationError as it does."""
    base = runtime.base_config()
    _check(base, bucket, change)
    layer = Layer(0, bucket, change, "", "", timezone.now(), None)
    after = laid_over(base, (layer, *overrides.load()))
    _check_costs(after, bucket, change)
    return after


def _add(row: PolicyOverride, change: Override, standing: tuple[Layer, ...], user: User | None) -> None:
    _permit(user, standing, (_layer(row, runtime.base_config()), *standing))
    row.save(using=overrides.alias(), force_insert=True)
    _noted(row, described(row.bucket, change, aware(row.expires)), row.reason, row.by, user)


def _check(base: Config, bucket: str, change: Override) -> None:
    base.policy(bucket)
    if change == Override():
        raise ConfigurationError(f"bucket '{bucket}': change", None, "a mode, a canary's share, or quotas")
    base.overridden({bucket: change})
    if change.mode is Mode.CANARY and change.canary_percent is None:
        raise ConfigurationError(f"bucket '{bucket}': canary_percent", None, "a number from 0 to 100")
    if change.mode is not Mode.CANARY and change.canary_percent is not None:
        raise ConfigurationError(
            f"bucket '{bucket}': canary_percent", change.canary_percent, "none: only mode 'canary' has a share"
        )
    for quota in change.quotas or ():
        if quota.period_us % 1_000_000:
            raise ConfigurationError(f"bucket '{bucket}': quota", str(quota), "a period of whole seconds")


def _check_costs(after: Config, bucket: str, change: Override) -> None:
    """What a view is written to cost must still fit, or nobody is admitted to it any more."""
    for message in viewchecks.costs(after, bucket) if change.quotas else ():
        raise ConfigurationError(f"bucket '{bucket}': quotas", _texts(change), str(message.msg))


def _row(bucket: str, change: Override, reason: str, by: str, expires: datetime | None) -> PolicyOverride:
    return PolicyOverride(
        bucket=bucket,
        mode=None if change.mode is None else change.mode.value,
        canary_percent=change.canary_percent,
        quotas=_texts(change),
        reason=words("reason", reason, LONGEST_REASON),
        by=words("by", by, _LONGEST_NAME),
        created=timezone.now(),
        expires=_end(expires),
    )


def _texts(change: Override) -> list[str] | None:
    return None if change.quotas is None else [str(quota) for quota in change.quotas]


def _layer(row: PolicyOverride, base: Config) -> Layer:
    """A row as every process will read it."""
    names = ("pk", "bucket", "mode", "canary_percent", "quotas", "reason", "by", "created", "expires")
    return read({name: getattr(row, name) for name in names}, base)


def _standing_row(pk: int) -> PolicyOverride:
    row = PolicyOverride.objects.using(overrides.alias()).filter(pk=pk).first()
    if row is None:
        raise _unknown(pk, "there is none of this number")
    if row.standing != "in force":
        raise _unknown(pk, f"this one is {row.standing}")
    return row


def _unknown(pk: int, why: str) -> ConfigurationError:
    return ConfigurationError("override", pk, f"the number of one in force; {why}")


def _permit(user: User | None, before: Sequence[Layer], after: Sequence[Layer]) -> None:
    """Nobody stands for the shell: who has that may do everything."""
    if user is None:
        return
    weak = weakened(runtime.base_config(), before, after)
    for permission in (SWITCH, WEAKEN) if weak else (SWITCH,):
        if not user.has_perm(permission):
            raise PermissionDenied(f"{permission} is needed" + (f": this weakens {', '.join(weak)}" if weak else ""))


def words(what: str, text: str, most: int) -> str:
    """Text that can be stored and shown in one line."""
    words = " ".join(str(text).split())
    if not words or len(words) > most or any(unicodedata.category(one) in {"Cc", "Cs"} for one in words):
        raise ConfigurationError(what, text, f"a few words, at most {most} characters, no control characters")
    return words


def _end(expires: datetime | None) -> datetime | None:
    if expires is None:
        return None
    if not aware(timezone.now()) < aware(expires) <= aware(timezone.now()) + LONGEST:
        raise ConfigurationError("expires", str(expires), f"a moment to come, within {LONGEST.days} days; or none")
    return expires if settings.USE_TZ else timezone.make_naive(aware(expires))


def _noted(row: PolicyOverride, what: str, reason: str, by: str, user: User | None) -> None:
    """In the admin's log for a user, in the process's log in any case; and told to all when it is committed."""
    if user is not None and apps.is_installed("django.contrib.admin"):
        from django.contrib.admin.models import ADDITION, CHANGE, LogEntry

        flag = ADDITION if row.undone is None else CHANGE
        LogEntry.objects.log_actions(user.pk, [row], flag, f"{what}: {reason}", single_object=True)

    def told() -> None:
        _log.warning("%s (by %r: %r)", what, by, reason)
        overrides.tell()

    transaction.on_commit(told, using=overrides.alias())
