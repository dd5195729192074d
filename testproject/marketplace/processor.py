"""A fake payment processor: it moves money whenever it is asked to, as the real ones do.

It never looks whether the same was asked before. Nothing in the marketplace does: one charge per payment is the work
of the ``financial`` bucket, and a second look here would hide its failures from the tests.
"""

from __future__ import annotations

import time

from django.conf import settings
from django.contrib.auth.models import User

from testproject.marketplace.models import Charge

DECLINED_CARD = "4000000000000002"


class CardDeclined(Exception):
    """The processor refused the card; no money moved."""


def charge(user: User, reference: str, amount_cents: int, card: str) -> Charge:
    """Take money from a card; raises CardDeclined, in which case nothing is written."""
    _work()
    if card == DECLINED_CARD:
        raise CardDeclined("The card was declined.")
    return _write(user, Charge.Kind.PAYMENT, reference, amount_cents)


def send(user: User, reference: str, amount_cents: int) -> Charge:
    """Send money to somebody."""
    _work()
    return _write(user, Charge.Kind.PAYOUT, reference, amount_cents)


def _work() -> None:
    if settings.PROCESSOR_SECONDS:
        time.sleep(settings.PROCESSOR_SECONDS)


def _write(user: User, kind: Charge.Kind, reference: str, amount_cents: int) -> Charge:
    return Charge.objects.create(user=user, kind=kind, reference=reference, amount_cents=amount_cents)
