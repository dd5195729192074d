"""What other quotas would have done to the recorded arrivals."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from django.utils import timezone

from django_ratelimit_gcra.recording import names
from django_ratelimit_gcra.shadow.causes import counted, loops
from django_ratelimit_gcra.shadow.reading import Refused, Share, refused_identities, shares
from django_ratelimit_gcra.shadow.samples import arrivals
from ratelimit_core import Quota, simulate
from ratelimit_core.simulate import Replayed, Suggestion

_WORST = 20


@dataclass(frozen=True, slots=True)
class WhatIf:
    """What `quotas` would have done. Where `share` is under 1 the counts are estimates for everybody.

    `touched` identities would have been refused at least once; `worst` are those refused most, with their own counts.
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

    @property
    def estimated(self) -> bool:
        """Whether the counts were scaled up from a share of all identities."""
        return self.share < 1

    @property
    def sentence(self) -> str:
        """The same in words."""
        if not self.requests:
            return "No arrivals were recorded."
        label = f"; estimated from {100 * self.share:.3g} % of the identities" if self.estimated else ""
        return (
            f"{', '.join(map(str, self.quotas))} would refuse {self.refused:,} of {counted(self.requests, 'request')} "
            f"and touch {self.touched:,} of {counted(self.identities, 'identity')}{label}."
        )


def what_if(bucket: str, quotas: Sequence[Quota], since: datetime, until: datetime | None = None) -> WhatIf:
    """Replay the bucket's recorded arrivals against these quotas."""
    until = timezone.now() if until is None else until
    sampled = arrivals(bucket, since, until)
    replayed = simulate.replay(sampled.arrivals, quotas)
    worst = shares(_by_name(replayed, bucket, since, until), _WORST)[0]
    return _whatif(tuple(quotas), since, until, sampled.share, replayed, worst)


def curve(
    bucket: str, rate: Quota, bursts: Iterable[int], since: datetime, until: datetime | None = None
) -> list[WhatIf]:
    """The same for several bursts at one rate, without `worst`; the samples are read once."""
    until = timezone.now() if until is None else until
    sampled = arrivals(bucket, since, until)
    points = simulate.curve(sampled.arrivals, rate, bursts)
    return [_whatif((replace(rate, burst=burst),), since, until, sampled.share, made, ()) for burst, made in points]


def suggestion(bucket: str, rate: Quota, since: datetime, until: datetime | None = None) -> Suggestion | None:
    """The smallest burst (and if none does, rate) that touches fewer than 0.1 % of identities, loops left aside.

    Its counts are those of the samples; `worst` is named where it was refused before.
    """
    until = timezone.now() if until is None else until
    sampled = arrivals(bucket, since, until)
    found = simulate.suggest(sampled.arrivals, rate, aside=loops(sampled.arrivals, [rate]))
    if found is None:
        return None
    return found._replace(worst=names_by_hash(bucket, since, until).get(found.worst, found.worst))


def said(found: Suggestion | None) -> str:
    """A suggestion in words; it names nobody."""
    if found is None:
        return "No quota can be suggested: no arrivals were recorded, or no rate near the present one would do."
    return (
        f"{found.quota} would touch {found.touched:,} of {counted(found.identities, 'identity')}; of the "
        f"{counted(found.worst_before, 'request')} of the worst it would admit {found.worst_after:,}."
    )


def names_by_hash(bucket: str, since: datetime, until: datetime) -> Mapping[str, str]:
    """The identities that were refused, as they are written down, by the hashes that stand for them in samples."""
    return {names.sample_name(row.name): row.name for row in refused_identities(bucket, since, until)}


def _by_name(replayed: Replayed, bucket: str, since: datetime, until: datetime) -> Iterable[Refused]:
    """Those who would have been refused; whoever was never refused before has a hash for a name."""
    known = names_by_hash(bucket, since, until) if replayed.refused else {}
    for identity, refused in replayed.refused_by.items():
        yield Refused(known.get(identity, f"~{identity}"), replayed.requests_by[identity], refused)


def _whatif(
    quotas: tuple[Quota, ...],
    since: datetime,
    until: datetime,
    share: float,
    replayed: Replayed,
    worst: Sequence[Share],
) -> WhatIf:
    requests, identities, refused, touched = (
        round(number / share) for number in (replayed.requests, replayed.identities, replayed.refused, replayed.touched)
    )
    return WhatIf(quotas, since, until, requests, identities, refused, touched, share, worst)
