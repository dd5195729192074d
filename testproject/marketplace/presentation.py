"""The models as plain data: the JSON bodies, and what the templates show."""

from __future__ import annotations

from typing import Any

from testproject.marketplace.models import Booking, Instructor, Payment, Payout


def money(cents: int) -> str:
    """An amount for people."""
    return f"{cents // 100}.{cents % 100:02d} EUR"


def instructor_data(instructor: Instructor) -> dict[str, Any]:
    """An instructor's public profile."""
    return {
        "id": instructor.pk,
        "name": instructor.name,
        "subject": instructor.subject,
        "city": instructor.city,
        "bio": instructor.bio,
        "price": money(instructor.lesson_cents),
    }


def booking_data(booking: Booking) -> dict[str, Any]:
    """A booking, and how often it was paid for (more than once is what the limiter prevents)."""
    return {
        "id": booking.pk,
        "instructor": booking.instructor.name,
        "starts_at": booking.starts_at.isoformat(timespec="minutes"),
        "when": f"{booking.starts_at:%d %B %Y, %H:%M} UTC".lstrip("0"),
        "price": money(booking.instructor.lesson_cents),
        "payments": len(booking.payments.all()),
    }


def payment_data(payment: Payment) -> dict[str, Any]:
    """A payment that went through."""
    return {
        "id": payment.pk,
        "booking": payment.booking_id,
        "amount": money(payment.charge.amount_cents),
        "charge": payment.charge_id,
    }


def payout_data(payout: Payout) -> dict[str, Any]:
    """A payout that went through."""
    return {
        "id": payout.pk,
        "instructor": payout.instructor.name,
        "amount": money(payout.charge.amount_cents),
        "charge": payout.charge_id,
    }
