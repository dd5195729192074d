"""The forms of the switches: what a bucket should do, for how long, and why."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from django import forms

from django_ratelimit_gcra.dashboard.quotas import QuotasForm
from django_ratelimit_gcra.layers import described
from django_ratelimit_gcra.switching import LONGEST_REASON
from ratelimit_core import Bucket
from ratelimit_core.buckets import Mode
from ratelimit_core.config import Override, Policy

_MODES = (
    (Mode.OFF, "off: neither limit nor record"),
    (Mode.SHADOW, "shadow: record whom it would refuse, refuse nobody"),
    (Mode.CANARY, "canary: enforce for a share of identities, shadow for the rest"),
    (Mode.ENFORCE, "enforce"),
)
_LASTING = {
    "15m": ("for 15 minutes, then back", timedelta(minutes=15)),
    "1h": ("for 1 hour, then back", timedelta(hours=1)),
    "4h": ("for 4 hours, then back", timedelta(hours=4)),
    "24h": ("for 24 hours, then back", timedelta(hours=24)),
    "7d": ("for 7 days, then back", timedelta(days=7)),
}


def reason_field() -> forms.CharField:
    """Why: asked for where something is changed."""
    return forms.CharField(
        max_length=LONGEST_REASON,
        help_text="Stands in the history and in the admin's log.",
        widget=forms.TextInput(attrs={"class": "rl-reason", "autocomplete": "off"}),
    )


class ReasonForm(forms.Form):
    """Why."""

    reason = reason_field()


class LastingForm(forms.Form):
    """How long."""

    lasts = forms.ChoiceField(
        required=False, choices=[("", "for good"), *((name, words) for name, (words, _) in _LASTING.items())]
    )

    def expires(self) -> datetime | None:
        """The moment at which it ends, counted from now."""
        chosen = _LASTING.get(self.cleaned_data["lasts"])
        return None if chosen is None else datetime.now(UTC) + chosen[1]


class KillForm(LastingForm, ReasonForm):
    """For how long nothing is limited, and why."""

    field_order = ("lasts", "reason")


class WhatIfForm(QuotasForm):
    """Rates and bursts to try, and on how much of what was recorded."""

    hours = forms.TypedChoiceField(
        coerce=int, label="On the last", choices=[(1, "hour"), (6, "6 hours"), (24, "24 hours"), (48, "48 hours")]
    )

    def __init__(self, bucket: Bucket, data: Mapping[str, Any]) -> None:
        super().__init__(bucket, {"hours": 24, **{name: data[name] for name in data}})
        self.order_fields([name for name in self.fields if name != "hours"])

    def length(self) -> timedelta:
        """How far back to look."""
        return timedelta(hours=self.cleaned_data["hours"])


class SwitchForm(LastingForm, QuotasForm):
    """Mode, share, rates and bursts, filled with what is in force."""

    mode = forms.ChoiceField(choices=_MODES)
    canary_percent = forms.FloatField(
        required=False, min_value=0, max_value=100, label="Share in percent", help_text="with canary only"
    )

    def __init__(self, policy: Policy, data: Mapping[str, Any] | None) -> None:
        bucket = policy.bucket
        present = {"mode": policy.mode, "canary_percent": f"{bucket.canary_percent:g}" if bucket.canary_percent else ""}
        given = None if data is None else {**present, **{name: data[name] for name in data}}
        super().__init__(bucket, given, initial={**present, **QuotasForm.written(bucket.quotas)})
        self._policy = policy
        self.fields["reason"] = reason_field()
        self.fields["reason"].required = False  # the effect is shown without one
        quotas = [name for name in self.fields if name.startswith(("rate_", "burst_"))]
        self.order_fields(["mode", "canary_percent", *quotas, "lasts", "reason"])

    def clean(self) -> dict[str, Any]:
        """Something must change, and a canary needs its share."""
        data = super().clean()
        if not self.errors:
            if data["mode"] == Mode.CANARY and data["canary_percent"] is None:
                self.add_error("canary_percent", "Say for which share of identities it is enforced.")
            elif self.change() == Override():
                self.add_error(None, "Nothing would change: this is what is in force.")
        return data

    def change(self) -> Override:
        """What differs from what is in force; the rest is left to the settings and to older switches."""
        data, policy = self.cleaned_data, self._policy
        mode, quotas = Mode(data["mode"]), self.quotas()
        share = data["canary_percent"] if mode is Mode.CANARY else None
        moved = mode is not policy.mode or (share is not None and share != policy.bucket.canary_percent)
        written = QuotasForm.written(quotas) != QuotasForm.written(policy.bucket.quotas)
        return Override(mode if moved else None, share if moved else None, quotas if written else None)

    def words(self) -> str:
        """The change and how long it lasts: what its effect was shown for."""
        lasts = self.cleaned_data["lasts"]
        return f"{described(self._policy.bucket.name, self.change())}{f', {lasts}' if lasts else ''}"
