"""What the marketplace knows, and the book in which the fake payment processor writes every effect."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.urls import reverse


class Instructor(models.Model):
    """Somebody who gives lessons; with a user, somebody who can be paid out."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True)
    name = models.CharField(max_length=80, unique=True)
    subject = models.CharField(max_length=80)
    city = models.CharField(max_length=80)
    bio = models.TextField(blank=True)
    lesson_cents = models.PositiveIntegerField()

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return f"{self.name} ({self.subject})"


class Booking(models.Model):
    """One lesson that a student has asked for."""

    student = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="bookings")
    instructor = models.ForeignKey(Instructor, on_delete=models.CASCADE, related_name="bookings")
    starts_at = models.DateTimeField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("pk",)

    def __str__(self) -> str:
        return f"booking {self.pk}"

    def get_absolute_url(self) -> str:
        """The booking's page."""
        return str(reverse("booking", args=[self.pk]))


class Charge(models.Model):
    """One movement of money at the processor: the effect that must not happen twice.

    Rows are only ever added, one per effect, so that counting them counts the effects.
    """

    class Kind(models.TextChoices):
        """In which direction the money went."""

        PAYMENT = "payment"
        PAYOUT = "payout"

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="charges")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    reference = models.CharField(max_length=40)
    amount_cents = models.PositiveIntegerField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("pk",)

    def __str__(self) -> str:
        return f"{self.kind} of {self.amount_cents} for {self.reference}"


class Payment(models.Model):
    """What the marketplace remembers of a charge for a booking."""

    booking = models.ForeignKey(Booking, on_delete=models.CASCADE, related_name="payments")
    charge = models.OneToOneField(Charge, on_delete=models.PROTECT)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("pk",)

    def __str__(self) -> str:
        return f"payment {self.pk} for {self.booking}"


class Payout(models.Model):
    """What the marketplace remembers of money sent to an instructor."""

    instructor = models.ForeignKey(Instructor, on_delete=models.CASCADE, related_name="payouts")
    charge = models.OneToOneField(Charge, on_delete=models.PROTECT)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("pk",)

    def __str__(self) -> str:
        return f"payout {self.pk} to {self.instructor}"
