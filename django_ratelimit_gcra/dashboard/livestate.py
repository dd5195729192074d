"""Live state: what the store holds of somebody at this moment, and resetting each of it."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django import forms
from django.contrib import messages
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.http import HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.utils import timezone

from django_ratelimit_gcra import live
from django_ratelimit_gcra.dashboard.desk import Desk, Right
from django_ratelimit_gcra.dashboard.figures import seconds
from django_ratelimit_gcra.dashboard.legible import brief
from django_ratelimit_gcra.users import named_address, named_user
from ratelimit_core import Config, ConfigurationError, Identity, StoreError

_KINDS = (("user", "user (primary key)"), ("ip", "address"), ("key", "key"))


class Row(NamedTuple):
    """One thing that can be reset: where it is, how it stands, how long yet."""

    key: str
    what: str
    where: str
    state: str
    until: str


class LookUpForm(forms.Form):
    """Whom to look up."""

    kind = forms.ChoiceField(choices=_KINDS)
    value = forms.CharField(max_length=500, strip=False, label="Who")

    def __init__(self, data: Any, config: Config) -> None:
        super().__init__(data)
        self._config = config

    def clean(self) -> dict[str, Any]:
        """Spelled as a request would be charged."""
        data: dict[str, Any] = self.cleaned_data
        if "value" in data and "kind" in data:
            data["identity"] = _identity(data["kind"], data["value"], self._config)
        return data


def page(desk: Desk) -> HttpResponseBase:
    """Look somebody up; reset what is asked for."""
    desk.demand(Right.IDENTITIES)
    form = LookUpForm(_given(desk) or None, desk.config)
    context: dict[str, object] = {"form": form}
    if form.is_valid():
        identity: Identity = form.cleaned_data["identity"]
        if desk.request.method == "POST":
            _reset(desk, identity)
            return HttpResponseRedirect(desk.url("live", kind=identity.kind, value=identity.value))
        context |= _looked_up(identity)
    return desk.page("live.html", "Live state", context)


def _given(desk: Desk) -> dict[str, str]:
    """Kind and value, or both in one as reports spell them: `user:42`."""
    query = desk.request.GET
    if "identity" in query:
        kind, _, value = query["identity"].partition(":")
        return {"kind": kind, "value": value}
    return {name: query[name] for name in ("kind", "value") if name in query}


def _looked_up(identity: Identity) -> dict[str, object]:
    try:
        found = live.live(identity)
    except StoreError as error:
        return {"failed": f"The store can't be asked ({error})."}
    return {
        "identity": str(identity),
        "rows": list(_rows(found)),
        "spent": any(row.key for row in _rows(found)),
        "complete": found.complete,
        "at": _moment(found.now_us),
    }


def _rows(found: live.Live) -> Iterator[Row]:
    for budget in found.budgets:
        where = budget.bucket if budget.scope is None else f"{budget.bucket}, scope {budget.scope}"
        until = "" if budget.tat_us is None else f"full again at {_when(budget.tat_us, found.now_us)}"
        left = f"{budget.remaining:,} of {budget.burst:,} left"
        yield Row(
            budget.key if budget.tat_us is not None else "",
            "quota of replays" if budget.label == "replays" else f"quota {budget.label}",
            where,
            left,
            until,
        )
    for lease in found.leases:
        held = "held" if len(lease.holders) == 1 else f"held {len(lease.holders)} times"
        last_us = max(holder.deadline_us for holder in lease.holders)
        yield Row(lease.key, _kind("lease", lease.shadow), lease.route, held, f"until {_when(last_us, found.now_us)}")
    for claim in found.claims:
        state = f"{claim.state}, tried since {timezone.localtime(_moment(claim.since_us)):%d %b %H:%M:%S}"
        until = f"until {_when(claim.until_us, found.now_us)}"
        yield Row(claim.key, _kind("claim", claim.shadow), f"record {claim.name[:16]}", state, until)


def _kind(what: str, shadow: bool) -> str:
    return f"{what}, observed only" if shadow else what


def _when(at_us: int, now_us: int) -> str:
    away = seconds((at_us - now_us) / 1_000_000)
    return f"{timezone.localtime(_moment(at_us)):%d %b %H:%M:%S} (in {away})"


def _moment(at_us: int) -> datetime:
    return datetime.fromtimestamp(at_us / 1_000_000, UTC)


def _reset(desk: Desk, identity: Identity) -> None:
    """Reset one thing, and say what became of it."""
    desk.demand(Right.RESET)
    posted = desk.request.POST
    try:
        said = live.reset(identity, posted.get("key", ""), posted.get("reason", ""), desk.who, desk.user)
        messages.success(desk.request, f"Reset of {brief(identity)}: {said}.")
    except ConfigurationError:
        messages.error(desk.request, "Nothing was reset: say why, in at most 500 characters.")
    except (StoreError, ValueError) as error:
        messages.error(desk.request, f"Nothing was reset: {brief(error)}.")


def _identity(kind: str, value: str, config: Config) -> Identity:
    """As the middleware would spell it; raises ValidationError."""
    if kind == "key":
        return Identity.key(value)
    if kind == "ip":
        found, said = named_address(value.strip(), config), "address: give one such as 203.0.113.9 or 2001:db8::1"
    else:
        label = get_user_model()._meta.label  # noqa: SLF001 - a documented interface of Django
        found, said = named_user(value.strip()), f"primary key of {label}"
    if found is None:
        raise ValidationError(f"This is no {said}.")
    return found
