"""Commands become scripts, keys and arguments; replies become numbers, or an error that says what came instead."""

from hashlib import sha1

import pytest

from ratelimit_core import StoreError
from ratelimit_core.commands import Acquire, Charge, Peek, Reset
from ratelimit_core.stores.wire import SERVER_CLOCK, decode, encode

A, B, C = Charge("a", 30, 10), Charge("b", 50, 25), Charge("c", 7, 0)


def test_an_acquire_is_its_keys_and_three_numbers_for_each() -> None:
    call = encode(Acquire((A,), ((B, C), (A,)), patient=True), 17)
    assert call.keys == ("a", "b", "c", "a")
    assert call.arguments == (17, 30, 10, 0, 50, 25, 1, 7, 0, 1, 30, 10, 2)
    assert call.patient


def test_a_peek_is_never_patient_and_a_reset_needs_only_keys() -> None:
    peek = encode(Peek((A, B)), SERVER_CLOCK)
    assert (peek.keys, peek.arguments, peek.patient) == (("a", "b"), (SERVER_CLOCK, 30, 10, 0, 50, 25, 0), False)
    reset = encode(Reset(("a", "b")), 5)
    assert (reset.keys, reset.arguments, reset.patient) == (("a", "b"), (5,), False)


def test_every_command_has_a_script_of_its_own_named_by_its_digest() -> None:
    scripts = {encode(command, SERVER_CLOCK).script for command in (Acquire((A,)), Peek((A,)), Reset(("a",)))}
    assert len(scripts) == 3
    for source, digest in scripts:
        assert sha1(source.encode(), usedforsecurity=False).hexdigest() == digest
        assert source.isascii()


def test_numbers_are_a_reply() -> None:
    assert decode([17, -3, 1 << 52], 3) == (17, -3, 1 << 52)
    assert decode([17], 1) == (17,)


@pytest.mark.parametrize("reply", [None, b"OK", 17, [17, b"3"], [17, None], [17, 1.5], {}, "x" * 1_000])
def test_anything_else_is_a_corrupt_store(reply: object) -> None:
    with pytest.raises(StoreError, match="corrupt: the script replied ") as raised:
        decode(reply, 2)
    assert raised.value.kind == "corrupt"
    assert len(str(raised.value)) < 150


@pytest.mark.parametrize(
    "reply",
    [
        [[17, 5], 99, 0, 0, 0, b""],
        [[17, 5], 0, None, 0, 0, b""],
        [[17], 0, 0, 0, 0, b""],
        [[17, 5], 0, 0, 0, 0, "text"],
        [[17, 5], 0, 0, 0, 0],
    ],
)
def test_a_shielded_reply_of_another_form_is_a_corrupt_store(reply: object) -> None:
    with pytest.raises(StoreError, match="corrupt"):
        decode(reply, 2)


@pytest.mark.parametrize("reply", [[], [17], [17, 5, 5]])
def test_a_reply_of_another_length_is_a_corrupt_store(reply: object) -> None:
    with pytest.raises(StoreError, match="corrupt"):
        decode(reply, 2)
