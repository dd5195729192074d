"""From Django's requests to the core's words, and from the core's answers to Django's responses."""

from collections.abc import Iterable

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template import TemplateDoesNotExist
from django.template.loader import render_to_string

from ratelimit_core import Denial, Identity, RequestInfo
from ratelimit_core.identity import UNIX

_LONGEST_ACCEPT = 1_000


def request_info(request: HttpRequest, user: Identity | None = None) -> RequestInfo:
    """What the limiter may know of a request; `user` is who is signed in."""
    forwarded_for = request.META.get("HTTP_X_FORWARDED_FOR")  # every line of it: servers join them with commas
    return RequestInfo(
        method=request.method or "GET",
        path=request.path_info,
        peer=_peer(request),
        forwarded_for=() if forwarded_for is None else (forwarded_for,),
        user=user,
    )


def wants_html(request: HttpRequest) -> bool:
    """Whether the client would rather read HTML than JSON; JSON wins a tie."""
    if len(request.headers.get("Accept", "")) > _LONGEST_ACCEPT:  # to parse it would cost more than the refusal
        return False
    return request.get_preferred_type(["application/problem+json", "application/json", "text/html"]) == "text/html"


def denial_response(request: HttpRequest, denial: Denial) -> HttpResponse:
    """The refusal: a problem body, or a page of the site for a client that prefers HTML; a replay is sent as it is."""
    page = _page(request, denial) if wants_html(request) and not denial.replayed else None
    response = HttpResponse()
    put_denial(response, denial)
    if page is not None:
        response.content = page
        response.headers["Content-Type"] = "text/html; charset=utf-8"
    return response


def put_denial(response: HttpResponse, denial: Denial) -> None:
    """Make a denial of a response: its status, headers and body; other headers stay."""
    response.status_code = denial.status
    response.content = denial.body
    response.headers.pop("Content-Type", None)  # an answer may have had none
    add_headers(response, denial.headers)


def add_headers(response: HttpResponseBase, pairs: Iterable[tuple[str, str]]) -> None:
    """Set each header, in place of one of the same name; at the end, so that every door has the same order.

    A longer `Retry-After` stays: somebody else refuses the request, too, and coming back sooner would be in vain.
    """
    for name, value in pairs:
        known = response.headers.get(name, "")
        longer = name == "Retry-After" and known.isdecimal() and int(known) > int(value)
        response.headers.pop(name, None)
        response.headers[name] = known if longer else value


def _peer(request: HttpRequest) -> str | None:
    """The socket's address; a Unix socket has none: WSGI says '', ASGI names a server without a port."""
    address: str | None = request.META.get("REMOTE_ADDR")
    if address is None:
        server = getattr(request, "scope", {}).get("server")
        return UNIX if server is not None and server[1] is None else None
    return address or UNIX


def _page(request: HttpRequest, denial: Denial) -> str | None:
    """The site's own page for this status, or ours; None where templates are not set up to find either."""
    names = [f"django_ratelimit_gcra/{denial.status}.html", "django_ratelimit_gcra/denied.html"]
    try:
        return render_to_string(names, {"denial": denial}, request)
    except TemplateDoesNotExist:
        return None
