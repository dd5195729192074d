"""`ratelimit_explain`: what would happen to somebody's next request, and why."""

from argparse import ArgumentParser
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

from django.core.management import BaseCommand, CommandError

from django_ratelimit_gcra import live, overrides, runtime
from django_ratelimit_gcra.management import who
from ratelimit_core import Decision, Identity, Limiter, StoreError, Verdict, keys
from ratelimit_core.buckets import Identify


class Command(BaseCommand):
    """Show identity, keys and live state of a user, an address or a key; writes nothing."""

    help = "Show identity, keys and live state of a user, an address or a key. Charges nothing, writes nothing."
    requires_system_checks = []  # it must work on a site that has other troubles

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options that name somebody."""
        who.add_arguments(parser)

    def handle(self, *args: object, **options: Any) -> None:
        """Print a paragraph a bucket."""
        overrides.refresh()
        limiter = runtime.limiter()
        identity = who.named(options, limiter.config)
        names = who.buckets(options, limiter.config)
        who.note_memory(limiter, self.stderr)
        self.stdout.write(f"identity: {identity}")
        degraded = [self._explain(limiter, identity, name, options["scope"]).degraded for name in names]
        if limiter.config.enabled and not any(degraded):
            self._search(identity)
        if any(degraded):
            raise CommandError("the store can't be reached: the numbers above are this process's own, or unknown")

    def _search(self, identity: Identity) -> None:
        try:
            found = live.live(identity)
        except StoreError as error:
            raise CommandError(f"leases and records can't be searched for ({error})") from error
        for line in _held(found):
            self.stdout.write(line)

    def _explain(self, limiter: Limiter, identity: Identity, name: str, scope: str | None) -> Decision:
        bucket = limiter.config.policy(name).bucket
        present = limiter.peek(who.as_request(identity), name, cost=0, scope=scope)
        following = limiter.peek(who.as_request(identity), name, cost=1, scope=scope)
        self.stdout.write(f"\n{name} ({', '.join(map(str, bucket.quotas))})")
        if bucket.identify is Identify.ADDRESS and identity.kind == "user":
            self.stdout.write("  note: this bucket charges addresses; ask with --ip")
        for line in _lines(present, following):
            self.stdout.write(f"  {line}")
        for key, left in zip_longest(keys.quotas(limiter.config.namespace, bucket, identity, scope), present.states()):
            self.stdout.write(f"  key: {key}{'' if left is None else f' ({left.remaining} of {left.burst} left)'}")
        return following


def _lines(present: Decision, following: Decision) -> Iterator[str]:
    yield f"mode: {following.mode}, {'enforced' if following.enforced else 'not enforced'} for this identity"
    if present.limit is None:
        yield "next request: admitted; the store is not asked"
        return
    yield f"limit: {present.limit}, remaining: {present.remaining}, full again in {_seconds(present.reset_after_us)}"
    yield f"next request: {_outcome(following)}"


def _outcome(decision: Decision) -> str:
    if decision.verdict is Verdict.ALLOWED:
        return "admitted"
    word = "let through, would be refused" if decision.allowed else "refused"
    wait = f", admitted in {_seconds(decision.wait_us)}" if decision.wait_us else ""
    return f"{word}: {decision.verdict}{wait}"


def _held(found: live.Live) -> Iterator[str]:
    """What only a search finds: narrowed budgets, leases, records."""
    for budget in found.budgets:
        if budget.scope is not None:
            yield f"\nscope {budget.scope} of {budget.bucket}: {budget.remaining} of {budget.burst} left"
            yield f"  key: {budget.key}"
    for lease in found.leases:
        last_us = max(holder.deadline_us for holder in lease.holders) - found.now_us
        where = f"lease{' in shadow' if lease.shadow else ''} on {lease.route}"
        yield f"\n{where}: {len(lease.holders)} held, for {_seconds(last_us)} unless renewed"
        yield f"  key: {lease.key}"
    for claim in found.claims:
        ages = f"since {_seconds(found.now_us - claim.since_us)}, for {_seconds(claim.until_us - found.now_us)} more"
        yield f"\nrecord{' in shadow' if claim.shadow else ''} {claim.name}: {claim.state} {ages}"
        yield f"  key: {claim.key}"
    if not found.complete:
        yield "\nThe search was cut short: there may be more scopes, leases and records than these."


def _seconds(us: int | None) -> str:
    return f"{(us or 0) / 1_000_000:g} s"
