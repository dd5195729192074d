"""Its pages: two pay, one in a coroutine; one says how often something was paid."""

import asyncio
import json
import time

from asgiref.sync import sync_to_async
from django.db import connection
from django.http import HttpRequest, JsonResponse
from django.template.response import SimpleTemplateResponse
from django.urls import path

from django_ratelimit_gcra.decorators import ratelimit
from tests.faults.mortal import deaths


class Receipt(SimpleTemplateResponse):
    """An answer that is made when it is rendered."""

    def __init__(self, payment: int) -> None:
        self._payment = payment
        super().__init__("", content_type="application/json", status=201)

    @property
    def rendered_content(self) -> str:
        """What was paid."""
        deaths.at("while it answers")
        return json.dumps({"paid": self._payment})


@ratelimit(bucket="financial")
def pay(request: HttpRequest, payment: int) -> Receipt:
    """The effect is a row."""
    deaths.at("before the effect")
    effect(payment)
    deaths.at("after the effect")
    time.sleep(seconds(request))
    return Receipt(payment)


@ratelimit(bucket="financial")
async def apay(request: HttpRequest, payment: int) -> Receipt:
    """The same, asynchronous."""
    deaths.at("before the effect")
    await sync_to_async(effect)(payment)
    deaths.at("after the effect")
    await asyncio.sleep(seconds(request))
    return Receipt(payment)


def effect(payment: int) -> None:
    """Pay."""
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO effects (payment) VALUES (%s)", [payment])


def seconds(request: HttpRequest) -> float:
    """How long the processor takes."""
    return float(request.headers.get("X-Seconds", "0"))


def effects(request: HttpRequest) -> JsonResponse:
    """How often each payment was made."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT payment, count(*) FROM effects GROUP BY payment")
        return JsonResponse({str(payment): times for payment, times in cursor.fetchall()})


urlpatterns = [
    path("pay/<int:payment>/", pay),
    path("apay/<int:payment>/", apay),
    path("effects/", effects),
]
