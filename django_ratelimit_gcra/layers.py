"""What was changed at run time, as values: one layer a row, and the configuration that they make together."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.utils import timezone

from ratelimit_core import Config, ConfigurationError, Mode, Quota
from ratelimit_core.config import Override


class Layer(NamedTuple):
    """A row that was neither undone nor out of date when it was read; without a bucket it is the kill switch."""

    pk: int
    bucket: str
    override: Override
    reason: str
    by: str
    created: datetime
    expires: datetime | None

    def stands(self, now: datetime) -> bool:
        """Whether its deadline is still to come, if it has one."""
        return self.expires is None or self.expires > now


def read_override(mode: object, canary_percent: object, quotas: object) -> Override:
    """What a row says, or a form; raises ConfigurationError for what is no override whatever the bucket."""
    try:
        chosen = None if mode is None else Mode(mode)  # type: ignore[arg-type]  # that is what is found out
    except ValueError:
        raise ConfigurationError("mode", mode, "one of " + ", ".join(Mode)) from None
    if quotas is not None and not isinstance(quotas, list | tuple):
        raise ConfigurationError("quotas", quotas, "a list such as ['5/m:1', '50/h:10']")
    read = None if quotas is None else tuple(Quota.parse(one) for one in quotas)
    return Override(chosen, canary_percent, read)  # type: ignore[arg-type]  # the bucket checks it


def read(values: Mapping[str, Any], base: Config) -> Layer:
    """A row's columns as a layer that fits the configuration; raises ConfigurationError."""
    bucket = values["bucket"]
    try:
        override = read_override(values["mode"], values["canary_percent"], values["quotas"])
    except ConfigurationError as error:
        raise error.within(f"bucket {bucket!r}") from None
    if bucket:
        base.overridden({bucket: override})
    elif override != Override(Mode.OFF):
        raise ConfigurationError("kill switch", values["mode"], "'off', and nothing else")
    said = values["reason"], values["by"]
    return Layer(values["pk"], bucket, override, *said, aware(values["created"]), aware(values["expires"]))


def overrides(layers: Iterable[Layer]) -> dict[str, Override]:
    """What the layers, newest first, say of each bucket: of mode and quotas the newest word each."""
    found: dict[str, Override] = {}
    for layer in layers:
        if layer.bucket:
            known = found.get(layer.bucket, Override())
            found[layer.bucket] = _under(known, layer.override)
    return found


def laid_over(base: Config, layers: Iterable[Layer]) -> Config:
    """The configuration with the layers, newest first. One that no longer fits it is left out."""
    fitting = [layer for layer in layers if _fits(base, layer)]
    killed = any(not layer.bucket for layer in fitting)
    return base.overridden(overrides(fitting), enabled=False if killed else None)


def described(bucket: str, override: Override, expires: datetime | None = None) -> str:
    """A change in words: `read: canary 10 %, 90/m:15, until 2026-01-02 03:04:05 UTC`."""
    said = [] if override.mode is None else [override.mode.value]
    if override.canary_percent is not None:
        said = [*said[:-1], f"{' '.join([*said, f'{override.canary_percent:g}'])} %"]
    said += map(str, override.quotas or ())
    said += [] if expires is None else [f"until {expires.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"]
    return f"{bucket or 'kill switch'}: {', '.join(said)}"


def aware(moment: Any) -> Any:
    """A moment of the database's, or None: with USE_TZ off they are naive."""
    return timezone.make_aware(moment) if moment is not None and timezone.is_naive(moment) else moment


def _under(newer: Override, older: Override) -> Override:
    """A share belongs to its mode: a newer mode does not take over an older share."""
    mode, share = (newer.mode, newer.canary_percent) if newer.mode else (older.mode, older.canary_percent)
    return Override(mode, share, older.quotas if newer.quotas is None else newer.quotas)


def _fits(base: Config, layer: Layer) -> bool:
    try:
        base.overridden({layer.bucket: layer.override} if layer.bucket else {})
    except ConfigurationError:
        return False
    return True
