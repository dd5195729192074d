"""The admin's form for a request whose outcome the store doesn't know: the word of an operator, and its reason."""

from typing import Any

from django import forms

from django_ratelimit_gcra import runtime
from django_ratelimit_gcra.resolution import CONTENT_TYPE, Word
from ratelimit_core import Identity
from ratelimit_core.idempotency import read_key


def content_type_field() -> forms.RegexField:
    """The type of an answer that an operator writes."""
    return forms.RegexField(f"^(?:{CONTENT_TYPE.pattern})\\Z", max_length=100, initial="application/json")


class DoubtForm(forms.Form):
    """Which request, and what became of it."""

    bucket = forms.ChoiceField(choices=list)
    user = forms.CharField(max_length=255, help_text="The primary key of the user who sent the request.")
    charged = forms.CharField(
        max_length=255,
        required=False,
        help_text="The key that the view's identity= names, if it charges somebody else.",
    )
    key = forms.CharField(max_length=600, required=False, label="Idempotency-Key", help_text="If the client sent one.")
    fingerprint = forms.RegexField("^[0-9a-f]{64}$", required=False, help_text="The request's, if it sent none.")
    completed = forms.ChoiceField(
        choices=[("", "Nothing was done: it may run again"), ("yes", "It was done: give this answer from now on")],
        required=False,
        label="Outcome",
    )
    status = forms.IntegerField(min_value=200, max_value=399, initial=200)
    content_type = content_type_field()
    body = forms.CharField(required=False, widget=forms.Textarea)
    reason = forms.CharField(max_length=500, help_text="What do you know of the request, and from where?")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        buckets = [one.name for one in runtime.limiter().config.buckets if one.idempotency is not None]
        bucket = self.fields["bucket"]
        assert isinstance(bucket, forms.ChoiceField)
        bucket.choices = [(name, name) for name in buckets]

    def clean(self) -> dict[str, Any]:
        """Exactly one of key and fingerprint; raises ValidationError."""
        data: dict[str, Any] = self.cleaned_data
        key, fingerprint = data.get("key"), data.get("fingerprint")
        if bool(key) == bool(fingerprint):
            raise forms.ValidationError("Give the idempotency key, or the fingerprint where the client sent no key.")
        if key and read_key(key) is None:
            raise forms.ValidationError("The key must be 1 to 255 visible ASCII characters.")
        return data

    def word(self) -> Word:
        """What the operator says."""
        data = self.cleaned_data
        user = Identity.user(data["user"])
        return Word(
            data["bucket"],
            Identity.key(data["charged"]) if data["charged"] else user,
            data["key"] or None,
            data["fingerprint"] or None,
            data["status"] if data["completed"] else None,
            data["body"].encode(),
            data["content_type"],
            data["reason"],
            user if data["charged"] else None,
        )
