"""`ratelimit_coverage`: every URL pattern with the bucket that protects it, and why; for people and for CI."""

import json
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from typing import Any

from django.core.management import BaseCommand, CommandError

from django_ratelimit_gcra import overrides, runtime
from django_ratelimit_gcra.checks import has_middleware
from django_ratelimit_gcra.protection import MONEY, Covered, coverage, is_money, lacks
from ratelimit_core import Config


class Command(BaseCommand):
    """List what protects every place; fail when one that looks like money is not protected."""

    help = (
        "Show every URL pattern with the bucket that protects it, and why. Fails when a place that looks like money is "
        "exempt, unprotected, only observed, or writes in the bucket for reading."
    )
    requires_system_checks = []  # it must work on a site that has other troubles

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add what looks like money, what is meant to be as it is, and `--json`."""
        parser.add_argument(
            "--money", metavar="WORDS", help=f"what is in the path or name of such a place ({','.join(MONEY)})"
        )
        parser.add_argument(
            "--allow", action="append", default=[], metavar="PLACE", help="a path or name that is meant to be as it is"
        )
        parser.add_argument("--json", action="store_true", help="for programs")

    def handle(self, *args: object, **options: Any) -> None:
        """Print; raise CommandError last, when all is said."""
        words = _words(options["money"])
        overrides.refresh()
        places = [_place(covered, words, options["allow"]) for covered in _covered(runtime.limiter().config)]
        unknown = set(options["allow"]) - {name for one in places for name in (one["place"], one["name"])}
        if unknown:
            raise CommandError(f"--allow = {', '.join(sorted(unknown))}: no place has this path or name")
        self.stdout.write(json.dumps({"places": places}, indent=2) if options["json"] else "\n".join(_text(places)))
        bad = [one["place"] for one in places if one["lacks"]]
        if bad:
            raise CommandError(f"{len(bad)} that look like money are not protected: {', '.join(bad)}")


def _covered(config: Config) -> Iterator[Covered]:
    return coverage(config, has_middleware())


def _words(given: str | None) -> tuple[str, ...]:
    if given is None:
        return MONEY
    words = tuple(word.strip().lower() for word in given.split(",") if word.strip())
    if not words:
        raise CommandError(f"--money = {given!r}: give words with commas between them, such as pay,checkout")
    return words


def _place(covered: Covered, words: Sequence[str], allowed: Sequence[str]) -> dict[str, Any]:
    route = covered.route
    name = None if route.url_name is None else ":".join((*route.namespaces, route.url_name))
    money = is_money(route, words)
    return {
        "place": route.place,
        "name": name,
        "view": route.name,
        "any_method": covered.any_method,
        "protections": [one._asdict() for one in covered.protections],
        "money": money,
        "lacks": list(lacks(covered)) if money and not {route.place, name}.intersection(allowed) else [],
    }


def _text(places: Sequence[dict[str, Any]]) -> Iterator[str]:
    rows = [("place", "methods", "bucket", "", "why")]
    for one in places:
        for found in one["protections"]:
            methods = ", ".join(found["methods"]) + (", ..." if one["any_method"] else "")
            rows.append((one["place"], methods, ", ".join(found["buckets"]) or "-", found["state"], found["why"]))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    for one in places:
        for lack in one["lacks"]:
            yield f"{one['place']} ({one['view']}) looks like money, and {lack}"
