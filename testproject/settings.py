"""Settings of the demo and of the tests; everything a deployment would change comes from the environment.

The limiter reads its own variables (RATE_LIMIT_SHADOW_READ, RATE_LIMIT_STORE_URL, RATE_LIMIT_TRUSTED_PROXIES...) and
runs here with its four default buckets, so no other RATE_LIMIT_* setting stands below: a setting would beat the
variable.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import environ

PROJECT_DIR = Path(__file__).resolve().parent

env = environ.Env()
env.read_env(PROJECT_DIR / ".env")


def database(location: str) -> dict[str, Any]:
    """Django's settings for a database URL, or for a plain path to a SQLite file."""
    if "://" in location:
        return dict(env.db_url_config(location))
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": location,
        # Several threads and processes write here: wait for the lock, and take it at BEGIN, where waiting works.
        "OPTIONS": {
            "timeout": 20,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        },
    }


# A site that is reachable by others needs its own key, and TESTPROJECT_DEBUG=false.
SECRET_KEY = env.str("TESTPROJECT_SECRET_KEY", "demo-only-not-a-secret-demo-only-not-a-secret-demo-only")
DEBUG = env.bool("TESTPROJECT_DEBUG", True)
ALLOWED_HOSTS = env.list("TESTPROJECT_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "corsheaders",
    "rest_framework",
    "rest_framework.authtoken",
    "django_ratelimit_gcra",
    "testproject.marketplace",
]

MIDDLEWARE = [
    "corsheaders.middleware.CorsMiddleware",  # above the limiter: refusals carry CORS headers, preflights cost nothing
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django_ratelimit_gcra.middleware.RateLimitMiddleware",  # last: it charges the user, who is known by now
]

ROOT_URLCONF = "testproject.urls"
WSGI_APPLICATION = "testproject.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

DATABASES = {"default": database(env.str("TESTPROJECT_DB", str(PROJECT_DIR / "db.sqlite3")))}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "static/"

LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "profile"
LOGOUT_REDIRECT_URL = "home"

REST_FRAMEWORK = {
    # Token first: its challenge makes an anonymous request a 401, where a session alone makes it a 403.
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "rest_framework.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
}

CORS_ALLOWED_ORIGINS = env.list(
    "TESTPROJECT_CORS_ORIGINS",
    default=["http://localhost:3000", "http://127.0.0.1:3000"],
)
CORS_EXPOSE_HEADERS = [
    "Retry-After",
    "RateLimit",
    "RateLimit-Policy",
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "X-RateLimit-Policy",
    "Idempotent-Replayed",
]
CORS_ALLOW_HEADERS = [
    "accept",
    "authorization",
    "content-type",
    "idempotency-key",
    "x-csrftoken",
    "x-requested-with",
]

# For what is a default elsewhere: the demo shows its metrics at /metrics/, unless the variable says no.
RATE_LIMIT_METRICS = env.str("RATE_LIMIT_METRICS", "true")

# How long the fake payment processor takes; a second or two makes a double click visible.
PROCESSOR_SECONDS = env.float("TESTPROJECT_PROCESSOR_SECONDS", 0.0)
