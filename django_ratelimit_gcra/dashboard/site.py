"""The dashboard's addresses within the admin, and who may open them."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from django.contrib import admin
from django.db import Error
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path

from django_ratelimit_gcra.dashboard import livestate, pages, switches, whatif
from django_ratelimit_gcra.dashboard.desk import PREFIX, Desk, Right
from django_ratelimit_gcra.decorators import exempt
from django_ratelimit_gcra.models import Dashboard

if TYPE_CHECKING:
    Base = admin.ModelAdmin[Dashboard]
else:
    Base = admin.ModelAdmin

Page = Callable[..., HttpResponseBase]

_PAGES: tuple[tuple[str, str, Page], ...] = (
    ("", "changelist", pages.overview),
    ("bucket/<str:name>/", "bucket", pages.bucket),
    ("bucket/<str:name>/identity/", "identity", pages.identity),
    ("bucket/<str:name>/report.csv", "report", pages.report),
    ("bucket/<str:name>/what-if/", "what_if", whatif.page),
    ("bucket/<str:name>/advice/", "advice", whatif.advice),
    ("bucket/<str:name>/readiness/", "readiness", pages.readiness),
    ("bucket/<str:name>/switch/", "switch", switches.switch),
    ("live/", "live", livestate.page),
    ("kill/", "kill", switches.kill),
    ("history/", "history", switches.history),
    ("history/<int:pk>/undo/", "undo", switches.undo),
)


@admin.register(Dashboard)
class DashboardAdmin(Base):
    """A place in the admin's index with pages of its own; no rows are edited here."""

    def has_view_permission(self, request: HttpRequest, obj: Dashboard | None = None) -> bool:
        """Whoever may view the dashboard."""
        return request.user.has_perm(Right.VIEW)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody: a switch adds rows."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Dashboard | None = None) -> bool:
        """Nobody: rows are history."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Dashboard | None = None) -> bool:
        """The same."""
        return False

    def get_urls(self) -> list[URLPattern]:
        """The dashboard's pages alone."""
        return [path(route, self._view(page), name=f"{PREFIX}_{name}") for route, name, page in _PAGES]

    def _view(self, page: Page) -> Page:
        """Behind the admin's login and the permission to view, and never limited: it is where limits are undone."""

        def view(request: HttpRequest, **arguments: object) -> HttpResponseBase:
            desk = Desk(request, self.admin_site)
            desk.demand(Right.VIEW)
            try:
                return page(desk, **arguments)
            except Error as error:
                return desk.failed(error)

        return exempt(self.admin_site.admin_view(view))
