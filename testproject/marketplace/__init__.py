"""Instructors, bookings, payments and payouts: one view of every kind that a limiter meets."""
