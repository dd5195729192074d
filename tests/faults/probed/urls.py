"""Its pages."""

from django.http import HttpRequest, HttpResponse
from django.urls import path

from django_ratelimit_gcra.decorators import exempt
from django_ratelimit_gcra.probing import probe


def plain(request: HttpRequest) -> HttpResponse:
    """Somebody else's page."""
    return HttpResponse("plain")


@exempt
def left_alone(request: HttpRequest) -> HttpResponse:
    """A page without limits."""
    return HttpResponse("left alone")


urlpatterns = [path("ratelimit/probe/", probe), path("plain/", plain), path("exempt/", left_alone)]
