"""What a quota would have done to traffic that has been: replays, curves over bursts, suggestions.

python -m ratelimit_core.simulate access.log.gz --quota 60/m:10
"""

from ratelimit_core.simulate.replaying import Arrival, Replayed, curve, needed_bursts, replay, smallest_burst
from ratelimit_core.simulate.suggesting import Suggestion, largest_burst, outliers, suggest

__all__ = [
    "Arrival",
    "Replayed",
    "Suggestion",
    "curve",
    "largest_burst",
    "needed_bursts",
    "outliers",
    "replay",
    "smallest_burst",
    "suggest",
]
