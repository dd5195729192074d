"""Whom a request is charged to."""

from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.utils.functional import LazyObject
from starlette.authentication import BaseUser, SimpleUser, UnauthenticatedUser

from asgi_ratelimit import RateLimitMiddleware
from asgi_ratelimit.scope import Scope, identity_of, method_of
from ratelimit_core import Bucket, Identity, IdentityError
from tests.asgi.driving import Hello, drive, limiter_of

ADDRESS = "ip:203.0.113.9"


class Lazy(LazyObject):  # type: ignore[type-arg]  # generic in its stubs only
    """What Channels puts into the scope: a wrapper that is filled before the application runs."""

    def __init__(self, user: object) -> None:
        super().__init__()
        self._wrapped = user


class Account:
    """A user of somebody's own making."""

    def __init__(self, **fields: object) -> None:
        self.__dict__.update(fields)


class OldUser(BaseUser):
    """What Starlette's SimpleUser was before it had an `identity`."""

    username = "bob"
    is_authenticated = True


async def charged(user: Any = None, **scope: Any) -> str:
    """Whom a request is charged to, as its admission says."""
    app = Hello()
    await drive(RateLimitMiddleware(app, limiter_of(**scope.pop("config", {})), user=user), **scope)
    return str(app.scopes[0]["asgi_ratelimit"]["admission"].decision.identity)


@pytest.mark.parametrize(
    ("user", "identity"),
    [
        (SimpleUser("ann"), "user:ann"),
        (OldUser(), "user:bob"),
        (UnauthenticatedUser(), ADDRESS),
        (User(pk=42), "user:42"),
        (User(pk=0), "user:0"),
        (User(), ADDRESS),
        (AnonymousUser(), ADDRESS),
        (Lazy(User(pk=7)), "user:7"),
        (Lazy(AnonymousUser()), ADDRESS),
        (Account(id=5), "user:5"),
        (Account(identity="a-b"), "user:a-b"),
        (Account(id=5, is_authenticated=False), ADDRESS),
        (UUID(int=1), "user:00000000-0000-0000-0000-000000000001"),
        ("ann", "user:ann"),
        (0, "user:0"),
        (None, ADDRESS),
        (Identity.key("job"), "key:job"),
    ],
)
async def test_the_user_of_the_scope_is_charged_and_nobody_is_an_address(user: object, identity: str) -> None:
    assert await charged(user=lambda scope: user) == identity
    app = Hello()
    await drive(RateLimitMiddleware(app, limiter_of()), user=user)
    assert str(app.scopes[0]["asgi_ratelimit"]["admission"].decision.identity) == identity


async def test_a_callable_may_be_a_coroutine_and_knows_better_than_the_scope() -> None:
    async def known(scope: Scope) -> int:
        return 42

    app = Hello()
    await drive(RateLimitMiddleware(app, limiter_of(), user=known), user=User(pk=7))
    assert str(app.scopes[0]["asgi_ratelimit"]["admission"].decision.identity) == "user:42"


@pytest.mark.parametrize("user", [None, False, ""])
def test_nobody_is_nobody(user: object) -> None:
    assert identity_of(user) is None


def test_a_method_counts_in_any_case() -> None:
    assert method_of({"type": "http", "method": "post"}) == "POST"


@pytest.mark.parametrize("user", [Account(name="x"), Account(id="")])
def test_a_user_that_can_not_be_named_is_an_error_that_says_what_to_do(user: object) -> None:
    with pytest.raises(IdentityError, match=r"say who it is with user=|names nobody"):
        identity_of(user)


@pytest.mark.parametrize(
    ("client", "server", "identity"),
    [
        (("198.51.100.7", 1), ("testserver", 80), "ip:198.51.100.7"),
        (("2001:db8::1", 1), ("testserver", 80), "ip:2001:db8::/64"),
        (None, ("testserver", 80), "ip:unknown"),
        (None, None, "ip:unknown"),
        (("", 0), ("/run/app.sock", None), "ip:unknown"),
        (("198.51.100.7", 0), ("/run/app.sock", None), "ip:198.51.100.7"),
    ],
)
async def test_the_peer_is_the_socket(client: Any, server: Any, identity: str) -> None:
    assert await charged(client=client, server=server) == identity


@pytest.mark.parametrize("client", [None, ("", 0)])
async def test_a_trusted_unix_socket_forwards(client: Any) -> None:
    identity = await charged(
        client=client,
        server=("/run/app.sock", None),
        headers=[("X-Forwarded-For", "198.51.100.1"), ("X-Forwarded-For", "198.51.100.2")],
        config={"trusted_proxies": ("unix",)},
    )
    assert identity == "ip:198.51.100.2"


async def test_all_forwarding_lines_are_read_in_order_behind_a_trusted_proxy() -> None:
    lines = [("X-Forwarded-For", "198.51.100.1, 198.51.100.2"), ("X-Forwarded-For", "203.0.113.8")]
    trusted = {"trusted_proxies": ("203.0.113.0/24",)}
    assert await charged(headers=lines, config=trusted) == "ip:198.51.100.2"
    assert await charged(headers=lines) == ADDRESS


async def test_two_users_behind_one_address_have_two_budgets_and_one_user_on_two_addresses_has_one() -> None:
    limited = RateLimitMiddleware(Hello(), limiter_of(Bucket("read", quota="1/m:1")))
    assert (await drive(limited, user=User(pk=1))).status == 200
    assert (await drive(limited, user=User(pk=2))).status == 200
    assert (await drive(limited, user=User(pk=1), client=("198.51.100.7", 1))).status == 429


async def test_an_anonymous_payment_is_401_and_costs_nobody_anything() -> None:
    app = Hello()
    limiter = limiter_of(Bucket("financial", quota="5/m:1", require_user=True))
    limited = RateLimitMiddleware(app, limiter, default="financial")
    assert [(await drive(limited, "/pay", "POST")).status for _ in range(3)] == [401, 401, 401]
    assert app.runs == 0
    assert limiter.peek(Identity.ip("203.0.113.9"), "financial").verdict == "user_required"
    assert limiter.store.describe()["keys"] == 0
