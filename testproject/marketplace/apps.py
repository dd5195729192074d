"""The Django app."""

from __future__ import annotations

from django.apps import AppConfig


class MarketplaceConfig(AppConfig):
    """Registers the models under the label ``marketplace``."""

    name = "testproject.marketplace"
