"""Whether a middleware answers real requests: test mode is refused in such a process."""

from typing import Any

from django.core import mail
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.base import BaseHandler
from django.core.handlers.wsgi import WSGIHandler

# How to get from what a middleware is given to what it stands on: Django's wrappers, other middleware, asgiref's.
_WAYS = ("__wrapped__", "get_response", "func", "awaitable")
_DEEPEST = 100


def is_serving(get_response: Any) -> bool:
    """False in a test environment, and on the handler of a test client; where a closure hides the handler, True."""
    if in_test_environment():
        return False
    handler = _handler_of(get_response)
    return handler is None or isinstance(handler, WSGIHandler | ASGIHandler)


def in_test_environment() -> bool:
    """Whether Django's or pytest's test runner set this process up; DEBUG says nothing about it."""
    return hasattr(mail, "outbox")  # only `setup_test_environment` makes it


def _handler_of(get_response: Any) -> BaseHandler | None:
    for _ in range(_DEEPEST):
        handler = getattr(get_response, "__self__", None)
        if isinstance(handler, BaseHandler):
            return handler
        get_response = next((getattr(get_response, way) for way in _WAYS if hasattr(get_response, way)), None)
    return None
