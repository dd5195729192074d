"""Whom a command speaks of, on its command line: a user, an address or a key."""

from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management import CommandError
from django.core.management.base import OutputWrapper

from django_ratelimit_gcra.users import named_address, named_user
from ratelimit_core import Config, Identity, Limiter, RequestInfo


def add_arguments(parser: ArgumentParser) -> None:
    """`--user`, `--ip` and `--key` (exactly one), `--bucket` and `--scope`."""
    one = parser.add_mutually_exclusive_group(required=True)
    one.add_argument("--user", metavar="PK", help="a user by primary key")
    one.add_argument("--ip", metavar="ADDRESS", help="a client address")
    one.add_argument("--key", help="any other identity, as `identity=` names it")
    parser.add_argument("--bucket", help="one bucket; all of them if not given")
    parser.add_argument("--scope", help="the scope that narrows the identity, as `scope=` gives it")


def named(options: Mapping[str, Any], config: Config) -> Identity:
    """The identity that the options name, spelled as a request would be charged; raises CommandError."""
    if options["user"] is not None:
        return user(options["user"])
    if options["ip"] is not None:
        return _address(options["ip"], config)
    if options["key"] == "":
        raise CommandError("--key = '' names nobody: give the key that `identity=` returns")
    return Identity.key(options["key"])


def user(text: str) -> Identity:
    """A user by primary key; raises CommandError."""
    found = named_user(text)
    if found is None:
        label = get_user_model()._meta.label  # noqa: SLF001 - a documented interface of Django
        raise CommandError(f"--user = {text!r} is no primary key of {label}: give a number or whatever it is")
    return found


def buckets(options: Mapping[str, Any], config: Config) -> tuple[str, ...]:
    """The bucket named, or all; raises CommandError for one that doesn't exist."""
    name: str | None = options["bucket"]
    if name is None:
        return tuple(config.policies)
    if name not in config.policies:
        raise CommandError(f"--bucket = {name!r} doesn't exist; the buckets are {', '.join(config.policies)}")
    return (name,)


def as_request(identity: Identity) -> Identity | RequestInfo:
    """An address as a request from there: it has no user, which some buckets require."""
    return RequestInfo(peer=identity.value.partition("/")[0]) if identity.kind == "ip" else identity


def note_memory(limiter: Limiter, stderr: OutputWrapper) -> None:
    """Say what to know before believing what a command finds in a store in memory."""
    if limiter.store.describe()["kind"] == "memory":
        stderr.write(
            "note: RATE_LIMIT_STORE_URL is memory://, so this command has a memory of its own, not the server's"
        )


def _address(text: str, config: Config) -> Identity:
    found = named_address(text, config)
    if found is None:
        raise CommandError(f"--ip = {text!r} is no address: give one such as 203.0.113.9 or 2001:db8::1")
    return found
