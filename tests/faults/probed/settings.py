"""Its settings; the limiter's own come from the environment."""

SECRET_KEY = "only-for-tests"
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "tests.faults.probed.urls"
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "django_ratelimit_gcra"]
MIDDLEWARE = ["django_ratelimit_gcra.middleware.RateLimitMiddleware"]
