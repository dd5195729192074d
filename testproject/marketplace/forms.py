"""What people may send; the same forms read HTML form posts and JSON bodies."""

from __future__ import annotations

from django import forms

from testproject.marketplace.models import Instructor


class SearchForm(forms.Form):
    """What to look for; empty lists everybody."""

    q = forms.CharField(label="Name, subject or city", max_length=80, required=False)


class BookingForm(forms.Form):
    """With whom and when."""

    instructor = forms.ModelChoiceField(queryset=Instructor.objects.all())
    starts_at = forms.DateTimeField(
        label="Starts at (UTC)",
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}),
    )


class PayForm(forms.Form):
    """A card number; no real one is ever asked for."""

    card = forms.RegexField(
        label="Card number",
        regex=r"^\d{16}$",
        help_text="4242424242424242 is accepted, 4000000000000002 is declined.",
        widget=forms.TextInput(attrs={"inputmode": "numeric", "autocomplete": "off"}),
        error_messages={"invalid": "A card number has 16 digits."},
    )


class PayoutForm(forms.Form):
    """How much to send."""

    amount_cents = forms.IntegerField(label="Amount in cents", min_value=1, max_value=100_000)
