"""Its settings: where the data is, and where payments are remembered, come from the environment."""

import os

from testproject.settings import database

SECRET_KEY = "only-for-tests"
ALLOWED_HOSTS = ["127.0.0.1"]
USE_TZ = True
ROOT_URLCONF = "tests.faults.mortal.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "django_ratelimit_gcra"]
MIDDLEWARE = [
    "tests.faults.mortal.middleware.mortal",
    "django_ratelimit_gcra.middleware.RateLimitMiddleware",
]

DATABASES = {"default": database(os.environ["MORTAL_DB"])}
_VENDOR = "postgres" if "postgres" in DATABASES["default"]["ENGINE"] else "sqlite"
DATABASES["default"]["ENGINE"] = f"tests.faults.mortal.{_VENDOR}"

RATE_LIMIT_UNDECORATED = "off"
RATE_LIMIT_BUCKETS = {
    "financial": {
        "quotas": ["1000/s:1000000"],
        "replay_quota": "1000/s:1000000",
        "lease_ttl": "1s",
        "record": os.environ["MORTAL_RECORD"],
    },
}
