"""What an ASGI scope says about a request, in the core's words; and what the doors of one request share in it."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, NamedTuple, TypedDict, TypeVar, cast
from uuid import UUID

from ratelimit_core import Admission, Identity, IdentityError, Limiter, RequestInfo
from ratelimit_core.identity import UNIX

# ASGI's own values have no closer type; these are the aliases that Starlette uses too.
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
# Frameworks disagree about dict, Mapping and MutableMapping; any of their applications may be wrapped.
ASGIApp = Callable[[Any, Any, Any], Awaitable[None]]
Value = TypeVar("Value")

KEY = "asgi_ratelimit"
_NAMES = ("pk", "id", "identity", "username")


class Taken(NamedTuple):
    """An admission that holds something which `prior` did not hold, and the limiter that settles it."""

    limiter: Limiter
    admission: Admission
    prior: Admission | None


class State(TypedDict):
    """Lies in the scope under `KEY`. A door inside reads `admission` and puts its own, merged one in its place.

    `rendered` says that a middleware outside adds the headers. `taken` is what the innermost middleware has to
    settle: a door of another package settles what it took itself. `released` is the reason given to `release()`;
    `raised` says that the endpoint failed, whatever an exception handler made of it.
    """

    admission: Admission | None
    limiter: Limiter
    rendered: bool
    taken: list[Taken]
    released: str | None
    raised: bool


def entered(scope: Scope, limiter: Limiter, *, rendered: bool) -> State:
    """Begin a request's state."""
    state: State = {
        "admission": None,
        "limiter": limiter,
        "rendered": rendered,
        "taken": [],
        "released": None,
        "raised": False,
    }
    scope[KEY] = state
    return state


def state_of(scope: Scope) -> State | None:
    """What the doors of this request share, if a door was passed already."""
    return cast("State | None", scope.get(KEY))


async def resolved(value: Value | Awaitable[Value]) -> Value:
    """The value that a callable returned, awaited if it has to be."""
    return await value if isinstance(value, Awaitable) else value


def request_info(scope: Scope, user: Identity | None) -> RequestInfo:
    """The request as the core wants it."""
    return RequestInfo(method_of(scope), app_path(scope), _peer(scope), _forwarded_for(scope), user)


def app_path(scope: Scope) -> str:
    """The path as the application's own routes are written: without the prefix it is served or mounted under."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "").rstrip("/")
    inside = root and path.startswith(root) and path[len(root) : len(root) + 1] in ("", "/")
    return (path[len(root) :] or "/") if inside else path


def method_of(scope: Scope) -> str:
    """The method in upper case: some servers pass on what the client wrote, and frameworks accept `post`."""
    method: str = scope["method"]
    return method.upper()


def identity_of(user: object) -> Identity | None:
    """The identity of what stands for a user: an Identity, a primary key, or a user object; None for nobody.

    User objects are those of Starlette, Django and Channels, or any with a `pk`, `id`, `identity` or `username`. One
    that is not authenticated, and one whose key is None because it was never saved, is nobody. Raises IdentityError
    for an object that has none of these.
    """
    if user is None or user is False or user == "":
        return None
    if isinstance(user, Identity):
        return user
    if isinstance(user, str | int | UUID):
        return Identity.user(user)
    if not getattr(user, "is_authenticated", True):
        return None
    for name in _NAMES:
        found, key = _read(user, name)
        if found:
            return None if key is None else Identity.user(key)
    raise IdentityError(f"a user of type {type(user).__name__} has no {', '.join(_NAMES)}: say who it is with user=")


def _read(user: object, name: str) -> tuple[bool, object]:
    try:
        return True, getattr(user, name)
    except (AttributeError, NotImplementedError):  # Starlette's SimpleUser has an `identity` that raises
        return False, None


def _peer(scope: Scope) -> str | None:
    """The socket's address; on a Unix socket there is none, and the server's port is None."""
    client = scope.get("client")
    if client and client[0]:
        return str(client[0])
    server = scope.get("server")
    return UNIX if server and server[1] is None else None


def _forwarded_for(scope: Scope) -> tuple[str, ...]:
    return tuple(value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for")
