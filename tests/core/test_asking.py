"""What can't be asked of a limiter says so at once, in plain words."""

from typing import Any

import pytest

from ratelimit_core import Bucket, Config, ConfigurationError, Identity, IdentityError, Limiter, Rule
from ratelimit_core.asking import ask
from ratelimit_core.stores import MemoryStore

ALICE = Identity.user("alice")


def limiter() -> Limiter:
    return Limiter(Config(buckets=[Bucket("read", quota="60/m:10")]), store=MemoryStore())


def test_a_text_is_nobody() -> None:
    with pytest.raises(IdentityError, match="who = 'alice' can't be charged: give an Identity or a RequestInfo"):
        limiter().admit("alice", "read")  # type: ignore[arg-type]  # that is the point


def test_an_unknown_option_is_not_ignored() -> None:
    options: Any = {"scpe": "room"}
    with pytest.raises(TypeError, match="no such option: scpe"):
        limiter().admit(ALICE, "read", **options)


@pytest.mark.parametrize("name", ["scope", "route"])
def test_a_scope_and_a_route_are_text(name: str) -> None:
    options: Any = {name: 5}
    with pytest.raises(IdentityError, match=f"{name} = 5 can't be used: give text or None"):
        limiter().admit(ALICE, "read", **options)


@pytest.mark.parametrize("name", ["url_name", "namespace"])
def test_a_rule_names_places_in_text(name: str) -> None:
    given: Any = {name: 5}
    with pytest.raises(ConfigurationError, match=f"rule {name} = 5 can't be used: a name, as text"):
        Rule("read", **given)


def test_a_configuration_does_not_show_its_password() -> None:
    shown = repr(Config(buckets=[Bucket("read", quota="60/m:10")], store_url="redis://user:secret@host/0"))
    assert "secret" not in shown


def test_no_randomness_is_drawn_for_a_bucket_that_holds_nothing() -> None:
    """The system's randomness costs more than the decision, and only a lease or a claim needs a token."""
    config = Config(
        buckets=[Bucket("read", quota="60/m:10"), Bucket("job", quota="60/m:10", concurrency=1, store_down="closed")]  # type: ignore[arg-type]  # as settings say it
    )
    assert ask(config, ALICE, "read", 1, {"route": "/"}).wish.token == ""
    assert ask(config, ALICE, ("read", "job"), 1, {}).wish.token != ask(config, ALICE, "job", 1, {}).wish.token != ""
