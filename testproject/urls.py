"""Every address of the demo: its pages, the REST API, the admin, and the samples of the tests."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("", include("testproject.marketplace.urls")),
    path("api/", include("testproject.marketplace.api_urls")),
    path("samples/", include("testproject.samples.urls")),
    path("admin/", admin.site.urls),
    path("metrics/", include("django_ratelimit_gcra.urls")),
]
