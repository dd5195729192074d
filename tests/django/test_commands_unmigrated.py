"""Before `migrate`, the commands that read or write rows say so, and what to do."""

from typing import Any

import pytest
from django.core.management import CommandError, call_command

from tests import databases

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "arguments",
    [
        ("ratelimit_shadow",),
        ("ratelimit_shadow", "--json"),
        ("ratelimit_prune",),
        ("ratelimit_switch", "--history"),
        ("ratelimit_switch", "--kill", "--reason=x"),
    ],
)
def test_without_its_tables_a_command_says_what_to_do(arguments: tuple[str, ...], tmp_path: Any) -> None:
    empty = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "empty.sqlite3")}
    with databases.unmigrated(empty), pytest.raises(CommandError, match=r"no such table.*run migrate"):
        call_command(*arguments)
