"""`ratelimit_reset`: forget what somebody has spent, or end a request whose outcome is in doubt."""

import getpass
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management import BaseCommand, CommandError

from django_ratelimit_gcra import overrides, runtime
from django_ratelimit_gcra.management import who
from django_ratelimit_gcra.resolution import CONTENT_TYPE, Word, resolve
from ratelimit_core import ConfigurationError, Identity, Limiter, StoreError
from ratelimit_core.idempotency import read_key

_ANSWERS = range(200, 400)


class Command(BaseCommand):
    """Forget what a user, an address or a key has spent, or with --idempotency resolve a record of theirs."""

    help = (
        "Forget what a user, an address or a key has spent, in one bucket or in all. With --idempotency: end a request "
        "whose outcome is unknown, by saying that it was completed, or that it may run again."
    )
    requires_system_checks = []  # it must work on a site that has other troubles

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options that name somebody, and those that resolve."""
        who.add_arguments(parser)
        resolving = parser.add_argument_group("with --idempotency")
        resolving.add_argument("--idempotency", action="store_true", help="resolve a record; needs --bucket")
        named = resolving.add_mutually_exclusive_group()
        named.add_argument("--idempotency-key", metavar="KEY", help="the key that the client sent")
        named.add_argument("--record", metavar="FINGERPRINT", help="the request's fingerprint, where it sent no key")
        ending = resolving.add_mutually_exclusive_group()
        ending.add_argument("--completed", type=int, metavar="STATUS", help="it was done: answer this from now on")
        ending.add_argument("--release", action="store_true", help="nothing was done: it may run again")
        resolving.add_argument("--body-file", metavar="FILE", help="the body of the answer; empty if not given")
        resolving.add_argument("--content-type", default="application/json", help="and its type (application/json)")
        resolving.add_argument(
            "--owner", metavar="PK", help="the user who sent it, where the view charged somebody else"
        )
        resolving.add_argument("--reason", default="", help="why; it is logged")

    def handle(self, *args: object, **options: Any) -> None:
        """Forget or resolve, and say what was done."""
        overrides.refresh()
        limiter = runtime.limiter()
        identity = who.named(options, limiter.config)
        who.note_memory(limiter, self.stderr)
        if options["idempotency"]:
            self._resolve(limiter, identity, options)
        else:
            self._forget(limiter, identity, options)

    def _forget(self, limiter: Limiter, identity: Identity, options: dict[str, Any]) -> None:
        scope = options["scope"]
        within = "" if scope is None else f" (scope {scope!r})"
        for name in who.buckets(options, limiter.config):
            try:
                count = limiter.reset(identity, name, scope)
            except StoreError as error:
                raise CommandError(f"{name}: nothing was forgotten, the store can't be reached ({error})") from error
            said = f"{count} quota{'s' if count > 1 else ''} forgotten" if count else "nothing was spent"
            self.stdout.write(f"{name}: {identity}{within}: {said}")

    def _resolve(self, limiter: Limiter, identity: Identity, options: dict[str, Any]) -> None:
        word = _word(limiter, identity, options)
        try:
            done, said = resolve(limiter, word, f"{getpass.getuser()}, ratelimit_reset")
        except StoreError as error:
            raise CommandError(f"nothing was resolved, the store can't be reached ({error})") from error
        except ConfigurationError as error:
            raise CommandError(str(error)) from error
        if not done:
            raise CommandError(f"{word.bucket}: {identity}: nothing was resolved: {said}")
        self.stdout.write(f"{word}: {said}")


def _word(limiter: Limiter, identity: Identity, options: dict[str, Any]) -> Word:
    """What the options say; raises CommandError for what they leave open."""
    key, fingerprint, status = options["idempotency_key"], options["record"], options["completed"]
    if options["bucket"] is None:
        raise CommandError("--idempotency needs --bucket: the bucket of the request")
    if key is None and fingerprint is None:
        raise CommandError("--idempotency needs --idempotency-key, or --record where the client sent no key")
    if key is not None and read_key(key) is None:
        raise CommandError(f"--idempotency-key = {key!r} is no key: 1 to 255 visible ASCII characters")
    if status is None and not options["release"]:
        raise CommandError("--idempotency needs --completed STATUS or --release: say what became of the request")
    if status is not None and status not in _ANSWERS:
        raise CommandError(f"--completed = {status}: give the status of a success, 200 to 399")
    if not CONTENT_TYPE.fullmatch(options["content_type"]):
        raise CommandError(
            f"--content-type = {options['content_type']!r}: give a type such as text/html; charset=utf-8"
        )
    if not options["reason"].strip():
        raise CommandError("--idempotency needs --reason: what do you know of the request, and from where?")
    (bucket,) = who.buckets(options, limiter.config)
    body = _body(options["body_file"])
    owner = None if options["owner"] is None else who.user(options["owner"])
    kind, reason = options["content_type"], options["reason"].strip()
    return Word(bucket, identity, key, fingerprint, status, body, kind, reason, owner)


def _body(path: str | None) -> bytes:
    try:
        return b"" if path is None else Path(path).read_bytes()
    except OSError as error:
        raise CommandError(f"--body-file = {path!r} can't be read ({error.strerror})") from error
