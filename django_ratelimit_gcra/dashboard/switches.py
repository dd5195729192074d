"""The switches: one bucket's policy, the kill switch, and what was switched, to be undone.

What may be switched, and by whom, is decided in `switching`; a change is applied once its effect was shown.
"""

from dataclasses import replace
from typing import NamedTuple

from django.contrib import messages
from django.db import Error
from django.forms import Form
from django.http import HttpResponseNotAllowed, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.utils import timezone

from django_ratelimit_gcra import conf, overrides, runtime, shadow, switching
from django_ratelimit_gcra.dashboard.desk import Desk, Right
from django_ratelimit_gcra.dashboard.effect import Effect, killed, predicted, refuses
from django_ratelimit_gcra.dashboard.forms import KillForm, ReasonForm, SwitchForm
from django_ratelimit_gcra.dashboard.whatif import LATELY
from django_ratelimit_gcra.layers import aware, described, read_override
from django_ratelimit_gcra.models import PolicyOverride
from django_ratelimit_gcra.weakening import protects, weakens
from ratelimit_core import ConfigurationError
from ratelimit_core.config import Policy

_SHOWN = 200


class Entry(NamedTuple):
    """A row of the history."""

    row: PolicyOverride
    words: str
    state: str
    undo_url: str | None


def switch(desk: Desk, name: str) -> HttpResponseBase:
    """Show what a change of a bucket would do, then make it."""
    desk.demand(Right.SWITCH)
    policy, request = _beneath(desk, name), desk.request
    applied = request.method == "POST" and request.POST.get("act") == "apply"
    form = SwitchForm(policy, request.POST or request.GET or None)
    context: dict[str, object] = {"form": form, "policy": policy, "bucket_url": desk.url("bucket", name)}
    if form.is_bound and form.is_valid():
        if applied and request.POST.get("shown") == form.words() and _made(desk, name, form):
            return HttpResponseRedirect(desk.url("bucket", name))
        context |= _effect(desk, policy, form)
    return desk.page("switch.html", f"Switch {name}", context)


def _made(desk: Desk, name: str, form: SwitchForm) -> bool:
    """Whether it was done; else the form says why not."""
    reason, change = form.cleaned_data["reason"], form.change()
    if not reason:
        form.add_error("reason", "Say why.")
        return False
    try:
        row = switching.switch(name, change, reason, desk.who, desk.user, form.expires())
    except (ConfigurationError, Error) as error:
        form.add_error(None, _said(error))
        return False
    messages.success(desk.request, f"Switched: {described(name, change, aware(row.expires))}.")
    return True


def _effect(desk: Desk, policy: Policy, form: SwitchForm) -> dict[str, object]:
    """What to show of a change before it is made."""
    change = form.change()
    try:
        config = switching.preview(policy.bucket.name, change)
    except ConfigurationError as error:
        form.add_error(None, str(error))
        return {}
    after = replace(config, enabled=True).policies[policy.bucket.name]
    return {
        "effect": _predicted(policy, after),
        "shown": form.words(),
        "forbidden": weakens(policy, change) and not desk.may(Right.WEAKEN),
    }


def _predicted(before: Policy, after: Policy) -> Effect:
    """A switch must not wait for records that can't be read."""
    until = timezone.now()
    try:
        return predicted(before, after, until - LATELY, until)
    except Error as error:
        return Effect((f"What was recorded can't be read, so its effect is not known ({error}).",), "", None)


def _beneath(desk: Desk, name: str) -> Policy:
    """The policy that stands whatever the kill switch says."""
    desk.policy(name)
    return replace(desk.config, enabled=True).policies[name]


def kill(desk: Desk) -> HttpResponseBase:
    """The kill switch."""
    posted = desk.request.POST if desk.request.method == "POST" else None
    kills = desk.config.enabled if posted is None else posted.get("act") == "kill"
    form = KillForm(posted) if kills else ReasonForm(posted)
    if form.is_bound:
        desk.demand(Right.SWITCH)
        if form.is_valid() and _killed(desk, form):
            return HttpResponseRedirect(desk.url("kill"))
    refusing = [policy.bucket for policy in replace(desk.config, enabled=True).policies.values() if refuses(policy)]
    shielded = [bucket.name for bucket in refusing if protects(bucket)]
    context = {
        "form": form,
        "held": switching.kill_switch_held(),
        "effect": killed([bucket.name for bucket in refusing], shielded, _blocked(desk)) if desk.config.enabled else (),
        "forbidden": bool(shielded) and desk.config.enabled and desk.may(Right.SWITCH) and not desk.may(Right.WEAKEN),
        "layers": [layer for layer in runtime.layers() if not layer.bucket],
    }
    return desk.page("kill.html", "Kill switch", context)


def _killed(desk: Desk, form: ReasonForm) -> bool:
    on = isinstance(form, KillForm)
    expires = form.expires() if isinstance(form, KillForm) else None
    try:
        switching.kill(on, form.cleaned_data["reason"], desk.who, desk.user, expires)
    except (ConfigurationError, Error) as error:
        form.add_error(None, _said(error))
        return False
    messages.success(desk.request, "The kill switch is on: nothing is limited." if on else "The kill switch is off.")
    return True


def _blocked(desk: Desk) -> int | None:
    """How many requests were refused in the last 24 hours; None where that can't be read."""
    until = timezone.now()
    try:
        reports = [shadow.report(name, until - LATELY, until, 1, 0) for name in desk.config.policies]
    except Error:
        return None
    return sum(report.blocked for report in reports)


def history(desk: Desk) -> HttpResponseBase:
    """Everything that was switched, the newest first."""
    return desk.page("history.html", "History", {"history": entries(desk, switching.history(_SHOWN)), "most": _SHOWN})


def of_bucket(name: str, most: int = 10) -> list[PolicyOverride]:
    """The newest rows of one bucket, from the database in which they are written."""
    return list(PolicyOverride.objects.using(overrides.alias()).filter(bucket=name).order_by("-pk")[:most])


def entries(desk: Desk, rows: list[PolicyOverride]) -> list[Entry]:
    """Rows with their words, and the way to undo those in force."""
    may = desk.may(Right.SWITCH)
    return [
        Entry(row, _words(row), row.standing, desk.url("undo", row.pk) if may and row.standing == "in force" else None)
        for row in rows
    ]


def undo(desk: Desk, pk: int) -> HttpResponseBase:
    """End one change, by one click."""
    desk.demand(Right.SWITCH)
    if desk.request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    form = ReasonForm({"reason": desk.request.POST.get("reason", "").strip() or "undone from the history"})
    said = _errors(form)
    if not said:
        try:
            row = switching.undo(pk, form.cleaned_data["reason"], desk.who, desk.user)
            messages.success(desk.request, f"Undone: {_words(row)}.")
        except (ConfigurationError, Error) as error:
            said = _said(error)
    if said:
        messages.error(desk.request, said)
    return HttpResponseRedirect(desk.url("history"))


def _words(row: PolicyOverride) -> str:
    try:
        return described(row.bucket, read_override(row.mode, row.canary_percent, row.quotas), aware(row.expires))
    except ConfigurationError as error:
        return f"{row.bucket}: can't be read ({error})"


def _errors(form: Form) -> str:
    return " ".join(str(message) for found in form.errors.values() for message in found)


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, ConfigurationError) else f"Nothing was changed: the database says {error}."


def notices() -> list[str]:
    """What a reader should know of this process: switches that it can't read, and what is not recorded."""
    state = overrides.state()
    found = [f"Override {pk} can't be used, and what was in force stays: {why}" for pk, why in state.broken.items()]
    if state.failure is not None:
        found.append(f"The switches can't be read; the last good policy stays in force ({state.failure}).")
    if not conf.RECORD.value():
        found.append(f"Nothing is recorded: {conf.RECORD.name} is false.")
    return found
