"""The REST API's addresses."""

from __future__ import annotations

from django.urls import path

from testproject.marketplace import api

urlpatterns = [
    path("instructors/", api.Instructors.as_view(), name="api-instructors"),
    path("bookings/", api.Bookings.as_view(), name="api-bookings"),
    path("bookings/<int:pk>/pay/", api.Pay.as_view(), name="api-pay"),
]
