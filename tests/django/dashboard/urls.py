"""The admin beside the addresses of `tests.django.places`, one of which costs more than some bursts."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [path("admin/", admin.site.urls), path("", include("tests.django.places"))]
