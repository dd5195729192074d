"""The checks for sites that scripts of other origins use."""

from typing import Any

import pytest
from corsheaders.middleware import CorsMiddleware
from django.core.checks import CheckMessage

from django_ratelimit_gcra import checks, corschecks

CORS = "corsheaders.middleware.CorsMiddleware"
OURS = "django_ratelimit_gcra.middleware.RateLimitMiddleware"
SESSIONS = "django.contrib.sessions.middleware.SessionMiddleware"
EVERYTHING = [
    "Retry-After",
    "RateLimit",
    "RateLimit-Policy",
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "X-RateLimit-Policy",
    "Idempotent-Replayed",
]


class Subclassed(CorsMiddleware):
    """A site's own version of the middleware."""


def found(number: str = "") -> list[CheckMessage]:
    """What is said about other origins."""
    return [one for one in checks.check_middleware(None) if str(one.id).startswith(f"ratelimit.W01{number}")]


@pytest.fixture(autouse=True)
def sound(settings: Any) -> None:
    settings.MIDDLEWARE = [CORS, SESSIONS, OURS]
    settings.CORS_EXPOSE_HEADERS = EVERYTHING
    settings.CORS_ALLOW_HEADERS = ["content-type", "idempotency-key"]
    settings.CORS_ALLOW_CREDENTIALS = False


def test_each_id_is_listed_in_the_docstring() -> None:
    listed = [line.split()[0] for line in str(corschecks.__doc__).splitlines() if line.startswith("ratelimit.")]
    assert listed == ["ratelimit.W010", "ratelimit.W011", "ratelimit.W012"]


def test_nothing_is_said_of_a_sound_site() -> None:
    assert found() == []


def test_nothing_is_said_where_no_other_origin_is_let_in(settings: Any) -> None:
    settings.MIDDLEWARE = [SESSIONS, OURS]
    settings.CORS_EXPOSE_HEADERS = []
    assert found() == []


@pytest.mark.parametrize("missing", EVERYTHING)
def test_a_header_that_is_not_exposed_is_named(settings: Any, missing: str) -> None:
    """The original of the kit could not read Retry-After from another origin, and nobody noticed."""
    settings.CORS_EXPOSE_HEADERS = [name for name in EVERYTHING if name != missing]
    (message,) = found()
    assert message.id == "ratelimit.W010"
    assert f"lacks {missing}:" in message.msg
    assert str(EVERYTHING) in str(message.hint)


def test_without_the_setting_every_header_is_missing(settings: Any) -> None:
    del settings.CORS_EXPOSE_HEADERS
    assert ", ".join(EVERYTHING) in found("0")[0].msg


def test_names_are_compared_without_case(settings: Any) -> None:
    settings.CORS_EXPOSE_HEADERS = tuple(name.lower() for name in EVERYTHING)
    settings.CORS_ALLOW_HEADERS = ["Idempotency-Key"]
    assert found() == []


def test_a_field_that_is_not_sent_need_not_be_exposed(settings: Any) -> None:
    settings.CORS_EXPOSE_HEADERS = [name for name in EVERYTHING if not name.startswith("RateLimit")]
    assert "lacks RateLimit, RateLimit-Policy:" in found()[0].msg
    settings.RATE_LIMIT_DRAFT_FIELDS = False
    assert found() == []


@pytest.mark.parametrize("setting", ["CORS_EXPOSE_HEADERS", "CORS_ALLOW_HEADERS"])
def test_the_wildcard_names_everything_but_only_without_credentials(settings: Any, setting: str) -> None:
    setattr(settings, setting, ["*"])
    assert found() == []
    settings.CORS_ALLOW_CREDENTIALS = True
    assert len(found()) == 1


def test_a_key_that_no_script_may_send_is_reported(settings: Any) -> None:
    del settings.CORS_ALLOW_HEADERS
    (message,) = found()
    assert (message.id, "idempotency-key" in str(message.hint)) == ("ratelimit.W011", True)


def test_where_no_view_keeps_records_nobody_needs_a_key(settings: Any) -> None:
    settings.ROOT_URLCONF = "django.contrib.auth.urls"
    settings.CORS_ALLOW_HEADERS = []
    settings.CORS_EXPOSE_HEADERS = EVERYTHING[:-1]
    assert found() == []


@pytest.mark.parametrize("cors", [CORS, f"{__name__}.Subclassed"])
def test_a_limiter_above_the_cors_middleware_is_reported(settings: Any, cors: str) -> None:
    settings.MIDDLEWARE = [SESSIONS, OURS, cors]
    (message,) = found()
    assert message.id == "ratelimit.W012"
    settings.MIDDLEWARE = [SESSIONS, cors, OURS]
    assert found() == []


def test_headers_are_looked_at_without_the_middleware_too(settings: Any) -> None:
    settings.MIDDLEWARE = [CORS, SESSIONS]
    settings.CORS_EXPOSE_HEADERS = []
    assert [message.id for message in found()] == ["ratelimit.W010"]


def test_a_configuration_that_can_t_be_read_is_reported_once_and_elsewhere(settings: Any) -> None:
    settings.RATE_LIMIT_ENABLED = "ture"
    settings.CORS_EXPOSE_HEADERS = []
    assert found() == []
