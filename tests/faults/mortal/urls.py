"""Its two pages: one pays, one says how often something was paid."""

import json
import time

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
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO effects (payment) VALUES (%s)", [payment])
    deaths.at("after the effect")
    time.sleep(float(request.headers.get("X-Seconds", "0")))
    return Receipt(payment)


def effects(request: HttpRequest) -> JsonResponse:
    """How often each payment was made."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT payment, count(*) FROM effects GROUP BY payment")
        return JsonResponse({str(payment): times for payment, times in cursor.fetchall()})


urlpatterns = [path("pay/<int:payment>/", pay), path("effects/", effects)]
