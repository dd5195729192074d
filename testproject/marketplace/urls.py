"""The pages' addresses; the names carry no namespace, so that RATE_LIMIT_RULES can say ``"url_name": "search"``."""

from __future__ import annotations

from django.urls import path

from testproject.marketplace import accounts, bursts, views

urlpatterns = [
    path("", views.home, name="home"),
    path("health/", views.health, name="health"),
    path("login/", accounts.login, name="login"),
    path("logout/", accounts.logout, name="logout"),
    path("session/", accounts.session, name="session"),
    path("burst/", bursts.burst, name="burst"),
    path("burst/read/", bursts.burst_read, name="burst-read"),
    path("burst/write/", bursts.burst_write, name="burst-write"),
    path("instructors/", views.search, name="search"),
    path("instructors/<int:pk>/", views.instructor, name="instructor"),
    path("profile/", views.profile, name="profile"),
    path("bookings/", views.bookings, name="bookings"),
    path("bookings/<int:pk>/", views.booking, name="booking"),
    path("bookings/<int:pk>/pay/", views.pay, name="pay"),
    path("payouts/", views.payouts, name="payouts"),
]
