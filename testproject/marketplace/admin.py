"""The models in Django's admin."""

from __future__ import annotations

from django.contrib import admin

from testproject.marketplace.models import Booking, Charge, Instructor, Payment, Payout

admin.site.register([Booking, Charge, Instructor, Payment, Payout])
