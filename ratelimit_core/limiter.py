"""One limiter behind every door: it keeps the configuration, the store and the sinks, and drives the flows."""

import copy
import os
from collections.abc import Callable, Iterable
from typing import NamedTuple, Self, Unpack

from ratelimit_core import denial, events, flow, headers
from ratelimit_core.answers import Result
from ratelimit_core.asking import Buckets, Options, Who, ask, names
from ratelimit_core.commands import Flow, Outcome, Peek, numbers
from ratelimit_core.config import Config
from ratelimit_core.decision import Admission, Decision, RateLimited, Settled
from ratelimit_core.denial import Denial
from ratelimit_core.drive import Store, arun, finish, run
from ratelimit_core.errors import RateLimitError
from ratelimit_core.identity import Identity
from ratelimit_core.renewal import Renewer
from ratelimit_core.shielding import Wish
from ratelimit_core.stances import Ask
from ratelimit_core.stores import MemoryStore, store_from_url
from ratelimit_core.telling import Teller

__all__ = ["Buckets", "Guard", "Limiter", "Options", "Overlay", "Who"]

_Rule = Callable[[Config, Ask], Flow[Admission]]

_DONE = Result()
_RAISED = Result(raised=True)


class Overlay(NamedTuple):
    """What test mode lays over every limiter of the process: a store, and a change of the configuration."""

    store: Store
    configure: Callable[[Config], Config]


overlay: Overlay | None = None


class Limiter:
    """Admits requests to buckets.

    `config` is one frozen snapshot; `store` keeps the budgets; `sinks` are called with an event for each decision,
    each shield that ended and each call of the store, and can't disturb them. Safe for threads and event loops alike.
    """

    def __init__(self, config: Config, store: Store | None = None, sinks: Iterable[events.Sink] = ()) -> None:
        self._config = config
        self._store = store_from_url(config.store_url) if store is None else store
        self._local = MemoryStore()
        self._teller = Teller(tuple(sinks))
        self._timed = self._teller.timed(self._store)
        self._overlaid: tuple[Overlay, Config] | None = None
        self._renewer = Renewer(self._teller.lost)

    @classmethod
    def from_env(cls, sinks: Iterable[events.Sink] = ()) -> "Limiter":
        """A limiter configured by the RATE_LIMIT_* environment variables; raises ConfigurationError."""
        return cls(Config.from_env(os.environ), sinks=sinks)

    def using(self, config: Config) -> "Limiter":
        """A limiter of another configuration that shares everything else: store, sinks and what is being held.

        Namespace and store must be those of this one. Who met this limiter goes on with its configuration.
        """
        other = copy.copy(self)
        other._config = config  # noqa: SLF001  # our own
        other._overlaid = None  # noqa: SLF001
        return other

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
        admitting = self._asking(flow.admit, who, bucket, cost, options)
        return self._admitted(run(admitting, self._asked, self._local), cost)

    async def aadmit(self, who: Who, bucket: Buckets, cost: int = 1, **options: Unpack[Options]) -> Admission:
        """`admit` for an event loop."""
        admitting = self._asking(flow.admit, who, bucket, cost, options)
        return self._admitted(await arun(admitting, self._asked, self._local), cost)

    def settle(self, admission: Admission, result: Result = _DONE, prior: Admission | None = None) -> bool:
        """End an admission after its handler: give back its lease and end its claim as the result says.

        What `prior` holds already is left to whoever admitted that. Returns whether lease and claim were held to the
        end; a plain bucket holds nothing and asks no store. Never raises for a store's failure: what the store does
        not hear of ends by its own deadline.
        """
        if not admission.held:
            return True
        self._release(admission, prior)
        return self._ended(run(flow.settle(admission, result, prior), self._asked, self._local), admission)

    async def asettle(self, admission: Admission, result: Result = _DONE, prior: Admission | None = None) -> bool:
        """`settle` for an event loop; done when it returns, also for a task that is cancelled meanwhile."""
        if not admission.held:
            return True
        self._release(admission, prior)

        async def settling() -> bool:  # told of as well, for a task that is cancelled again and again
            return self._ended(await arun(flow.settle(admission, result, prior), self._asked, self._local), admission)

        return await finish(settling())

    def still_held(self, admission: Admission) -> bool:
        """Whether everything that an admission holds is still its own, as far as this process can know.

        What is only observed keeps nobody from working; in test mode nothing is lost.
        """
        binding = [held.shield for held in admission.held if held.shield.at is None]
        return overlay is not None or all(map(self._renewer.still_held, binding))

    def resolve(
        self,
        bucket: str,
        identity: Identity,
        *,
        ending: Outcome,
        result: Result = _DONE,
        idempotency_key: str | None = None,
        fingerprint: str | None = None,
        owner: Identity | None = None,
    ) -> int:
        """End a claim whose outcome is unknown, by an operator's word.

        `identity` is who was charged, `owner` whose request it was if that is somebody else. `ending` is COMPLETED
        (with the answer to replay in `result`), DECLINED or RELEASED. Returns 1 when done, 0 for no such record, 2 for
        one that is being worked on, 3 for a completed one. Raises StoreError.
        """
        wish = Wish("", idempotency_key, fingerprint, owner=owner)
        resolving = flow.resolve(self.config, bucket, identity, wish, ending, result)
        return run(resolving, self._asked, self._local)

    def guard(self, who: Who, bucket: Buckets, cost: int = 1, **options: Unpack[Options]) -> "Guard":
        """Admit in a `with` or `async with` block and settle at its end; raises RateLimited instead of entering."""
        return Guard(self, who, bucket, cost, options)

    def peek(self, who: Who, bucket: Buckets, cost: int = 1, **options: Unpack[Options]) -> Decision:
        """What `admit` would decide now; charges nothing, writes nothing, tells no sink of a decision."""
        return run(self._asking(flow.peek, who, bucket, cost, options), self._asked, self._local).decision

    async def apeek(self, who: Who, bucket: Buckets, cost: int = 1, **options: Unpack[Options]) -> Decision:
        """`peek` for an event loop."""
        return (await arun(self._asking(flow.peek, who, bucket, cost, options), self._asked, self._local)).decision

    def reset(self, identity: Identity, bucket: Buckets | None = None, scope: str | None = None) -> int:
        """Forget what an identity has spent, in one bucket or all; returns how many quotas had something.

        Raises StoreError when the store can't be reached: nothing was forgotten then.
        """
        chosen = tuple(self.config.policies) if bucket is None else names(bucket)
        return run(flow.reset(self.config, identity, chosen, scope), self._asked, self._local)

    def headers(self, admission: Admission) -> headers.Pairs:
        """The response headers of an admission, as (name, value) pairs."""
        return headers.pairs(admission)

    def denial(self, admission: Admission) -> Denial:
        """The response to an admission that is not allowed."""
        return denial.deny(admission)

    def ping(self) -> int:
        """The store's time in epoch microseconds, for operators; raises StoreError when it can't be reached."""
        return numbers(self._asked.execute(Peek(())))[0]

    def describe(self) -> dict[str, object]:
        """Store, breaker and counts, for operators."""
        return {"store": self.store.describe(), "local": self._local.describe(), "counts": self._teller.counts()}

    def close(self) -> None:
        """Close the store's connections."""
        self._store.close()

    async def aclose(self) -> None:
        """Close the store's connections, those of the running loop included."""
        await self._store.aclose()

    @property
    def _asked(self) -> Store:
        """The store in use, timed if there are sinks."""
        return self._timed if overlay is None else self._teller.timed(overlay.store)

    def _asking(self, rule: _Rule, who: Who, bucket: Buckets, cost: int, options: Options) -> Flow[Admission]:
        """The flow of a question, on one snapshot of the configuration."""
        config = self.config
        return rule(config, ask(config, who, bucket, cost, options))

    def _admitted(self, admission: Admission, cost: int) -> Admission:
        if overlay is None:
            for held in admission.fresh_held:
                self._renewer.watch(held, self._timed)
        self._teller.admitted(admission, cost)
        return admission

    def _release(self, admission: Admission, prior: Admission | None) -> None:
        for held in admission.held:
            if prior is None or held not in prior.held:
                self._renewer.forget(held.shield)

    def _ended(self, settled: tuple[Settled, ...], admission: Admission) -> bool:
        self._teller.ended(settled, admission.route)
        return all(ending.kept for ending in settled)


class Guard:
    """A block that runs only if it is admitted, and is settled at its end: completed, or unknown if it raised."""

    __slots__ = ("_admission", "_bucket", "_cost", "_limiter", "_options", "_who")

    def __init__(self, limiter: Limiter, who: Who, bucket: Buckets, cost: int, options: Options) -> None:
        self._limiter = limiter
        self._who = who
        self._bucket = bucket
        self._cost = cost
        self._options = options
        self._admission: Admission | None = None

    def __enter__(self) -> Self:
        return self._entered(self._limiter.admit(self._who, self._bucket, self._cost, **self._options))

    def __exit__(self, kind: object, *_: object) -> None:
        if self._admission is not None:
            self._limiter.settle(self._admission, _result(kind), self._options.get("prior"))

    async def __aenter__(self) -> Self:
        return self._entered(await self._limiter.aadmit(self._who, self._bucket, self._cost, **self._options))

    async def __aexit__(self, kind: object, *_: object) -> None:
        if self._admission is not None:
            await self._limiter.asettle(self._admission, _result(kind), self._options.get("prior"))

    @property
    def admission(self) -> Admission:
        """The admission, once it was asked for."""
        if self._admission is None:
            raise RateLimitError("a guard has no admission before its block is entered")
        return self._admission

    @property
    def decision(self) -> Decision:
        """The decision, once it was asked for."""
        return self.admission.decision

    @property
    def replayed(self) -> bool:
        """Whether the block was run before under the same key, and so was not entered."""
        return self.admission.replayed

    @property
    def fence(self) -> int:
        """The fencing number of the lease: hand it to the resource, which refuses lower ones. 0 without a lease."""
        return max((held.fence for held in self.admission.held), default=0)

    def still_held(self) -> bool:
        """Whether lease and claim are still this block's own, as far as this process can know."""
        return self._limiter.still_held(self.admission)

    def _entered(self, admission: Admission) -> Self:
        self._admission = admission
        if not admission.allowed:
            raise RateLimited(admission)
        return self


def _result(raised: object) -> Result:
    """A block that raised may have done its work all the same."""
    return _DONE if raised is None else _RAISED
