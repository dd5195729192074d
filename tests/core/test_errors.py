"""Errors: one base, and messages that say what to do."""

import pytest

import ratelimit_core
from ratelimit_core import ConfigurationError, CostError, IdentityError, RateLimited, RateLimitError, StoreError
from ratelimit_core.errors import TestModeError


@pytest.mark.parametrize("kind", [ConfigurationError, CostError, IdentityError, RateLimited, StoreError, TestModeError])
def test_every_error_has_one_base(kind: type[Exception]) -> None:
    assert issubclass(kind, RateLimitError)


@pytest.mark.parametrize("kind", [ConfigurationError, CostError, IdentityError])
def test_a_wrong_value_is_a_value_error_too(kind: type[Exception]) -> None:
    assert issubclass(kind, ValueError)


def test_every_public_error_is_listed() -> None:
    public = {name for name in ratelimit_core.__all__ if isinstance(getattr(ratelimit_core, name), type)}
    assert {name for name in public if issubclass(getattr(ratelimit_core, name), Exception)} == {
        *("ConfigurationError", "CostError", "IdentityError", "RateLimitError", "RateLimited", "StoreError"),
    }


def test_a_configuration_error_names_setting_value_and_what_is_accepted() -> None:
    error = ConfigurationError("RATE_LIMIT_X", "bad", "good")
    assert str(error) == "RATE_LIMIT_X = 'bad' can't be used: good"
    assert str(error.within("RATE_LIMIT_ALL")) == "RATE_LIMIT_ALL: RATE_LIMIT_X = 'bad' can't be used: good"


def test_a_huge_value_is_cut() -> None:
    assert len(str(ConfigurationError("X", "y" * 10_240, "less"))) < 300
    assert len(str(CostError(["y"] * 10_240))) < 300


def test_a_store_error_says_its_kind_and_when_to_try_again() -> None:
    error = StoreError("timeout", "no reply within 50 ms", wait_us=5)
    assert (str(error), error.kind, error.wait_us) == ("timeout: no reply within 50 ms", "timeout", 5)
    assert StoreError("busy", "").wait_us == 1_000_000
