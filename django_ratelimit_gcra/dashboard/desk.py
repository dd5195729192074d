"""What every page stands on: its request, its admin, and what its reader may see and do."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple, cast
from urllib.parse import urlencode

from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.db import Error
from django.http import Http404, HttpRequest
from django.template.response import TemplateResponse
from django.urls import reverse

from django_ratelimit_gcra import runtime
from django_ratelimit_gcra.switching import User
from ratelimit_core import Config
from ratelimit_core.config import Policy

APP = "django_ratelimit_gcra"
PREFIX = f"{APP}_dashboard"


class Right(StrEnum):
    """The permissions of the dashboard."""

    VIEW = f"{APP}.view_dashboard"
    IDENTITIES = f"{APP}.view_identities"
    SWITCH = f"{APP}.switch_policy"
    WEAKEN = f"{APP}.weaken_policy"
    RESET = f"{APP}.reset_live"


class Desk(NamedTuple):
    """One request to the dashboard."""

    request: HttpRequest
    site: AdminSite

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return runtime.limiter().config

    @property
    def who(self) -> str:
        """The reader, as written down beside what they change."""
        return f"{self.request.user}, admin"

    @property
    def user(self) -> User:
        """The reader, whom `switching` asks for permissions."""
        return cast("User", self.request.user)

    def may(self, right: Right) -> bool:
        """Whether the reader has this permission."""
        return self.request.user.has_perm(right)

    def demand(self, *rights: Right) -> None:
        """Raise PermissionDenied unless the reader has all of them."""
        if not all(map(self.may, rights)):
            raise PermissionDenied

    def policy(self, bucket: str) -> Policy:
        """The bucket of that name; raises Http404."""
        if bucket not in self.config.policies:
            raise Http404(f"There is no bucket {bucket!r:.60}.")
        return self.config.policies[bucket]

    def url(self, page: str, *arguments: object, **query: object) -> str:
        """A page's address in this admin."""
        path = reverse(f"admin:{PREFIX}_{page}", args=arguments, current_app=self.site.name)
        return f"{path}?{urlencode(query)}" if query else path

    def failed(self, error: Error) -> TemplateResponse:
        """What to know and to do where the database can't be asked."""
        page = self.page("failed.html", "The database can't be used", {"error": error})
        page.status_code = 503
        return page

    def page(self, template: str, title: str, context: Mapping[str, object]) -> TemplateResponse:
        """A page under the admin's own head."""
        whole: dict[str, Any] = {
            **self.site.each_context(self.request),
            "title": title,
            "app_label": APP,
            "enabled": self.config.enabled,
            "home": self.url("changelist"),
            "pages": [(name, self.url(page)) for page, name, right in _PAGES if right is None or self.may(right)],
            "rights": {right.name.lower(): self.may(right) for right in Right},
            **context,
        }
        self.request.current_app = self.site.name  # as Django's own admin views do
        return TemplateResponse(self.request, f"{APP}/dashboard/{template}", whole)


_PAGES = (
    ("changelist", "Buckets", None),
    ("live", "Live state", Right.IDENTITIES),
    ("history", "History", None),
    ("kill", "Kill switch", None),
)
