"""A bucket's quotas as fields of a form: a rate and a burst for each."""

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms

from ratelimit_core import Bucket, ConfigurationError, Quota


class QuotasForm(forms.Form):
    """Rates and bursts, filled with the bucket's own where nothing is given."""

    def __init__(self, bucket: Bucket, data: Mapping[str, Any] | None = None, **options: Any) -> None:
        written = self.written(bucket.quotas)
        given = None if data is None else {**written, **{name: data[name] for name in data}}
        super().__init__(given, **{"initial": written, **options})
        self._number = len(bucket.quotas)
        for index in range(self._number):
            which = f" {index + 1}" if self._number > 1 else ""
            self.fields[f"rate_{index}"] = forms.CharField(
                label=f"Rate{which}", max_length=30, help_text="such as 60/m, 5/30s or 1000/h"
            )
            self.fields[f"burst_{index}"] = forms.IntegerField(
                label=f"Burst{which}", min_value=1, max_value=10**9, help_text="the most that passes at once"
            )

    @staticmethod
    def written(quotas: Sequence[Quota]) -> dict[str, str]:
        """Quotas as this form's fields."""
        fields = {}
        for index, quota in enumerate(quotas):
            fields[f"rate_{index}"], _, fields[f"burst_{index}"] = str(quota).rpartition(":")
        return fields

    def clean(self) -> dict[str, Any]:
        """Every pair must be a quota; says of which field what is wrong."""
        data: dict[str, Any] = self.cleaned_data
        for index in range(self._number):
            rate, burst = data.get(f"rate_{index}"), data.get(f"burst_{index}")
            if rate is not None and burst is not None:
                try:
                    data[f"quota_{index}"] = Quota.parse(rate, burst)
                except ConfigurationError as error:
                    self.add_error(f"rate_{index}", str(error))
        return data

    def quotas(self) -> tuple[Quota, ...]:
        """What the form says, once it is valid."""
        return tuple(self.cleaned_data[f"quota_{index}"] for index in range(self._number))
