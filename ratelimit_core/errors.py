"""What can go wrong, by name. A refusal is not an error: it is a `Decision`."""


class RateLimitError(Exception):
    """The base of every error raised by the three packages."""


class ConfigurationError(RateLimitError, ValueError):
    """A setting can't be used; the message names it, its value and what is accepted."""

    def __init__(self, setting: str, value: object, accepted: str) -> None:
        self.setting = setting
        self.value = value
        self.accepted = accepted
        super().__init__(f"{setting} = {_shown(value)} can't be used: {accepted}")

    def within(self, place: str) -> "ConfigurationError":
        """The same error, with the setting or bucket it was found in."""
        return ConfigurationError(f"{place}: {self.setting}", self.value, self.accepted)


class IdentityError(RateLimitError, ValueError):
    """Nobody can be charged under this value."""


class CostError(RateLimitError, ValueError):
    """A cost is not a whole number of units, zero or more."""

    def __init__(self, cost: object) -> None:
        super().__init__(f"cost = {_shown(cost)} can't be charged: give a whole number of units, 0 or more")


class StoreError(RateLimitError):
    """The store did not answer as it should; the flow decides what that means for a request.

    `kind` is one of a closed set (`timeout`, `connection`, `breaker_open`, `busy`, `corrupt`, `refused`), fit for
    a metric's label. `wait_us` is how long, in microseconds, until another try makes sense.
    """

    def __init__(self, kind: str, detail: str, wait_us: int = 1_000_000) -> None:
        self.kind = kind
        self.wait_us = wait_us
        super().__init__(f"{kind}: {detail}")


class TestModeError(RateLimitError):
    """Test mode was asked for in a process that serves real requests."""

    __test__ = False  # pytest collects classes by the name's first four letters


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}... ({len(text)} characters)"


def check_counts(**numbers: object) -> None:
    """Raise ConfigurationError for one that is no whole number of 1 or more."""
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ConfigurationError(name, value, "a whole number, at least 1")
