"""The Django app."""

from django.apps import AppConfig
from django.core.exceptions import ImproperlyConfigured

from ratelimit_core import ConfigurationError


class RateLimitConfig(AppConfig):
    """Reads the settings once at the start, so that one that can't be used stops it."""

    name = "django_ratelimit_gcra"
    verbose_name = "Rate limits"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Build the limiter and register the system checks; raises ImproperlyConfigured for a bad setting."""
        from django_ratelimit_gcra import checks, runtime  # noqa: F401 - importing checks registers them

        try:
            runtime.limiter()
        except ConfigurationError as error:
            raise ImproperlyConfigured(str(error)) from error
