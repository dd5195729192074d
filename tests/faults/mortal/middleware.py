"""The outermost middleware: a request's user and its death, as its headers say."""

from collections.abc import Callable

from django.contrib.auth.models import User
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from tests.faults.mortal import deaths


class MortalMiddleware:
    """Knows the user and the point from the request's headers; the outermost."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Serve a request that may die."""
        if "X-User" in request.headers:
            request.user = User(pk=int(request.headers["X-User"]))
        deaths.doom(request.headers.get("X-Die", ""))
        deaths.at("before the claim")
        response = self.get_response(request)
        deaths.at("before the answer leaves")
        return response
