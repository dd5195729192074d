"""The metrics, for Prometheus and for staff."""

from django.http import HttpRequest, HttpResponse, HttpResponseForbidden, HttpResponseNotFound
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from django_ratelimit_gcra import conf
from django_ratelimit_gcra.decorators import exempt

PERMISSION = "django_ratelimit_gcra.view_dashboard"
_PLAIN = "text/plain; charset=utf-8"
_WHO_MAY_READ = (
    "Bring RATE_LIMIT_METRICS_TOKEN, if it is set, as 'Authorization: Bearer <token>', "
    "or log in as staff that may see the dashboard.\n"
)


@exempt
@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """The metrics of every process, for who brings RATE_LIMIT_METRICS_TOKEN or may see the dashboard.

    404 while RATE_LIMIT_METRICS is off, 403 for everybody else. Never limited: what is scraped must not be missing in
    the very minute that matters.
    """
    if not conf.METRICS.value():
        return HttpResponseNotFound("RATE_LIMIT_METRICS is off.\n", content_type=_PLAIN)
    if not _may_read(request):
        return HttpResponseForbidden(_WHO_MAY_READ, content_type=_PLAIN)
    from ratelimit_core.metrics import exposition

    content_type, body = exposition(accept=request.headers.get("Accept", ""))
    return HttpResponse(body, content_type=content_type)


def _may_read(request: HttpRequest) -> bool:
    """By token, and where none is brought, by the user: who brings a wrong one is no browser."""
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        token = conf.METRICS_TOKEN.value()
        return token is not None and constant_time_compare(given.strip(), token)
    user = getattr(request, "user", None)  # a site may have no users at all
    return user is not None and bool(user.is_active and user.is_staff and user.has_perm(PERMISSION))
