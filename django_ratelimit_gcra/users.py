"""Who is signed in, as an identity, without loading a session that isn't there; and whom an operator names.

Reading `request.user` loads the session: that costs queries and adds `Vary: Cookie` to a page that could be cached.
"""

from typing import cast

from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.contrib.auth import middleware as django_auth
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject, empty

from django_ratelimit_gcra.state import base_request
from ratelimit_core import Config, Identity
from ratelimit_core.identity import AddressNote


def user_of(request: object) -> Identity | None:
    """The user of Django's request, or of REST framework's, which has authenticated by then."""
    base = base_request(request)
    if request is base and _is_unread(base) and not _may_be_known(base):
        return None
    return identity_of(getattr(request, "user", None))


async def auser_of(request: object) -> Identity | None:
    """The same in an event loop."""
    base = base_request(request)
    if request is base and _is_unread(base):
        return identity_of(await base.auser()) if _may_be_known(base) else None
    if request is base and not _is_lazy(getattr(base, "user", None)):
        return identity_of(getattr(base, "user", None))
    return await sync_to_async(user_of)(request)


def identity_of(user: object) -> Identity | None:
    """A user who can be told from others; somebody without a primary key is charged by address."""
    pk = getattr(user, "pk", None) if getattr(user, "is_authenticated", False) else None
    return None if pk is None or pk == "" else Identity.user(pk)


def named_user(text: str) -> Identity | None:
    """A user by primary key, as the database knows it (a UUID with and without hyphens); None for what is no key."""
    try:
        value = cast("object", get_user_model()._meta.pk.to_python(text))  # noqa: SLF001 - a documented interface of Django
    except ValidationError:
        return None
    return None if value is None or value == "" else Identity.user(value)


def named_address(text: str, config: Config) -> Identity | None:
    """An address, or a network as it is shown, spelled as a request from there is charged; None for no address."""
    located = config.proxies.locate(text.partition("/")[0], ())
    return None if located.note is AddressNote.NO_PEER and text != "unknown" else located.identity


def _is_lazy(user: object) -> bool:
    """Whether reading this user would run somebody's code; asking the object itself would, so its type is asked."""
    return type(user) is SimpleLazyObject and vars(user)["_wrapped"] is empty


def _is_unread(request: HttpRequest) -> bool:
    """Whether this is the user that Django's own middleware promised, and nobody has read or replaced it."""
    user = getattr(request, "user", None)
    if not _is_lazy(user) or "_cached_user" in vars(request):
        return False
    return getattr(vars(user)["_setupfunc"], "__module__", "") == django_auth.__name__


def _may_be_known(request: HttpRequest) -> bool:
    """Whether there is a session that may hold a user, or another middleware has set `auser`."""
    if getattr(getattr(request, "session", None), "session_key", None) is not None:
        return True
    return getattr(getattr(request, "auser", None), "func", None) is not django_auth.auser
