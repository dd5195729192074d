"""What the tests of switching share."""

from datetime import timedelta
from typing import Any

from django.contrib.auth.models import Permission, User
from django.utils import timezone

from django_ratelimit_gcra import overrides, runtime, switching
from django_ratelimit_gcra.models import PolicyOverride
from ratelimit_core import Mode, Quota
from ratelimit_core.config import Override, Source

ENFORCE, SHADOW, OFF = Override(Mode.ENFORCE), Override(Mode.SHADOW), Override(Mode.OFF)
TENTH = Override(Mode.CANARY, 10)
WHY = "at three in the morning"


def quotas(*texts: str) -> Override:
    return Override(quotas=tuple(map(Quota.parse, texts)))


def switch(bucket: str, change: Override, **options: Any) -> PolicyOverride:
    """Switched, and seen by this process: a test's transaction is never committed."""
    row = switching.switch(bucket, change, WHY, "me", **options)
    assert overrides.refresh()
    return row


def undo(row: PolicyOverride, **options: Any) -> None:
    switching.undo(row, WHY, "me", **options)
    assert overrides.refresh()


def mode(bucket: str) -> tuple[Mode, Source]:
    policy = runtime.limiter().config.policy(bucket)
    return policy.mode, policy.source


def held(bucket: str) -> list[str]:
    return [str(quota) for quota in runtime.limiter().config.policy(bucket).bucket.quotas]


def row(bucket: str = "read", **columns: Any) -> PolicyOverride:
    """A row that no act of ours would have written."""
    values = {"reason": WHY, "by": "somebody's SQL", "created": timezone.now(), "mode": "enforce", **columns}
    return PolicyOverride.objects.create(bucket=bucket, **values)


def in_an_hour() -> Any:
    return timezone.now() + timedelta(hours=1)


def user(*codenames: str) -> User:
    """Somebody who may do just this."""
    made = User.objects.create_user(f"user{User.objects.count()}", is_staff=True)
    made.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    assert made.user_permissions.count() == len(codenames)
    return made
