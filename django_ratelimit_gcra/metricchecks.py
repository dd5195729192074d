"""What `checks` says about metrics.

ratelimit.E017  an address for metrics that are off
ratelimit.W008  the metrics of one of several processes
"""

import os
from collections.abc import Iterator

from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as CheckWarning

from django_ratelimit_gcra import conf
from django_ratelimit_gcra.urlconf import layers, routes
from django_ratelimit_gcra.views import metrics

_PLACE = "PROMETHEUS_MULTIPROC_DIR"


def of_views() -> Iterator[CheckMessage]:
    """Say that the metrics view answers nobody."""
    if conf.METRICS.value():
        return
    for route in routes():
        if any(layer is metrics for layer in layers(route.view)):
            yield Error(
                f"The view at {route.place} shows metrics, but RATE_LIMIT_METRICS is off: it answers 404.",
                hint="Set RATE_LIMIT_METRICS = True, or take the address out of the URL conf.",
                obj=route.name,
                id="ratelimit.E017",
            )


def of_processes(said: str | None) -> Iterator[CheckMessage]:
    """`said` is the variable by which a server is told to run several processes."""
    if said is not None and conf.METRICS.value() and not os.environ.get(_PLACE):
        yield CheckWarning(
            f"{said} asks for several processes, and {_PLACE} is not set: a scrape shows the metrics of one of them.",
            hint=f"Set {_PLACE} to a directory that is empty when the server starts, and gunicorn's child_exit.",
            id="ratelimit.W008",
        )
