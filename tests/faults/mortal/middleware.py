"""The outermost middleware: a request's user and its death, as its headers say."""

from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

from tests.faults.mortal import deaths


@sync_and_async_middleware
def mortal(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Know the user and the point from the request's headers."""

    def served(request: HttpRequest) -> HttpResponseBase:
        _begin(request)
        response: HttpResponseBase = get_response(request)
        deaths.at("before the answer leaves")
        return response

    async def aserved(request: HttpRequest) -> HttpResponseBase:
        _begin(request)
        awaited: Awaitable[HttpResponseBase] = get_response(request)
        response = await awaited
        deaths.at("before the answer leaves")
        return response

    return aserved if iscoroutinefunction(get_response) else served


def _begin(request: HttpRequest) -> None:
    if "X-User" in request.headers:
        request.user = User(pk=int(request.headers["X-User"]))
    deaths.doom(request.headers.get("X-Die", ""))
    deaths.at("before the claim")
