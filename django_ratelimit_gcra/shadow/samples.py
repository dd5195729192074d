"""The recorded arrivals of a bucket, as the simulator takes them."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from django.db.models import Min, Sum

from django_ratelimit_gcra.models import ArrivalSample
from django_ratelimit_gcra.recording.packing import unpack
from django_ratelimit_gcra.recording.sampling import WHOLE
from django_ratelimit_gcra.shadow.reading import rows_of
from ratelimit_core.simulate import Arrival

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)


class Sampled(NamedTuple):
    """Arrivals in order of time, and the share of all identities whose arrivals these are: 1.0 is everybody."""

    arrivals: list[Arrival]
    share: float


def arrivals(bucket: str, since: datetime, until: datetime, most: int = 200_000) -> Sampled:
    """What was sampled; of many more arrivals than `most` only a share of the identities, each with all of its own.

    Identities are keyed hashes in hexadecimal, of an identity and its scope. Rows that can't be read are left out.
    """
    rows = rows_of(ArrivalSample, bucket, since, until)
    known = rows.aggregate(share=Min("share"), number=Sum("arrivals"))
    share: float = 1.0 if known["share"] is None else known["share"]
    number = known["number"] or 0
    while number > most:
        share, number = share / 2, number // 2
    first, last = (since - _EPOCH) // _US, (until - _EPOCH) // _US
    found = []
    for data in rows.order_by("minute", "pk").values_list("data", flat=True).iterator():
        found += [arrival for arrival in _unpacked(bytes(data), share) if first <= arrival.at_us < last]
    found.sort(key=lambda arrival: arrival.at_us)
    return Sampled(found, share)


def _unpacked(data: bytes, share: float) -> Iterator[Arrival]:
    """The arrivals of those identities of a row that are in the share."""
    below = share * WHOLE
    try:
        for identity, visits in unpack(data):
            if int.from_bytes(identity, "big") < below:
                name = identity.hex()
                for at_us, cost in visits:
                    yield Arrival(at_us, name, cost)
    except ValueError:
        return
