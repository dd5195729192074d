"""The recorded arrivals of a bucket, as the simulator takes them."""

from datetime import datetime
from typing import NamedTuple

from ratelimit_core.simulate import Arrival


class Sampled(NamedTuple):
    """Arrivals in order of time, and the share of all identities whose arrivals these are: 1.0 is everybody."""

    arrivals: list[Arrival]
    share: float


def arrivals(bucket: str, since: datetime, until: datetime, most: int = 200_000) -> Sampled:
    """What was sampled; of more than `most` arrivals a smaller share of the identities, each with all of its own.

    Identities are keyed hashes in hexadecimal, of the identity and its scope; `name_of` knows those that were refused.
    """
    raise NotImplementedError
