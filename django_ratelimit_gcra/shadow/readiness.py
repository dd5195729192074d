"""Whether a bucket can be enforced, in a sentence."""

from datetime import datetime, timedelta
from typing import NamedTuple

from django.db.models import Min, Sum
from django.utils import timezone

from django_ratelimit_gcra.models import DecisionMinute
from django_ratelimit_gcra.shadow.causes import LOOPS_AMONG, counted, loops
from django_ratelimit_gcra.shadow.reading import rows_of
from django_ratelimit_gcra.shadow.samples import Sampled, arrivals
from ratelimit_core import Bucket, Config
from ratelimit_core.buckets import Mode
from ratelimit_core.simulate import replay

OBSERVED = timedelta(hours=48)

_LONG_ENOUGH = timedelta(hours=24)
_WRITTEN = timedelta(minutes=3)  # by then: arrivals are written once a minute
_MOST_TOUCHED = 0.001
_MOST_DEGRADED = 0.01
_WORDS = ("none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


class Readiness(NamedTuple):
    """`sentence` says what was seen and why the bucket is ready or not."""

    ready: bool
    sentence: str


class _Effect(NamedTuple):
    """Identities in the samples: how many there are, would be refused, and of those are loops."""

    share: float
    identities: int
    touched: int
    loops: int

    def __str__(self) -> str:
        identities, touched = round(self.identities / self.share), round(self.touched / self.share)
        said = f"{touched:,} of {counted(identities, 'identity')} would be refused"
        if self.loops:
            said += f", {_word(round(self.loops / self.share))} of them by a loop"
        return said if self.share == 1 else f"{said} (estimated from {100 * self.share:.3g} % of them)"


def readiness(bucket: str, config: Config, until: datetime | None = None) -> Readiness:
    """What the bucket's quotas in `config` would do to the arrivals of the last 48 h; raises ConfigurationError."""
    policy = config.policy(bucket)
    until = timezone.now() if until is None else until
    since = until - OBSERVED
    seen = rows_of(DecisionMinute, bucket, since, until).aggregate(
        first=Min("minute"), requests=Sum("requests"), degraded=Sum("degraded")
    )
    if policy.mode is Mode.OFF:
        return Readiness(ready=False, sentence="Off: nothing is observed.")
    if not seen["requests"]:
        return Readiness(ready=False, sentence="Nothing was recorded in the last 48 h; not ready.")
    observed = until - max(seen["first"], since)
    effect = _effect(arrivals(bucket, since, until), policy.bucket)
    if effect is None:
        yet = " yet" if observed < _WRITTEN else ""
        sentence = f"{_time(observed)} observed, but without arrival samples{yet}; not ready."
        return Readiness(ready=False, sentence=sentence)
    objection = _objection(observed, effect, seen["degraded"] / seen["requests"])
    outcome = _outcome(policy.mode, objection)
    return Readiness(objection is None, f"{_time(observed)} observed, {effect}; {outcome}.")


def _outcome(mode: Mode, objection: str | None) -> str:
    if mode is Mode.ENFORCE:
        return f"enforced already; {objection}" if objection else "enforced already"
    return f"not ready: {objection}" if objection else "ready to enforce"


def _effect(sampled: Sampled, bucket: Bucket) -> _Effect | None:
    if not sampled.arrivals:
        return None
    replayed = replay(sampled.arrivals, bucket.quotas)
    looping = loops(sampled.arrivals, bucket.quotas) & set(replayed.refused_by)
    return _Effect(sampled.share, replayed.identities, replayed.touched, len(looping))


def _objection(observed: timedelta, effect: _Effect, degraded: float) -> str | None:
    """Why not to enforce; None where nothing speaks against it."""
    others = effect.touched - effect.loops
    if others and others >= _MOST_TOUCHED * effect.identities:
        if effect.identities < LOOPS_AMONG:
            return "among so few a loop can't be told from a limit that is too low"
        return "the limit is too low for too many"
    if degraded > _MOST_DEGRADED:
        return f"{100 * degraded:.0f} % was decided without the store"
    if observed < _LONG_ENOUGH:
        return "observe for 24 h at least"
    return None


def _time(observed: timedelta) -> str:
    hours = observed // timedelta(hours=1)
    return f"{hours} h" if hours else f"{max(1, observed // timedelta(minutes=1))} min"


def _word(number: int) -> str:
    return _WORDS[number] if number < len(_WORDS) else f"{number:,}"
