"""What a command says where the database can't be used, in place of a traceback."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.core.management import CommandError
from django.db import Error


@contextmanager
def needed(besides: str = "") -> Iterator[None]:
    """Within the block an error of the database's is a CommandError, which says what to do."""
    try:
        yield
    except Error as error:
        raise CommandError(
            f"the database can't be used{besides} ({error}); where a table or a column is missing, run migrate"
        ) from error
