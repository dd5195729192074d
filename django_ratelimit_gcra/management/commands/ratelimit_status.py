"""`ratelimit_status`: the configuration in force, where each value comes from, and how the store is."""

import json
import re
from argparse import ArgumentParser
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from django.core.management import BaseCommand, CommandError

from django_ratelimit_gcra import conf, overrides, runtime
from django_ratelimit_gcra.layers import Layer, described
from django_ratelimit_gcra.management import who
from ratelimit_core import Bucket, Config, Limiter, Rule, StoreError
from ratelimit_core.buckets import Mode, default_buckets
from ratelimit_core.config import Policy, Source
from ratelimit_core.identity import AddressNote
from ratelimit_core.parsing import ATTRIBUTES

_COUNTS = {
    AddressNote.FORWARDED_IGNORED: "forwarding headers ignored: all anonymous clients share one address",
    AddressNote.NO_PEER: "requests without a client address",
    "sink_errors": "errors raised by sinks",
}


class Command(BaseCommand):
    """Print the very configuration that enforcement reads; fail when the store can't be reached."""

    help = "Show buckets, settings and their sources, the store and its breaker. Fails when the store can't be reached."
    requires_system_checks = []  # it must work on a site that has other troubles

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add `--json`."""
        parser.add_argument("--json", action="store_true", help="for programs")

    def handle(self, *args: object, **options: Any) -> None:
        """Print; raise CommandError last, when all is said."""
        overrides.refresh()
        limiter = runtime.limiter()
        found = status(limiter)
        who.note_memory(limiter, self.stderr)
        self.stdout.write(json.dumps(found, indent=2) if options["json"] else "\n".join(_text(found)))
        error = found["store"].get("error")
        if error is not None:
            raise CommandError(f"the store can't be reached: {error}")


def status(limiter: Limiter) -> dict[str, Any]:
    """Everything the command knows, in JSON's types."""
    config = limiter.config
    sources = conf.sources()
    described = limiter.describe()
    core = [_setting(config, name, sources.get(name, "default")) for name in ATTRIBUTES]
    own = [_own_setting(own, sources.get(own.name, "default")) for own in conf.OWN_SETTINGS.values()]
    return {
        "settings": [*core, *own],
        "buckets": [_bucket(policy, sources) for policy in config.policies.values()],
        "overrides": _overrides(),
        "rules": [_rule(rule) for rule in config.rules],
        "store": {**_mapping(described["store"]), **_ping(limiter)},
        "local": described["local"],
        "counts": {name: _mapping(described["counts"]).get(name, 0) for name in _COUNTS},
    }


def _overrides() -> dict[str, Any]:
    """What was changed at run time, newest first; what is wrong with other rows, and with reading them."""
    state = overrides.state()
    standing = [_layer(layer) for layer in state.layers]
    return {"in_force": standing, "broken": dict(state.broken), "failure": state.failure}


def _layer(layer: Layer) -> dict[str, Any]:
    expires = None if layer.expires is None else layer.expires.isoformat()
    said = described(layer.bucket, layer.override, layer.expires)
    known = {"id": layer.pk, "bucket": layer.bucket, "change": said, "expires": expires}
    return {**known, "by": layer.by, "reason": layer.reason, "created": layer.created.isoformat()}


def _mapping(value: object) -> Mapping[str, Any]:
    assert isinstance(value, Mapping)  # a Limiter describes itself in mappings
    return value


def _ping(limiter: Limiter) -> dict[str, Any]:
    try:
        return {"now_us": limiter.ping()}
    except StoreError as error:
        return {"error": str(error)}


def _setting(config: Config, name: str, source: str) -> dict[str, Any]:
    value: object = getattr(config, ATTRIBUTES[name])
    if name == "RATE_LIMIT_BUCKETS":
        value = [bucket.name for bucket in config.buckets]
    elif name == "RATE_LIMIT_RULES":
        value = [rule.bucket for rule in config.rules]
    elif name == "RATE_LIMIT_STORE_URL":
        value = _without_secrets(config.store_url)
    return {"name": name, "value": value, "source": source}


def _own_setting(own: conf.Own[object], source: str) -> dict[str, Any]:
    value = own.value()
    return {"name": own.name, "value": "(set)" if own.secret and value is not None else value, "source": source}


def _without_secrets(url: str) -> str:
    """Scheme, host, port and path: a password may stand before the host, or in the query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _bucket(policy: Policy, sources: Mapping[str, str]) -> dict[str, Any]:
    bucket = policy.bucket
    return {
        "name": bucket.name,
        "quotas": [str(quota) for quota in bucket.quotas],
        "quotas_override": _giver(layer.pk for layer in _layers(bucket) if layer.override.quotas),
        "mode": policy.mode,
        "mode_source": _mode_source(policy, sources),
        "canary_percent": bucket.canary_percent,
        "identify": bucket.identify,
        "store_down": bucket.store_down,
        "shields": list(_shields(bucket)),
    }


def _mode_source(policy: Policy, sources: Mapping[str, str]) -> str:
    """Which setting or override gave the mode, and where that was given."""
    if policy.source is Source.OVERRIDE:
        given = _giver(layer.pk for layer in _layers(policy.bucket) if layer.override.mode)
        return f"override {given}"
    killed = _giver(layer.pk for layer in runtime.layers() if not layer.bucket)
    if policy.source is Source.KILL_SWITCH and killed and runtime.base_config().enabled:
        return f"override {killed}"
    if policy.source is Source.BUCKET and policy.bucket in default_buckets():
        return "default"
    own = f"RATE_LIMIT_SHADOW_{policy.bucket.name.upper()}"
    settings = {
        Source.BUCKET: ("RATE_LIMIT_BUCKETS",),
        Source.SHADOW: ("RATE_LIMIT_SHADOW",),
        Source.SHADOW_BUCKET: (own, "RATE_LIMIT_SHADOW_AUTH"),
        Source.KILL_SWITCH: ("RATE_LIMIT_ENABLED",),
    }
    name = next((name for name in settings[policy.source] if name in sources), None)
    return "default" if name is None else f"{name} ({sources[name]})"


def _layers(bucket: Bucket) -> Iterator[Layer]:
    return (layer for layer in runtime.layers() if layer.bucket == bucket.name)


def _giver(pks: Iterator[int]) -> int | None:
    """The newest of the rows that say something about it."""
    return next(pks, None)


def _shields(bucket: Bucket) -> Iterator[str]:
    if bucket.require_user:
        yield "user required"
    if bucket.concurrency is not None:
        yield f"{bucket.concurrency} at once for {bucket.lease_ttl_us / 1_000_000:g} s"
    if bucket.idempotency is not None:
        yield f"idempotency {bucket.idempotency}"


def _rule(rule: Rule) -> dict[str, Any]:
    pattern = rule.pattern.pattern if isinstance(rule.pattern, re.Pattern) and rule.path is None else None
    methods = None if rule.methods is None else sorted(rule.methods)
    place = {"path": rule.path, "pattern": pattern, "url_name": rule.url_name, "namespace": rule.namespace}
    return {"bucket": rule.bucket, **place, "methods": methods}


def _text(found: Mapping[str, Any]) -> Iterator[str]:
    yield "Buckets"
    yield from _table(
        [("", "mode", "from", "quotas", "charges", "store down", "shields"), *map(_row, found["buckets"])]
    )
    yield "\nChanged at run time, the newest first"
    yield from _changes(found["overrides"])
    yield "\nRules, the most exact first"
    yield from ([f"  {_pairs(rule)}" for rule in found["rules"]] or ["  none"])
    yield "\nSettings"
    yield from _table([(one["name"], _shown(one["value"]), one["source"]) for one in found["settings"]])
    yield "\nStore"
    yield f"  {_pairs(found['store'])}"
    yield f"  without it: {_pairs(found['local'])}"
    yield "\nCounts of this process; each process of the server has its own"
    yield from (f"  {count} {_COUNTS[name]}" for name, count in found["counts"].items())


def _changes(changed: Mapping[str, Any]) -> Iterator[str]:
    if changed["failure"] is not None:
        yield f"  can't be read: {changed['failure']}; the processes that serve keep what they read last"
    for pk, why in changed["broken"].items():
        yield f"  {pk}  can't be used: {why}"
    for one in changed["in_force"]:
        yield f"  {one['id']}  {one['change']}  by {one['by']}: {one['reason']}"
    if not any(changed.values()):
        yield "  nothing"


def _row(bucket: Mapping[str, Any]) -> tuple[str, ...]:
    mode = f"{bucket['mode']} {bucket['canary_percent']} %" if bucket["mode"] == Mode.CANARY else bucket["mode"]
    changed = "" if bucket["quotas_override"] is None else f" (override {bucket['quotas_override']})"
    quotas, shields = ", ".join(bucket["quotas"]) + changed, ", ".join(bucket["shields"])
    return bucket["name"], mode, bucket["mode_source"], quotas, bucket["identify"], bucket["store_down"], shields


def _table(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_shown(value)}" for name, value in values.items() if value is not None)


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return _pairs(value) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)
