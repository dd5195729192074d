"""Telling the sinks and the operator: events for the ones, counts and a first warning for the other."""

import logging
from collections import Counter

from ratelimit_core import events
from ratelimit_core.commands import Outcome
from ratelimit_core.decision import Admission, Held, Settled
from ratelimit_core.drive import Store
from ratelimit_core.identity import AddressNote
from ratelimit_core.timing import TimedStore

_log = logging.getLogger("ratelimit_core")
_REMARKS = {
    AddressNote.NO_PEER: "A request has no client address; all of these share the identity ip:unknown.",
    AddressNote.FORWARDED_IGNORED: (
        "A forwarding header from a private peer was ignored: all anonymous clients share one address. "
        "Name the proxy in RATE_LIMIT_TRUSTED_PROXIES if it is yours."
    ),
}


class Teller:
    """Sends events to sinks that cannot hurt a request, and counts what an operator should know."""

    def __init__(self, sinks: tuple[events.Sink, ...]) -> None:
        self._sinks = sinks
        self._counts: Counter[str] = Counter()

    def counts(self) -> dict[str, int]:
        """What was counted so far, by name."""
        return dict(self._counts)

    def timed(self, store: Store) -> Store:
        """A store whose calls are told of; the store itself where nobody listens, and then nothing is measured."""
        return TimedStore(store, self._send) if self._sinks else store

    def admitted(self, admission: Admission, cost: int) -> None:
        """Tell of an admission's new decisions."""
        if admission.note is not None:
            self._once(admission.note, _REMARKS[admission.note])
        if self._sinks:
            for event in events.events(admission, cost):
                self._send(event)

    def ended(self, settled: tuple[Settled, ...], route: str | None) -> None:
        """Tell of the shields that were settled; an operator must be able to name a record that is in doubt."""
        for held, outcome, _ in settled:
            if outcome is Outcome.UNKNOWN and held.shield.claim is not None:
                _log.warning(
                    "An outcome is unknown: bucket '%s', identity %.200r, route %.200r, %s, fingerprint %s.",
                    held.bucket.name,
                    str(held.identity),
                    route,
                    "under a key of the client's" if held.explicit else "without a key",
                    held.shield.claim.fingerprint,
                )
        for event in events.endings(settled, route):
            self._counts["shields_lost"] += event.lost
            self._send(event)

    def lost(self, held: Held) -> None:
        """A shield could not be kept while its handler ran; settling it will count it."""
        _log.warning("A lease or claim of bucket '%s' was lost while its handler ran.", held.bucket.name)

    def _send(self, event: events.Event) -> None:
        for sink in self._sinks:
            try:
                sink(event)
            except Exception:  # noqa: BLE001  # a sink is a guest: whatever it raises must not reach the request
                self._once("sink_errors", "A sink raised; its errors are counted and not logged again.", exc_info=True)

    def _once(self, name: str, message: str, *, exc_info: bool = False) -> None:
        self._counts[name] += 1
        if self._counts[name] == 1:
            _log.warning(message, exc_info=exc_info)
