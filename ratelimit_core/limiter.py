"""One limiter behind every door: it keeps the configuration, the store and the sinks, and drives the flows."""

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable
from secrets import token_hex
from typing import NamedTuple, TypedDict, Unpack

from ratelimit_core import denial, events, flow, headers
from ratelimit_core.commands import Outcome, Peek, numbers
from ratelimit_core.config import Config
from ratelimit_core.decision import Admission, Decision, RateLimited
from ratelimit_core.denial import Denial
from ratelimit_core.drive import Store, arun, run
from ratelimit_core.errors import IdentityError
from ratelimit_core.identity import AddressNote, Identity, RequestInfo
from ratelimit_core.shielding import Wish
from ratelimit_core.stances import Ask
from ratelimit_core.stores import MemoryStore, store_from_url

_log = logging.getLogger("ratelimit_core")


Who = Identity | RequestInfo
Buckets = str | Iterable[str]


class Options(TypedDict, total=False):
    """What an admission may say besides who, which bucket and what cost.

    `scope` narrows the identity (a conversation, a tenant); `identity` replaces the one that is charged (the account
    name of a login form); `route` is a template for the sinks, never a path; `observe` refuses nothing; `prior` is
    an earlier admission of the same request: what it charged is not charged again.

    For buckets with shields: `idempotency_key` is the raw header or field, `fingerprint` names the request where no
    key does and is compared where one does, `lease_on` names a shared resource for the lease (`booking:17`).
    """

    scope: str | None
    route: str | None
    identity: Identity | None
    observe: bool
    prior: Admission | None
    idempotency_key: str | None
    fingerprint: str | None
    lease_on: str | None


class Overlay(NamedTuple):
    """What test mode lays over every limiter of the process: a store, and a change of the configuration."""

    store: Store
    configure: Callable[[Config], Config]


overlay: Overlay | None = None


class Limiter:
    """Admits requests to buckets.

    `config` is one frozen snapshot; `store` keeps the budgets; `sinks` are called with a `DecisionEvent` for each
    decision and can't disturb it. Safe for threads and event loops alike.
    """

    def __init__(self, config: Config, store: Store | None = None, sinks: Iterable[events.Sink] = ()) -> None:
        self._config = config
        self._store = store_from_url(config.store_url) if store is None else store
        self._local = MemoryStore()
        self._sinks = tuple(sinks)
        self._counts: Counter[str] = Counter()
        self._overlaid: tuple[Overlay, Config] | None = None

    @classmethod
    def from_env(cls, sinks: Iterable[events.Sink] = ()) -> "Limiter":
        """A limiter configured by the RATE_LIMIT_* environment variables; raises ConfigurationError."""
        return cls(Config.from_env(os.environ), sinks=sinks)

    @property
    def config(self) -> Config:
        """The configuration in force."""
        if overlay is None:
            return self._config
        if self._overlaid is None or self._overlaid[0] is not overlay:
            self._overlaid = overlay, overlay.configure(self._config)
        return self._overlaid[1]

    @property
    def store(self) -> Store:
        """The store in use."""
        return self._store if overlay is None else overlay.store

    def admit(self, who: Who, bucket: Buckets, cost: int = 1, **options: Unpack[Options]) -> Admission:
        """Charge `cost` units to one bucket or several, all or nothing, and say whether the handler may run.

        For `options` see `Options`. Raises CostError for a cost that is no whole number of 0 or more, and
        ConfigurationError for an unknown bucket; never raises for a store's failure.
        """
        ask = _ask(who, bucket, cost, options)
        return self._tell(run(flow.admit(self.config, ask), self.store, self._local), cost)

    async def aadmit(self, who: Who, bucket: Buckets, cost: int = 1, **options: Unpack[Options]) -> Admission:
        """`admit` for an event loop."""
        ask = _ask(who, bucket, cost, options)
        return self._tell(await arun(flow.admit(self.config, ask), self.store, self._local), cost)

    def settle(self, admission: Admission, outcome: Outcome = Outcome.COMPLETED, answer: bytes = b"") -> bool:
        """End an admission after its handler: give back its lease and end its claim as `outcome` says.

        Returns whether both were still held; a plain bucket holds nothing and asks no store. Never raises for a
        store's failure: what the store does not hear of ends by its own deadline.
        """
        return run(flow.settle(admission, outcome, answer), self.store, self._local)

    async def asettle(self, admission: Admission, outcome: Outcome = Outcome.COMPLETED, answer: bytes = b"") -> bool:
        """`settle` for an event loop."""
        return await arun(flow.settle(admission, outcome, answer), self.store, self._local)

    def guard(self, who: Who, bucket: Buckets, cost: int = 1, **options: Unpack[Options]) -> "Guard":
        """Admit in a `with` or `async with` block and settle at its end; raises RateLimited instead of entering."""
        return Guard(self, who, bucket, cost, options)

    def peek(self, who: Who, bucket: Buckets, cost: int = 1, **options: Unpack[Options]) -> Decision:
        """What `admit` would decide now; charges nothing, writes nothing, tells no sink."""
        ask = _ask(who, bucket, cost, options)
        return run(flow.peek(self.config, ask), self.store, self._local).decision

    async def apeek(self, who: Who, bucket: Buckets, cost: int = 1, **options: Unpack[Options]) -> Decision:
        """`peek` for an event loop."""
        ask = _ask(who, bucket, cost, options)
        return (await arun(flow.peek(self.config, ask), self.store, self._local)).decision

    def reset(self, identity: Identity, bucket: Buckets | None = None, scope: str | None = None) -> int:
        """Forget what an identity has spent, in one bucket or all; returns how many quotas had something.

        Raises StoreError when the store can't be reached: nothing was forgotten then.
        """
        names = tuple(self.config.policies) if bucket is None else _names(bucket)
        return run(flow.reset(self.config, identity, names, scope), self.store, self._local)

    def headers(self, admission: Admission) -> headers.Pairs:
        """The response headers of an admission, as (name, value) pairs."""
        return headers.pairs(admission)

    def denial(self, admission: Admission) -> Denial:
        """The response to an admission that is not allowed."""
        return denial.deny(admission)

    def ping(self) -> int:
        """The store's time in epoch microseconds, for operators; raises StoreError when it can't be reached."""
        return numbers(self.store.execute(Peek(())))[0]

    def describe(self) -> dict[str, object]:
        """Store, breaker and counts, for operators."""
        return {"store": self.store.describe(), "local": self._local.describe(), "counts": dict(self._counts)}

    def close(self) -> None:
        """Close the store's connections."""
        self._store.close()

    async def aclose(self) -> None:
        """Close the store's connections, those of the running loop included."""
        await self._store.aclose()

    def _tell(self, admission: Admission, cost: int) -> Admission:
        if admission.note is not None:
            self._remark(admission.note)
        if self._sinks:
            for event in events.events(admission, cost):
                for sink in self._sinks:
                    self._send(sink, event)
        return admission

    def _send(self, sink: events.Sink, event: events.DecisionEvent) -> None:
        try:
            sink(event)
        except Exception:  # noqa: BLE001  # a sink is a guest: whatever it raises must not reach the request
            self._once("sink_errors", "A sink raised; its errors are counted and not logged again.", exc_info=True)

    def _remark(self, note: AddressNote) -> None:
        if note is AddressNote.NO_PEER:
            self._once(note, "A request has no client address; all of these share the identity ip:unknown.")
        else:
            self._once(
                note,
                "A forwarding header from a private peer was ignored: all anonymous clients share one address. "
                "Name the proxy in RATE_LIMIT_TRUSTED_PROXIES if it is yours.",
            )

    def _once(self, name: str, message: str, exc_info: bool = False) -> None:
        self._counts[name] += 1
        if self._counts[name] == 1:
            _log.warning(message, exc_info=exc_info)


class Guard:
    """A block that runs only if it is admitted; `with` and `async with` yield the `Admission`."""

    __slots__ = ("_admission", "_bucket", "_cost", "_limiter", "_options", "_who")

    def __init__(self, limiter: Limiter, who: Who, bucket: Buckets, cost: int, options: Options) -> None:
        self._limiter = limiter
        self._who = who
        self._bucket = bucket
        self._cost = cost
        self._options = options
        self._admission: Admission | None = None

    def __enter__(self) -> Admission:
        return self._entered(self._limiter.admit(self._who, self._bucket, self._cost, **self._options))

    def __exit__(self, kind: object, *_: object) -> None:
        if self._admission is not None:
            self._limiter.settle(self._admission, _outcome(kind))

    async def __aenter__(self) -> Admission:
        return self._entered(await self._limiter.aadmit(self._who, self._bucket, self._cost, **self._options))

    async def __aexit__(self, kind: object, *_: object) -> None:
        if self._admission is not None:
            await self._limiter.asettle(self._admission, _outcome(kind))

    def _entered(self, admission: Admission) -> Admission:
        if not admission.allowed:
            raise RateLimited(admission)
        self._admission = admission
        return admission


def _outcome(raised: object) -> Outcome:
    """A block that raised may have done its work all the same."""
    return Outcome.COMPLETED if raised is None else Outcome.UNKNOWN


def _ask(who: Who, bucket: Buckets, cost: int, options: Options) -> Ask:
    if not isinstance(who, Identity | RequestInfo):
        raise IdentityError(f"who = {who!r:.100} can't be charged: give an Identity or a RequestInfo")
    if unknown := options.keys() - Options.__annotations__.keys():
        raise TypeError(f"no such option: {', '.join(sorted(unknown))}")
    for name in ("scope", "route"):
        if not isinstance(options.get(name), str | None):
            raise IdentityError(f"{name} = {options.get(name)!r:.100} can't be used: give text or None")
    wish = Wish(token_hex(16), options.get("idempotency_key"), options.get("fingerprint"), options.get("lease_on"))
    return Ask(
        who,
        _names(bucket),
        cost,
        options.get("scope"),
        options.get("route"),
        options.get("identity"),
        options.get("observe", False),
        options.get("prior"),
        wish,
    )


def _names(bucket: Buckets) -> tuple[str, ...]:
    return (bucket,) if isinstance(bucket, str) else tuple(bucket)
