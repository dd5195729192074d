"""Whether a bucket can be enforced, in a sentence."""

from datetime import datetime
from typing import NamedTuple

from ratelimit_core import Config


class Readiness(NamedTuple):
    """`sentence` says what was seen and why the bucket is ready or not."""

    ready: bool
    sentence: str


def readiness(bucket: str, config: Config, until: datetime | None = None) -> Readiness:
    """What the bucket's quotas in `config` would do to the arrivals of the last 48 h; raises ConfigurationError."""
    raise NotImplementedError
