"""One view for a script and for a person: what the Accept header prefers decides between JSON and HTML.

JSON wins a tie, so curl (which accepts everything) reads JSON; browsers name text/html.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Concatenate, ParamSpec, cast

from django.contrib import messages
from django.contrib.auth.models import User
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import BadRequest
from django.forms import BaseForm
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import redirect, render
from django.utils.cache import patch_vary_headers

from testproject.marketplace.models import Booking

P = ParamSpec("P")

# Scripts and styles are files of this site, none stands in a page.
CONTENT_POLICY = "default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"


class SignedInRequest(HttpRequest):
    """A request of somebody who is logged in."""

    user: User


def wants_json(request: HttpRequest) -> bool:
    """Whether the client reads JSON at least as gladly as HTML."""
    return request.get_preferred_type(["application/json", "text/html"]) != "text/html"


def submitted(request: HttpRequest) -> Mapping[str, str]:
    """The fields of a form post or of a flat JSON object; raises BadRequest for any other JSON."""
    if request.content_type != "application/json":
        return request.POST
    try:
        body = json.loads(request.body)
    except (ValueError, RecursionError) as error:
        raise BadRequest("The body is not valid JSON.") from error
    if not isinstance(body, dict) or not all(isinstance(value, str | int | float) for value in body.values()):
        raise BadRequest("The body must be a JSON object of strings and numbers.")
    return {name: str(value) for name, value in body.items()}


def page(
    request: HttpRequest,
    template: str,
    data: Mapping[str, Any],
    *,
    form: BaseForm | None = None,
    status: int = 200,
) -> HttpResponse:
    """The data as JSON, or in an HTML page that may show a form too."""
    if wants_json(request):
        errors = {"errors": form.errors.get_json_data()} if form is not None and form.errors else {}
        response: HttpResponse = JsonResponse({**data, **errors}, status=status)
    else:
        response = render(request, f"marketplace/{template}.html", {**data, "form": form}, status=status)
        response.headers["Content-Security-Policy"] = CONTENT_POLICY
    patch_vary_headers(response, ["Accept"])
    return response


def done(request: HttpRequest, data: Mapping[str, Any], *, to: str | Booking, message: str) -> HttpResponse:
    """The answer to a successful POST: the data as JSON (201), or a redirect (302) with a message."""
    if wants_json(request):
        response: HttpResponse = JsonResponse(dict(data), status=201)
    else:
        messages.success(request, message)
        response = redirect(to)
    patch_vary_headers(response, ["Accept"])
    return response


def signed_in(
    view: Callable[Concatenate[SignedInRequest, P], HttpResponseBase],
) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
    """Let only users in: a script gets a 401, a person the login page."""

    @wraps(view)
    def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        if request.user.is_authenticated:
            return view(cast("SignedInRequest", request), *args, **kwargs)
        if wants_json(request):
            return JsonResponse({"detail": "Log in first."}, status=401)
        return redirect_to_login(request.get_full_path())

    return guarded
