"""Who is charged: the user whom some middleware knows, and nobody whom finding out would cost a session."""

from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from django.utils.functional import SimpleLazyObject

from django_ratelimit_gcra.users import auser_of, identity_of, user_of
from ratelimit_core import Identity


class Person:
    """A user as applications write them."""

    is_authenticated = True

    def __init__(self, pk: object) -> None:
        self.pk = pk


def nothing(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


def incoming(**headers: str) -> Any:
    """A request after Django's session and authentication middleware."""
    request = RequestFactory().get("/", headers=headers)
    SessionMiddleware(nothing).process_request(request)
    AuthenticationMiddleware(nothing).process_request(request)
    return request


async def both(request: Any) -> Identity | None:
    """By a thread and by the event loop: they may not differ."""
    found = await sync_to_async(user_of)(request)
    assert await auser_of(request) == found
    return found


@pytest.mark.parametrize(
    ("pk", "identity"),
    [
        (0, "user:0"),
        (42, "user:42"),
        (UUID(int=7), "user:00000000-0000-0000-0000-000000000007"),
        ("ann@example.org", "user:ann@example.org"),
        ("{|~}\n", "user:{|~}\n"),
        (None, None),
        ("", None),
    ],
)
def test_a_user_is_told_by_the_primary_key_and_one_without_is_nobody(pk: object, identity: str | None) -> None:
    found = identity_of(Person(pk))
    assert (None if found is None else str(found)) == identity


@pytest.mark.parametrize("user", [None, AnonymousUser(), SimpleNamespace(pk=7), SimpleNamespace(is_authenticated=True)])
def test_nobody_is_nobody(user: object) -> None:
    assert identity_of(user) is None


async def test_a_request_without_a_session_is_anonymous_and_stays_unread() -> None:
    request = incoming(authorization="Bearer abc")
    assert await both(request) is None
    assert not request.session.accessed
    assert not hasattr(request, "_cached_user")


async def test_a_request_without_authentication_is_anonymous() -> None:
    assert await both(RequestFactory().get("/")) is None


@pytest.mark.django_db
def test_a_session_is_read() -> None:
    request = incoming(cookie="sessionid=" + "a" * 32)
    assert user_of(request) is None
    assert request.session.accessed


@pytest.mark.django_db(transaction=True)
async def test_a_session_is_read_on_an_event_loop() -> None:
    request = incoming(cookie="sessionid=" + "a" * 32)
    assert await auser_of(request) is None
    assert request.session.accessed


async def test_a_user_whom_another_middleware_assigned_is_charged() -> None:
    request = incoming()
    request.user = Person(7)
    assert await both(request) == Identity.user(7)


async def test_a_user_whom_another_middleware_promised_is_asked_for() -> None:
    request = incoming()
    request.user = SimpleLazyObject(lambda: Person(7))
    assert await auser_of(request) == Identity.user(7)
    request.user = SimpleLazyObject(lambda: Person(8))
    assert await both(request) == Identity.user(8)


async def test_a_user_whom_another_middleware_loaded_is_charged() -> None:
    request = incoming()
    request._cached_user = Person(7)
    assert await auser_of(request) == Identity.user(7)
    assert await both(request) == Identity.user(7)


async def test_a_coroutine_of_another_middleware_is_asked() -> None:
    async def auser() -> Person:
        return Person(7)

    request = incoming()
    request.auser = auser
    assert await auser_of(request) == Identity.user(7)


async def test_a_user_of_rest_framework_is_asked_of_its_request() -> None:
    request = SimpleNamespace(_request=incoming(), user=Person(7))
    assert await both(request) == Identity.user(7)
