"""`ratelimit_prune`: what has expired goes, what has not stays."""

from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from django_ratelimit_gcra.models import ArrivalSample, DecisionMinute, IdempotencyRecord, IdentityMinute

pytestmark = pytest.mark.django_db


def pruned(*arguments: str) -> str:
    out = StringIO()
    call_command("ratelimit_prune", *arguments, stdout=out)
    return out.getvalue().strip().replace("\n", "; ")


def records(count: int, hours: int) -> None:
    now = timezone.now()
    IdempotencyRecord.objects.bulk_create(
        IdempotencyRecord(identity="user:1", name=f"{hours} {at}", created=now, expires=now + timedelta(hours=hours))
        for at in range(count)
    )


@pytest.mark.parametrize("batch", ["1", "2", "1000"])
def test_expired_records_go_in_batches_and_live_ones_stay(batch: str) -> None:
    records(5, -1)
    records(3, 1)
    assert pruned("--batch", batch) == "5 expired records deleted; 0 old rows of decisions deleted"
    assert IdempotencyRecord.objects.count() == 3
    assert pruned() == "0 expired records deleted; 0 old rows of decisions deleted"


def test_one_record_is_spelled_as_one() -> None:
    records(1, -1)
    assert pruned() == "1 expired record deleted; 0 old rows of decisions deleted"


@pytest.mark.parametrize("batch", ["1", "1000"])
def test_records_of_decisions_go_by_their_age_and_samples_after_two_days(settings: Any, batch: str) -> None:
    for hours in (1, 47, 49, 13 * 24, 15 * 24):
        place: dict[str, Any] = {"minute": timezone.now() - timedelta(hours=hours), "bucket": "read"}
        DecisionMinute.objects.create(route="/", **place)
        IdentityMinute.objects.create(identity="user:1", route="/", **place)
        ArrivalSample.objects.create(share=1, arrivals=0, data=b"", **place)
    assert pruned("--batch", batch) == "0 expired records deleted; 5 old rows of decisions deleted"
    assert (DecisionMinute.objects.count(), IdentityMinute.objects.count(), ArrivalSample.objects.count()) == (4, 4, 2)
    settings.RATE_LIMIT_RECORD_DAYS = 1
    assert pruned() == "0 expired records deleted; 7 old rows of decisions deleted"
    assert (DecisionMinute.objects.count(), IdentityMinute.objects.count(), ArrivalSample.objects.count()) == (1, 1, 1)


def test_a_batch_of_nothing_is_refused() -> None:
    with pytest.raises(CommandError, match="at least 1"):
        pruned("--batch", "0")
