"""The checks of buckets whose records are rows: each trap is found, and a sound view has none."""

from types import ModuleType
from typing import Any

import pytest
from django.core.checks import CheckMessage
from django.db import connection, transaction
from django.http import FileResponse, HttpRequest
from django.urls import path
from django.views import View
from rest_framework.views import APIView

from django_ratelimit_gcra import checks
from django_ratelimit_gcra.throttling import BucketThrottle
from testproject.marketplace.models import Booking
from tests.django import payments
from tests.django.payments import ByClass, ByMethod, Rest, pay, payment, rest_function


@pytest.fixture(autouse=True)
def bucket(settings: Any) -> None:
    settings.RATE_LIMIT_BUCKETS = {"payment": payments.BUCKET}


def found(settings: Any, *views: Any) -> list[CheckMessage]:
    urls = ModuleType("urls_of_one_test")
    urls.urlpatterns = [path(f"{number}/", view) for number, view in enumerate(views)]  # type: ignore[attr-defined]
    settings.ROOT_URLCONF = urls
    return [one for one in checks.check_views(None) if str(one.id) in {f"ratelimit.E01{number}" for number in range(5)}]


def ids(messages: list[CheckMessage]) -> list[str | None]:
    return [message.id for message in messages]


def test_nothing_is_said_of_sound_views(settings: Any) -> None:
    views = [pay, ByMethod.as_view(), ByClass.as_view(), Rest.as_view(), rest_function]
    assert found(settings, *views) == []


def test_nothing_is_said_where_no_bucket_keeps_rows(settings: Any) -> None:
    settings.RATE_LIMIT_BUCKETS = {"payment": {**payments.BUCKET, "record": "store"}}
    assert found(settings, payments.asynchronous) == []


def test_a_rule_that_assigns_the_bucket_is_an_error(settings: Any) -> None:
    settings.RATE_LIMIT_RULES = [{"bucket": "payment", "path": "/pay/"}]
    (message,) = found(settings)
    assert message.id == "ratelimit.E010"
    assert "no row would be written" in message.msg
    assert message.hint is not None


def test_a_throttle_that_assigns_the_bucket_is_an_error(settings: Any) -> None:
    class Throttled(APIView):
        throttle_classes = [BucketThrottle]
        throttle_bucket = "payment"

    assert ids(found(settings, Throttled.as_view())) == ["ratelimit.E010"]


def test_an_async_view_is_an_error(settings: Any) -> None:
    @payment
    class Asynchronous(View):
        async def post(self, request: HttpRequest) -> None:
            """A class whose methods are coroutines."""

    assert ids(found(settings, payments.asynchronous, Asynchronous.as_view())) == ["ratelimit.E011"] * 2


def test_a_view_that_says_that_it_streams_is_an_error(settings: Any) -> None:
    def file(request: HttpRequest) -> "FileResponse":
        raise NotImplementedError

    file.__annotations__["return"] = "http.FileResponse"
    assert ids(found(settings, payments.streaming, payment(file))) == ["ratelimit.E012"] * 2


class Apart:
    """A router that keeps bookings in a database of their own."""

    def db_for_write(self, model: type, **hints: object) -> str | None:
        return "bookings" if model is Booking else None


def test_a_view_that_writes_to_another_database_is_an_error(settings: Any) -> None:
    def of_the_marketplace(request: HttpRequest) -> None:
        """A view whose app has bookings."""

    of_the_marketplace.__module__ = "testproject.marketplace.views"
    view = payment(of_the_marketplace)
    assert found(settings, view) == []
    settings.DATABASE_ROUTERS = [Apart()]
    (message,) = found(settings, view)
    assert message.id == "ratelimit.E013"
    assert "'bookings', and the records are in 'default'" in message.msg


def test_atomic_requests_are_an_error_unless_the_view_is_spared(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", "yes")

    def spared(request: HttpRequest) -> None:
        """Outside the request's transaction."""

    assert ids(found(settings, pay, transaction.non_atomic_requests(payment(spared)))) == ["ratelimit.E014"]
