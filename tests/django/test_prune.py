"""`ratelimit_prune`: what has expired goes, what has not stays."""

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from django_ratelimit_gcra.models import IdempotencyRecord

pytestmark = pytest.mark.django_db


def pruned(*arguments: str) -> str:
    out = StringIO()
    call_command("ratelimit_prune", *arguments, stdout=out)
    return out.getvalue().strip()


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
    assert pruned("--batch", batch) == "5 expired records deleted"
    assert IdempotencyRecord.objects.count() == 3
    assert pruned() == "0 expired records deleted"


def test_one_record_is_spelled_as_one() -> None:
    records(1, -1)
    assert pruned() == "1 expired record deleted"


def test_a_batch_of_nothing_is_refused() -> None:
    with pytest.raises(CommandError, match="at least 1"):
        pruned("--batch", "0")
