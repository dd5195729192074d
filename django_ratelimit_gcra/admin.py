"""The admin: the records of what was carried out, to look at, and to correct by an operator's word."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import CHANGE, DELETION, LogEntry
from django.contrib.messages import ERROR, SUCCESS
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from django_ratelimit_gcra import runtime
from django_ratelimit_gcra.dashboard import site as _site  # noqa: F401 - registers the dashboard
from django_ratelimit_gcra.doubts import DoubtForm, content_type_field
from django_ratelimit_gcra.models import IdempotencyRecord
from django_ratelimit_gcra.records import put_answer
from django_ratelimit_gcra.resolution import Word, log, resolve
from ratelimit_core import StoreError
from ratelimit_core.answers import Result

if TYPE_CHECKING:
    RecordAdmin = admin.ModelAdmin[IdempotencyRecord]
else:
    RecordAdmin = admin.ModelAdmin

_APP = "django_ratelimit_gcra"
_FIELDS = ["identity", "bucket", "name", "fingerprint", "status", "created", "expires"]


class ReasonForm(forms.Form):
    """Why a record is changed."""

    reason = forms.CharField(max_length=500, help_text="What do you know of the request, and from where?")


class AnswerForm(ReasonForm):
    """And what it answers from now on."""

    status = forms.IntegerField(min_value=200, max_value=399, initial=200)
    content_type = content_type_field()
    body = forms.CharField(required=False, widget=forms.Textarea)

    def result(self) -> Result:
        """The answer to replay."""
        data = self.cleaned_data
        return Result(data["status"], (("Content-Type", data["content_type"]),), data["body"].encode())


@admin.register(IdempotencyRecord)
class IdempotencyRecordAdmin(RecordAdmin):
    """Read-only, but for two actions. The row decides what the store is in doubt about, so only the row is changed."""

    list_display = ["identity", "bucket", "status", "created", "expires"]
    list_filter = ["bucket", "status"]
    search_fields = ["=identity", "=fingerprint"]
    ordering = ["-created"]
    actions = ["mark_completed", "release"]
    change_list_template = f"{_APP}/admin_records.html"

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Only a view that is carried out writes a record."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: IdempotencyRecord | None = None) -> bool:
        """Only by an action, with a reason."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: IdempotencyRecord | None = None) -> bool:
        """The same."""
        return False

    def has_resolve_permission(self, request: HttpRequest) -> bool:
        """Who may use the actions: whoever may change records."""
        return request.user.has_perm(f"{_APP}.change_idempotencyrecord")

    def get_fields(self, request: HttpRequest, obj: IdempotencyRecord | None = None) -> list[Any]:
        """The answer may hold what only its user may read: it has a permission of its own."""
        return [*_FIELDS, *(["headers", "answer"] if request.user.has_perm(f"{_APP}.view_answer") else [])]

    def get_urls(self) -> list[URLPattern]:
        """Beside the list: what the store is in doubt about, of which there is no row."""
        name = f"{_APP}_idempotencyrecord_resolve"
        return [path("resolve/", self.admin_site.admin_view(self.resolve_view), name=name), *super().get_urls()]

    def resolve_view(self, request: HttpRequest) -> HttpResponseBase:
        """End a request whose outcome the store doesn't know."""
        if not self.has_resolve_permission(request):
            raise PermissionDenied
        form = DoubtForm(request.POST or None)
        if form.is_valid():
            done, said = self._resolved(request, form.word())
            self.message_user(request, said, SUCCESS if done else ERROR)
            if done:
                return HttpResponseRedirect(request.path)
        return self._asked(request, self.model.objects.none(), form, "resolve_view")

    def _resolved(self, request: HttpRequest, word: Word) -> tuple[bool, str]:
        try:
            done, said = resolve(runtime.limiter(), word, f"{request.user}, admin")
        except StoreError as error:
            return False, f"The store can't be reached ({error})."
        if done:
            row = IdempotencyRecord(identity=str(word.identity)[:80], name=word.fingerprint or word.key or "")
            self._noted(request, row, CHANGE, str(word))
        return done, said

    @admin.display(description="answer")
    def answer(self, record: IdempotencyRecord) -> str:
        """The body as text."""
        return "(not kept)" if record.body is None else bytes(record.body).decode("utf-8", "replace")

    @admin.action(description="Mark completed, with another answer", permissions=["resolve"])
    def mark_completed(self, request: HttpRequest, rows: QuerySet[IdempotencyRecord]) -> HttpResponseBase | None:
        """Answer something else from now on."""
        form = AnswerForm(request.POST if "apply" in request.POST else None)
        if not form.is_valid():
            return self._asked(request, rows, form, "mark_completed")
        for row in rows:
            put_answer(row, form.result())
            row.save(update_fields=["status", "headers", "body"])
            said = f"marked completed with status {row.status}"
            self._logged(request, row, CHANGE, f"{said}: {form.cleaned_data['reason']}")
        self.message_user(request, "The records answer that from now on.")
        return None

    @admin.action(description="Release: let the request run again", permissions=["resolve"])
    def release(self, request: HttpRequest, rows: QuerySet[IdempotencyRecord]) -> HttpResponseBase | None:
        """Delete the proof: the same request runs once more."""
        form = ReasonForm(request.POST if "apply" in request.POST else None)
        if not form.is_valid():
            return self._asked(request, rows, form, "release")
        for row in rows:
            self._logged(request, row, DELETION, f"released: {form.cleaned_data['reason']}")
            row.delete()
        self.message_user(request, "The same requests will run again.")
        return None

    def _asked(
        self, request: HttpRequest, rows: QuerySet[IdempotencyRecord], form: forms.Form, action: str
    ) -> TemplateResponse:
        """The page between: which records, and why."""
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),
            "title": str(self.get_action_title(action)),
            "opts": self.model._meta,  # noqa: SLF001 - a documented interface of Django
            "rows": rows,
            "form": form,
            "action": action,
            "checkbox": ACTION_CHECKBOX_NAME,
        }
        return TemplateResponse(request, f"{_APP}/admin_resolve.html", context)

    def get_action_title(self, action: str) -> object:
        """What an action is called in the list."""
        return getattr(getattr(self, action), "short_description", "Resolve an unknown outcome")

    def _logged(self, request: HttpRequest, row: IdempotencyRecord, flag: int, message: str) -> None:
        self._noted(request, row, flag, message)
        log(f"{row.bucket}: {row.identity}, record {row.name}: {message}", f"{request.user}, admin")

    def _noted(self, request: HttpRequest, row: IdempotencyRecord, flag: int, message: str) -> None:
        """In Django's own log of the admin."""
        user = request.user
        assert user.pk is not None  # the admin lets nobody else in
        LogEntry.objects.log_actions(user.pk, [row], flag, message, single_object=True)
