"""What people do in the marketplace, without HTTP."""

from __future__ import annotations

from datetime import datetime

from django.contrib.auth.models import User
from django.db.models import Q, QuerySet

from testproject.marketplace import processor
from testproject.marketplace.models import Booking, Instructor, Payment, Payout


def find_instructors(query: str) -> QuerySet[Instructor]:
    """Instructors whose name, subject or city contains the query; everybody for an empty one."""
    matches = Q(name__icontains=query) | Q(subject__icontains=query) | Q(city__icontains=query)
    return Instructor.objects.filter(matches)


def book(student: User, instructor: Instructor, starts_at: datetime) -> Booking:
    """Ask for a lesson."""
    return Booking.objects.create(student=student, instructor=instructor, starts_at=starts_at)


def bookings_of(student: User) -> QuerySet[Booking]:
    """A student's bookings with what their pages show."""
    return Booking.objects.filter(student=student).select_related("instructor").prefetch_related("payments")


def pay(booking: Booking, card: str) -> Payment:
    """Charge the card for a booking, each time it is called; raises processor.CardDeclined."""
    charge = processor.charge(booking.student, f"booking:{booking.pk}", booking.instructor.lesson_cents, card)
    return Payment.objects.create(booking=booking, charge=charge)


def pay_out(instructor: Instructor, user: User, amount_cents: int) -> Payout:
    """Send money to an instructor's user, each time it is called."""
    charge = processor.send(user, f"instructor:{instructor.pk}", amount_cents)
    return Payout.objects.create(instructor=instructor, charge=charge)
