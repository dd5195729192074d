"""`ratelimit_probe`: proof that a running site enforces its limits, or a non-zero exit."""

import time
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import SplitResult, urlsplit

from django.core.management import BaseCommand, CommandError

from django_ratelimit_gcra.management.probes import Answer, ProbeError, ask, not_enforcing, unfit, unit_s, wrong
from django_ratelimit_gcra.probing import BUCKET, make_ticket

_MOST = 50  # requests: a dedicated bucket is small


class Command(BaseCommand):
    """Send as many requests as the probe's bucket admits and some more; fail unless exactly those are refused."""

    help = (
        "Prove that a running site enforces: send what the bucket 'probe' admits and some more, and fail unless just "
        "those are refused. The URL is that of django_ratelimit_gcra.probing.probe; run it with the site's SECRET_KEY."
    )
    requires_system_checks = []  # it must work on a site that has other troubles

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the address and how thorough to be."""
        parser.add_argument("url", help="such as https://example.org/ratelimit/probe/")
        parser.add_argument("--refusals", type=int, default=3, metavar="N", help="how many to ask for (3)")
        parser.add_argument("--wait", action="store_true", help="also wait as told, and be admitted")
        parser.add_argument(
            "--enforcing", action="append", default=[], metavar="BUCKET", help="fail unless this bucket enforces, too"
        )
        parser.add_argument(
            "--header", action="append", default=[], metavar="NAME:VALUE", help="send this as well, such as Host"
        )
        parser.add_argument("--timeout", type=float, default=10, metavar="SECONDS", help="for one answer (10)")

    def handle(self, *args: object, **options: Any) -> None:
        """Ask, and say what was seen; raise CommandError where that proves nothing, or the opposite."""
        url = _url(options["url"])
        headers = _headers(options["header"])
        if not 1 <= options["refusals"] <= _MOST:
            raise CommandError(f"--refusals = {options['refusals']}: give a number from 1 to {_MOST}")
        ticket = make_ticket()

        def one() -> Answer:
            return ask(url, ticket, headers, options["timeout"])

        try:
            refused = self._prove(one, options["refusals"], options["enforcing"])
            if options["wait"]:
                self._wait(one, refused)
        except ProbeError as error:
            raise CommandError(str(error)) from error

    def _prove(self, one: Callable[[], Answer], refusals: int, enforcing: Sequence[str]) -> Answer:
        """The last refusal, if all is as it should be."""
        started_s = time.monotonic()
        first = one()
        reason = unfit(first, _MOST)
        if reason is not None:
            raise CommandError(f"nothing can be proved: {reason}")
        limit = first.number("x-ratelimit-limit") or 0
        answers = [first, *(one() for _ in range(limit - 1 + refusals))]
        took_s = time.monotonic() - started_s
        counts = Counter(answer.status for answer in answers)
        seen = ", ".join(f"{count} x {status}" for status, count in counts.items())
        self.stdout.write(f"{len(answers)} requests in {took_s:.2f} s: {seen}")
        found = [*wrong(answers, limit), *not_enforcing(answers, (BUCKET, *enforcing))]
        if not found:
            self.stdout.write(f"enforced: exactly {limit} admitted, and {refusals} refused")
            return answers[-1]
        unit = unit_s(first)
        if unit is not None and took_s > unit[0]:
            found.append(f"a unit comes back in {unit[1]:g} s, meanwhile: give the bucket {BUCKET} a slower quota")
        self.stdout.write("\n".join(found))
        raise CommandError(f"not proved: {counts[429]} of {refusals} refused, {len(found)} findings")

    def _wait(self, one: Callable[[], Answer], refused: Answer) -> None:
        seconds = refused.number("retry-after") or 0
        self.stdout.write(f"waiting {seconds} s, as told")
        time.sleep(seconds)
        answer = one()
        if answer.status != 200:
            raise CommandError(f"after {seconds} s, which Retry-After named, the answer is {answer.status}, not 200")
        self.stdout.write("admitted")


def _url(text: str) -> SplitResult:
    try:
        url = urlsplit(text)
        if url.scheme in ("http", "https") and url.hostname and url.port != 0:
            return url
    except ValueError:  # brackets or a port that are none
        pass
    raise CommandError(f"URL = {text!r}: give an address such as https://example.org/ratelimit/probe/")


def _headers(given: Iterable[str]) -> Mapping[str, str]:
    pairs = [text.partition(":") for text in given]
    for name, colon, _ in pairs:
        if not name.strip() or not colon:
            raise CommandError(f"--header = {name!r}: write a name, a colon and a value, such as Host:example.org")
    return {name.strip(): value.strip() for name, _, value in pairs}
