"""How identities are written down: bounded, storable, and hashed with a key."""

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_ratelimit_gcra.recording import names

HOSTILE = ["user:\0", "user:\ud800", "x" * 10_000, "\U0001f4a5" * 500, "\0" * 170, "\u202eevil", "<b>", ""]
surrogates = st.text(st.characters(codec=None, categories=("L", "Cs", "Cc", "So")), max_size=300)


@pytest.mark.parametrize("text", HOSTILE)
def test_every_database_takes_a_storable_text(text: str) -> None:
    stored = names.storable(names.bounded(text))
    assert len(stored) <= 200
    assert "\0" not in stored
    stored.encode("utf-8")
    assert names.storable(stored) == stored


@given(surrogates)
def test_spelling_twice_changes_nothing(text: str) -> None:
    stored = names.storable(names.bounded(text))
    assert names.storable(names.bounded(stored)) == stored


def test_a_short_text_is_itself_and_long_ones_stay_apart() -> None:
    assert names.bounded("user:42") == names.storable("user:42") == "user:42"
    one, other = names.bounded("x" * 1_000 + "a"), names.bounded("x" * 1_000 + "b")
    assert one != other
    assert one.startswith("x" * 60 + "~")


def test_a_hash_has_eight_bytes_and_depends_on_key_identity_and_scope() -> None:
    made = [
        names.keyed_hash(b"k" * 32, ("user:1", None)),
        names.keyed_hash(b"k" * 32, ("user:2", None)),
        names.keyed_hash(b"k" * 32, ("user:1", "room")),
        names.keyed_hash(b"K" * 32, ("user:1", None)),
    ]
    assert [len(one) for one in made] == [8] * 4
    assert len(set(made)) == 4


def test_the_key_comes_from_secret_key(settings: object) -> None:
    before = names.hash_key()
    settings.SECRET_KEY = "another one, another one, another one"  # type: ignore[attr-defined]  # pytest-django's
    assert names.hash_key() != before


def test_a_hashed_name_keeps_its_kind_and_leads_to_its_samples() -> None:
    hash_of = partial(names.keyed_hash, names.hash_key())
    hashed = names.hashed("user:42", hash_of)
    assert hashed.startswith("user:~")
    assert "42" not in hashed.removeprefix("user:~") or len(hashed) == 17
    assert names.sample_name(hashed) == names.sample_name("user:42") == hash_of(("user:42", None)).hex()
    assert names.hashed("nobody", hash_of).startswith("key:~")
