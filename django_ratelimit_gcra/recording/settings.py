"""What the settings say of records."""

from enum import StrEnum
from typing import NamedTuple


class Identities(StrEnum):
    """How identities are written down; samples only ever carry a keyed hash."""

    PLAIN = "plain"
    HASHED = "hashed"
    NONE = "none"


class Settings(NamedTuple):
    """Whether to record, how identities are spelled, and for how many days aggregates are kept."""

    record: bool = True
    identities: Identities = Identities.PLAIN
    days: int = 14


def read() -> Settings:
    """The settings as they stand now."""
    return Settings()
