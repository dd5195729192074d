"""The backend that Django's `ENGINE` names."""

from django.db.backends.sqlite3 import base

from tests.faults.mortal.deaths import MortalCommit


class DatabaseWrapper(MortalCommit, base.DatabaseWrapper):
    """Dies around a commit."""
