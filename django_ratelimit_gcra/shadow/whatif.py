"""What other quotas would have done to the recorded arrivals."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django_ratelimit_gcra.shadow.reports import Share
from ratelimit_core import Quota
from ratelimit_core.simulate import Suggestion


@dataclass(frozen=True, slots=True)
class WhatIf:
    """What `quotas` would have done. Where `share` is under 1 the counts are estimates for everybody.

    `touched` identities would have been refused at least once; `worst` are those refused most.
    """

    quotas: tuple[Quota, ...]
    since: datetime
    until: datetime
    requests: int
    identities: int
    refused: int
    touched: int
    share: float
    worst: Sequence[Share]
    sentence: str

    @property
    def estimated(self) -> bool:
        """Whether the counts were scaled up from a share of all identities."""
        return self.share < 1


def what_if(bucket: str, quotas: Sequence[Quota], since: datetime, until: datetime | None = None) -> WhatIf:
    """Replay the bucket's recorded arrivals against these quotas."""
    raise NotImplementedError


def curve(
    bucket: str, rate: Quota, bursts: Iterable[int], since: datetime, until: datetime | None = None
) -> list[WhatIf]:
    """The same for several bursts at one rate, without `worst`; the samples are read once."""
    raise NotImplementedError


def suggestion(bucket: str, rate: Quota, since: datetime, until: datetime | None = None) -> Suggestion | None:
    """The smallest burst (and if none does, rate) that touches fewer than 0.1 % of identities, loops left aside."""
    raise NotImplementedError
