"""Foreign text: bounded, and with nothing in it that acts."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_ratelimit_gcra.dashboard.legible import brief, legible
from tests.foreign_texts import NASTY


@pytest.mark.parametrize("text", NASTY)
def test_what_would_act_is_shown_as_its_code(text: str) -> None:
    shown = legible(text)
    assert {unicodedata.category(one) for one in shown} & {"Cc", "Cf", "Cs"} == set()
    assert len(shown) <= 500
    shown.encode()


def test_plain_and_foreign_letters_stay() -> None:
    assert legible("user:42") == "user:42"
    assert legible("key:J\u00fcrg \u4e2d \U0001f4a9") == "key:J\u00fcrg \u4e2d \U0001f4a9"
    assert legible("user:\u202e24") == "user:\\u{202e}24"


def test_a_table_has_room_for_little() -> None:
    assert len(brief("x" * 200)) == 80
    assert brief("x" * 200).endswith("x\u2026")


@given(st.text(max_size=50))
def test_nothing_is_lost_of_a_short_text(text: str) -> None:
    assert len(legible(text)) >= len(text)
