"""`path("metrics/", include("django_ratelimit_gcra.urls"))`."""

from django.urls import path

from django_ratelimit_gcra.views import metrics

app_name = "django_ratelimit_gcra"
urlpatterns = [path("", metrics, name="metrics")]
