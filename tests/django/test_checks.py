"""The system checks: what each finds, and that a sound site has none."""

from collections.abc import Callable
from functools import partial, wraps
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from django.core.checks import CheckMessage, run_checks
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from django.utils.decorators import method_decorator
from django.views import View
from redis import Redis
from rest_framework.authtoken.views import obtain_auth_token
from rest_framework.decorators import action, api_view
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet

from django_ratelimit_gcra import checks, metricchecks, recordchecks, shieldchecks, viewchecks
from django_ratelimit_gcra.decorators import exempt, ratelimit
from django_ratelimit_gcra.middleware import RateLimitMiddleware
from django_ratelimit_gcra.throttling import BucketThrottle

OURS = "django_ratelimit_gcra.middleware.RateLimitMiddleware"
SESSIONS = "django.contrib.sessions.middleware.SessionMiddleware"
AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"
COMMON = "django.middleware.common.CommonMiddleware"

Messages = Callable[..., list[CheckMessage]]


class Subclassed(RateLimitMiddleware):
    """A site's own version of the middleware."""


@pytest.fixture(autouse=True)
def one_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever the shell says about workers; the metrics of several would have their place."""
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    for name in ("WEB_CONCURRENCY", "UVICORN_WORKERS", "GUNICORN_CMD_ARGS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def of_views(settings: Any) -> Messages:
    """`of_views(view, ...)`: what is said of a site that has these views."""

    def found(*views: Any) -> list[CheckMessage]:
        return of_urls([path(f"{number}/", view) for number, view in enumerate(views)])

    def of_urls(patterns: list[Any]) -> list[CheckMessage]:
        urls = ModuleType("urls_of_one_test")
        urls.urlpatterns = patterns  # type: ignore[attr-defined]
        settings.ROOT_URLCONF = urls
        return checks.check_views(None)

    found.of_urls = of_urls  # type: ignore[attr-defined]
    return found


def ids(messages: list[CheckMessage]) -> list[str]:
    return [str(message.id) for message in messages]


def only(messages: list[CheckMessage]) -> CheckMessage:
    assert len(messages) == 1, messages
    assert messages[0].hint
    return messages[0]


def ok(request: HttpRequest, **kwargs: object) -> HttpResponse:
    return HttpResponse("ok")


def careless(view: Callable[..., Any]) -> Callable[..., Any]:
    def hiding(*args: Any, **kwargs: Any) -> Any:
        return view(*args, **kwargs)

    return hiding


def careful(view: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(view)
    def showing(*args: Any, **kwargs: Any) -> Any:
        return view(*args, **kwargs)

    return showing


class Wrapper:
    """A decorator that is a class and keeps the view as an attribute."""

    def __init__(self, view: Callable[..., Any]) -> None:
        self.view = view

    def __call__(self, request: HttpRequest) -> Any:
        return self.view(request)

    def method(self, request: HttpRequest) -> Any:
        return self.view(request)


# The whole


def test_the_demo_itself_has_one_message_which_one_of_its_samples_is_there_to_cause() -> None:
    messages = run_checks(tags=[checks.TAG])
    assert [(message.id, message.obj) for message in messages] == [
        ("ratelimit.W006", "testproject.samples.views.unlabelled.<locals>.careless")
    ]


def test_each_id_is_listed_once_in_the_docstrings() -> None:
    listed = [
        line.split()[0]
        for module in (checks, viewchecks, shieldchecks, recordchecks, metricchecks)
        for line in str(module.__doc__).splitlines()
        if "." in line
    ]
    named = [one for one in listed if one.startswith("ratelimit.")]
    assert sorted(named) == [f"ratelimit.E0{n:02}" for n in range(1, 18)] + [f"ratelimit.W00{n}" for n in range(1, 9)]


# Settings


def test_a_setting_that_cant_be_used_is_an_error_that_names_it(settings: Any) -> None:
    settings.RATE_LIMIT_ENABLED = "ture"
    message = only(checks.check_settings(None))
    assert (message.id, message.is_serious()) == ("ratelimit.E001", True)
    assert "RATE_LIMIT_ENABLED = 'ture'" in message.msg
    assert checks.check_views(None) == checks.check_deployment(None) == []


def test_an_unknown_bucket_in_a_rule_is_an_error(settings: Any) -> None:
    settings.RATE_LIMIT_RULES = [{"bucket": "nowhere", "path": "/"}]
    message = only(checks.check_settings(None))
    assert message.id == "ratelimit.E001"
    assert "'nowhere'" in message.msg


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WEB_CONCURRENCY", "2"),
        ("UVICORN_WORKERS", "8"),
        ("GUNICORN_CMD_ARGS", "-w4"),
        ("GUNICORN_CMD_ARGS", "--bind=:80 -w 4"),
        ("GUNICORN_CMD_ARGS", "--workers=3 --threads 2"),
        ("GUNICORN_CMD_ARGS", "--workers 3"),
    ],
)
def test_memory_with_several_processes_is_a_warning(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    message = only(checks.check_settings(None))
    assert message.id == "ratelimit.W003"
    assert name in message.msg
    assert "ratelimit.W003" not in ids(checks.check_deployment(None)), "said once"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WEB_CONCURRENCY", "1"),
        ("WEB_CONCURRENCY", "many"),
        ("WEB_CONCURRENCY", ""),
        ("GUNICORN_CMD_ARGS", "--workers=1"),
        ("GUNICORN_CMD_ARGS", "--worker-connections 100"),
    ],
)
def test_memory_with_one_process_is_fine(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    assert checks.check_settings(None) == []


def test_several_processes_that_share_redis_are_fine(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEB_CONCURRENCY", "2")
    settings.RATE_LIMIT_STORE_URL = "redis://127.0.0.1:1/0"
    assert checks.check_settings(None) == checks.check_deployment(None) == []


def test_a_deployment_check_asks_for_a_shared_store(settings: Any) -> None:
    settings.ROOT_URLCONF = None
    assert only(checks.check_deployment(None)).id == "ratelimit.W003"
    assert "ratelimit.W003" in ids(run_checks(tags=[checks.TAG], include_deployment_checks=True))
    assert "ratelimit.W003" not in ids(run_checks(tags=[checks.TAG]))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECURE_PROXY_SSL_HEADER", ("HTTP_X_FORWARDED_PROTO", "https")),
        ("USE_X_FORWARDED_HOST", True),
        ("USE_X_FORWARDED_PORT", True),
    ],
)
def test_a_likely_proxy_that_nobody_trusts_is_a_warning(settings: Any, name: str, value: object) -> None:
    setattr(settings, name, value)
    message = only(checks.check_settings(None))
    assert message.id == "ratelimit.W004"
    assert name in message.msg
    settings.RATE_LIMIT_TRUSTED_PROXIES = "private"
    assert checks.check_settings(None) == []


@pytest.mark.parametrize("networks", ["0.0.0.0/0", "::/0", "10.0.0.0/8,0.0.0.0/0", "0.0.0.0/1,128.0.0.0/1"])
def test_trusting_everybody_is_an_error(settings: Any, networks: str) -> None:
    settings.RATE_LIMIT_TRUSTED_PROXIES = networks
    message = only(checks.check_settings(None))
    assert (message.id, message.is_serious()) == ("ratelimit.E003", True)


@pytest.mark.parametrize("networks", ["10.0.0.0/8", "private,unix", "0.0.0.0/1", "2001:db8::/32,192.0.2.1"])
def test_trusting_somebody_is_fine(settings: Any, networks: str) -> None:
    settings.RATE_LIMIT_TRUSTED_PROXIES = networks
    assert checks.check_settings(None) == []


# The middleware


@pytest.mark.parametrize("ours", [OURS, f"{__name__}.Subclassed"])
def test_the_middleware_at_the_end_is_fine(settings: Any, ours: str) -> None:
    settings.MIDDLEWARE = [SESSIONS, AUTHENTICATION, ours]
    assert checks.check_middleware(None) == []


def test_a_missing_middleware_is_a_warning(settings: Any) -> None:
    settings.MIDDLEWARE = [SESSIONS, AUTHENTICATION]
    assert only(checks.check_middleware(None)).id == "ratelimit.W001"


def test_a_middleware_that_is_not_the_last_is_a_warning_that_names_what_stands_below(settings: Any) -> None:
    settings.MIDDLEWARE = [SESSIONS, AUTHENTICATION, OURS, COMMON]
    message = only(checks.check_middleware(None))
    assert message.id == "ratelimit.W002"
    assert COMMON in str(message.hint)


def test_a_middleware_above_authentication_is_an_error(settings: Any) -> None:
    settings.MIDDLEWARE = [OURS, SESSIONS, AUTHENTICATION]
    message = only(checks.check_middleware(None))
    assert (message.id, message.is_serious()) == ("ratelimit.E002", True)


def test_a_middleware_that_cant_be_imported_is_left_to_django(settings: Any) -> None:
    settings.MIDDLEWARE = ["nowhere.Middleware", OURS]
    assert checks.check_middleware(None) == []


def test_a_function_below_the_middleware_counts(settings: Any) -> None:
    settings.MIDDLEWARE = [OURS, f"{__name__}.careful"]
    assert only(checks.check_middleware(None)).id == "ratelimit.W002"


# Labels


def test_labelled_and_plain_views_are_fine(of_views: Messages) -> None:
    labelled = ratelimit("read")(ok)
    assert of_views(ok, labelled, careful(labelled), exempt(careful(ok)), ratelimit("write")(labelled)) == []


def test_an_unknown_bucket_on_a_view_is_an_error_that_lists_the_known(of_views: Messages) -> None:
    message = only(of_views(ratelimit("nowhere")(ok)))
    assert (message.id, message.is_serious()) == ("ratelimit.E004", True)
    assert "/0/" in message.msg
    assert "auth_bootstrap, read, write, financial" in str(message.hint)
    assert message.obj == f"{__name__}.ok"


def test_an_unknown_bucket_under_a_careless_decorator_is_an_error_too(of_views: Messages) -> None:
    assert ids(of_views(careless(ratelimit("nowhere")(ok)))) == ["ratelimit.E004", "ratelimit.W006"]


def test_a_cost_that_never_fits_is_an_error(of_views: Messages) -> None:
    message = only(of_views(ratelimit("write", cost=4)(ok), ratelimit("write", cost=3)(ok)))
    assert (message.id, message.is_serious()) == ("ratelimit.E005", True)
    assert "cost=4" in message.msg


class OnClass(View):
    def get(self, request: HttpRequest) -> HttpResponse:
        return ok(request)


class OnMethod(View):
    @method_decorator(ratelimit("read"))
    def get(self, request: HttpRequest) -> HttpResponse:
        return ok(request)


class HiddenOnMethod(View):
    @careless
    @method_decorator(ratelimit("read"))
    def get(self, request: HttpRequest) -> HttpResponse:
        return ok(request)


@ratelimit("read")
class Base(View):
    def get(self, request: HttpRequest) -> HttpResponse:
        return ok(request)


class Overriding(Base):
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return super().dispatch(request, *args, **kwargs)


@pytest.mark.parametrize(
    "hidden",
    [
        careless(ratelimit("read")(ok)),
        careless(careless(ratelimit("read")(ok))),
        careful(careless(ratelimit("read")(ok))),
        Wrapper(ratelimit("read")(ok)),
        Wrapper(ratelimit("read")(ok)).method,
        partial(ratelimit("read")(ok), extra=1),
        partial(careless(ratelimit("read")(ok)), extra=1),
        careless(Base.as_view()),
        HiddenOnMethod.as_view(),
        Overriding.as_view(),
    ],
    ids=range(10),
)
def test_a_label_that_the_middleware_cant_see_is_a_warning(of_views: Messages, hidden: Any) -> None:
    message = only(of_views(hidden))
    assert message.id == "ratelimit.W006"
    assert "bucket read" in message.msg


@pytest.mark.parametrize("view", [ratelimit("read")(OnClass).as_view(), OnMethod.as_view(), Base.as_view()])
def test_labels_on_classes_and_their_methods_are_seen(of_views: Messages, view: Any) -> None:
    assert of_views(view) == []


def test_a_name_that_is_not_bound_yet_is_passed_over(of_views: Messages) -> None:
    def waiting(request: HttpRequest) -> HttpResponse:
        return later(request)

    assert of_views(waiting) == []
    later = ok


# The URL conf


def test_included_views_are_found_and_a_view_at_two_places_is_named_once(of_views: Any) -> None:
    wrong = ratelimit("nowhere")(ok)
    inner: list[Any] = [path("a/", wrong), path("b/", include(([path("c/", wrong)], "inner"), namespace="inner"))]
    message = only(of_views.of_urls([path("deep/<int:pk>/", include(inner))]))
    assert "/deep/<int:pk>/a/" in message.msg


def test_a_url_conf_that_includes_itself_ends(of_views: Any) -> None:
    patterns: list[Any] = [path("wrong/", ratelimit("nowhere")(ok))]
    patterns.append(path("again/", include(patterns)))
    assert ids(of_views.of_urls(patterns)) == ["ratelimit.E004"]


def test_a_site_without_a_url_conf_has_no_views(settings: Any) -> None:
    settings.ROOT_URLCONF = None
    assert checks.check_views(None) == []


# REST framework


class Throttled(APIView):
    throttle_classes = [BucketThrottle]
    throttle_bucket = "write"

    def get(self, request: Request) -> Response:
        return Response({})


class Unthrottled(APIView):
    throttle_classes: list[type[BaseThrottle]] = []

    def get(self, request: Request) -> Response:
        return Response({})


class OtherThrottle(Unthrottled):
    throttle_classes = [BaseThrottle]


class OwnRules(Unthrottled):
    def get_throttles(self) -> list[Any]:
        return [BucketThrottle()]


class OwnRulesWrong(OwnRules):
    throttle_bucket = "nowhere"


@ratelimit("financial")
class PaidOnClass(Throttled):
    throttle_classes = []


class Financial(Throttled):
    throttle_bucket = "financial"


class Unknown(Throttled):
    throttle_bucket = "nowhere"


class UnknownThrottle(BucketThrottle):
    bucket = "nowhere"


class UnknownByThrottle(Throttled):
    throttle_classes = [UnknownThrottle]


class LabelledMethod(Unthrottled):
    @ratelimit("write")
    def get(self, request: Request) -> Response:
        return Response({})


@ratelimit("write")
class LabelledClass(Unthrottled):
    pass


@exempt
class Exempted(Unthrottled):
    pass


class LabelledUnknown(Unthrottled):
    @ratelimit("nowhere")
    def get(self, request: Request) -> Response:
        return Response({})


class Things(ViewSet):
    throttle_classes: list[type[BaseThrottle]] = []
    permission_classes: list[type[BasePermission]] = []
    throttle_bucket = "read"

    @action(detail=False, throttle_classes=[BucketThrottle], throttle_bucket="nowhere")
    def wrong(self, request: Request) -> Response:
        return Response({})

    @action(detail=False, throttle_classes=[BucketThrottle])
    def right(self, request: Request) -> Response:
        return Response({})

    @action(detail=False)
    def bare(self, request: Request) -> Response:
        return Response({})

    @action(detail=False)
    @ratelimit("write")
    def labelled(self, request: Request) -> Response:
        return Response({})


def test_rest_views_with_the_throttle_or_labels_are_fine(of_views: Messages) -> None:
    views = [Throttled, Financial, OwnRules, LabelledMethod, LabelledClass, Exempted]
    assert of_views(*(view.as_view() for view in views)) == []


@pytest.mark.parametrize("view", [Unthrottled.as_view(), OtherThrottle.as_view(), obtain_auth_token])
def test_a_rest_view_without_the_throttle_is_a_warning(of_views: Messages, view: Any) -> None:
    assert only(of_views(view)).id == "ratelimit.W005"
    assert ids(of_views(careless(view))) == ["ratelimit.W005"]


def test_a_function_view_without_the_throttle_is_a_warning_unless_it_is_labelled(of_views: Messages) -> None:
    assert only(of_views(api_view()(careful(ok)), api_view()(ratelimit("read")(ok)))).id == "ratelimit.W005"


@pytest.mark.parametrize("view", [Unknown, UnknownByThrottle, OwnRulesWrong, LabelledUnknown])
def test_an_unknown_bucket_on_a_rest_view_is_an_error(of_views: Messages, view: Any) -> None:
    assert only(of_views(view.as_view())).id == "ratelimit.E004"


def test_each_action_of_a_viewset_is_looked_at(of_views: Any) -> None:
    router = SimpleRouter()
    router.register("things", Things, basename="things")
    messages = of_views.of_urls(router.urls)
    assert [(message.id, message.msg.split()[3]) for message in messages] == [
        ("ratelimit.W005", "/things/bare/$:"),
        ("ratelimit.E004", "/things/wrong/$:"),
    ]


def test_a_shielded_bucket_on_a_throttle_needs_the_middleware_to_settle(settings: Any, of_views: Messages) -> None:
    assert of_views(Financial.as_view()) == []
    settings.MIDDLEWARE = [SESSIONS, AUTHENTICATION]
    message = only(of_views(Financial.as_view(), Throttled.as_view()))
    assert (message.id, message.is_serious()) == ("ratelimit.E006", True)
    assert "financial" in message.msg


def test_a_shielded_label_on_a_rest_view_needs_the_middleware_too(settings: Any, of_views: Messages) -> None:
    view = PaidOnClass.as_view()
    assert of_views(view) == []
    settings.MIDDLEWARE = [SESSIONS, AUTHENTICATION]
    assert ids(of_views(view)) == ["ratelimit.E006"]


def test_a_rule_for_a_bucket_with_idempotency_is_an_error(settings: Any) -> None:
    settings.RATE_LIMIT_RULES = [{"bucket": "financial", "path": "/pay"}, {"bucket": "write", "path": "/api"}]
    message = only(checks.check_settings(None))
    assert (message.id, message.is_serious()) == ("ratelimit.E007", True)
    assert "@ratelimit(bucket='financial')" in str(message.hint)


def deployed() -> list[CheckMessage]:
    return [one for one in checks.check_deployment(None) if one.id != "ratelimit.W003"]


def test_a_shield_in_memory_is_no_shield_in_production(settings: Any, of_views: Messages) -> None:
    of_views(ratelimit("financial")(ok))
    message = only(deployed())
    assert (message.id, message.is_serious()) == ("ratelimit.E008", True)
    assert "'financial'" in message.msg
    of_views(Financial.as_view())
    assert ids(deployed()) == ["ratelimit.E008"]
    settings.RATE_LIMIT_ENABLED = False
    assert deployed() == []
    settings.RATE_LIMIT_ENABLED = True
    of_views(ratelimit("write")(ok))
    assert deployed() == []


@pytest.mark.parametrize(("policy", "found"), [("allkeys-lru", ["ratelimit.E009"]), ("noeviction", [])])
def test_a_server_that_evicts_is_an_error(
    settings: Any, of_views: Messages, private_redis: Any, policy: str, found: list[str]
) -> None:
    server = private_redis()
    settings.RATE_LIMIT_STORE_URL = server.url
    of_views(ratelimit("financial")(ok))
    with Redis.from_url(server.url) as client:
        client.config_set("maxmemory-policy", policy)
    assert ids(deployed()) == found
    assert all(policy in one.msg for one in deployed())


def test_a_server_that_is_down_says_nothing_about_eviction(settings: Any, of_views: Messages) -> None:
    settings.RATE_LIMIT_STORE_URL = "redis://127.0.0.1:1/0"
    of_views(ratelimit("financial")(ok))
    assert deployed() == []


def test_two_shields_on_one_view_are_an_error(settings: Any, of_views: Messages) -> None:
    settings.RATE_LIMIT_BUCKETS = {"payout": {"quota": "5/m:1", "concurrency": 1, "store_down": "closed"}}
    both = ratelimit("payout", cost=0)(ratelimit("financial")(ok))
    message = only(of_views(both))
    assert (message.id, message.is_serious()) == ("ratelimit.E016", True)
    assert "payout, financial" in message.msg
    apart = ratelimit("payout", methods=["DELETE"])(ratelimit("financial", methods=["POST"])(ok))
    assert of_views(apart, ratelimit("read")(ratelimit("financial")(ok))) == []


def test_a_claim_that_is_settled_before_the_commit_is_an_error(
    settings: Any, of_views: Messages, monkeypatch: pytest.MonkeyPatch
) -> None:
    paying = ratelimit("financial")(ok)
    with monkeypatch.context() as patch:
        patch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", "yes")
        assert of_views(paying) == []
        settings.MIDDLEWARE = [one for one in settings.MIDDLEWARE if "ratelimit" not in one]
        message = only(of_views(paying))
        assert (message.id, message.is_serious()) == ("ratelimit.E015", True)
        assert "'financial' before that commits" in message.msg
        assert of_views(ratelimit("read")(ok), transaction.non_atomic_requests(paying)) == []
    assert of_views(paying) == []


def test_a_label_around_a_rest_view_is_a_warning(of_views: Messages) -> None:
    message = only(of_views(ratelimit("read")(careless(Throttled.as_view()))))
    assert message.id == "ratelimit.W007"


@pytest.mark.django_db
def test_an_error_stops_the_management_commands(settings: Any, capsys: pytest.CaptureFixture[str]) -> None:
    settings.RATE_LIMIT_TRUSTED_PROXIES = "0.0.0.0/0"
    with pytest.raises(CommandError, match=r"ratelimit\.E003"):
        call_command("check", "--tag", checks.TAG)
