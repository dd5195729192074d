"""`ratelimit_assets`: write out the Grafana dashboard, the Prometheus rules and the runbook that they link to."""

import re
from argparse import ArgumentParser
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

from django.core.management import BaseCommand, CommandError

_RUNBOOK = "runbook.md"
_URL = re.compile(r"https?://[^\s\"'#{}]+")


class Command(BaseCommand):
    """Write the files to a folder; all of them or none where one that is there differs."""

    help = "Write the Grafana dashboard, the Prometheus alert rules and their runbook to a folder."
    requires_system_checks = []  # it must work on a site that has other troubles

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the folder, `--force` and `--runbook-url`."""
        parser.add_argument("directory", metavar="DIR", help="where to; it is made if it is missing")
        parser.add_argument("--force", action="store_true", help="overwrite files that differ")
        parser.add_argument(
            "--runbook-url", metavar="URL", help="where your team reads the runbook: the alerts then link there"
        )

    def handle(self, *args: object, **options: Any) -> None:
        """Write, and say what was written and what was there already."""
        place = Path(options["directory"])
        wanted = {place / name: content for name, content in _assets(options["runbook_url"])}
        try:
            present = {path: path.read_bytes() for path in wanted if path.exists()}
            _refuse([path for path in present if present[path] != wanted[path]], force=options["force"])
            place.mkdir(parents=True, exist_ok=True)
            for path, content in wanted.items():
                if present.get(path) != content:
                    path.write_bytes(content)
        except OSError as error:
            raise CommandError(f"{error.filename}: can't be read or written ({error.strerror})") from error
        for path, content in wanted.items():
            self.stdout.write(f"{'unchanged' if present.get(path) == content else 'written'}: {path}")


def _assets(url: str | None) -> Iterator[tuple[str, bytes]]:
    """Name and content of each file; the rules link to the runbook at `url`, or to the file beside them."""
    if url is not None and not _URL.fullmatch(url):
        raise CommandError(f"--runbook-url = {url!r} can't be used: give http:// or https:// and no fragment")
    for asset in sorted(files("django_ratelimit_gcra").joinpath("assets").iterdir(), key=lambda asset: asset.name):
        content = asset.read_bytes()
        if url is not None and asset.name == "rules.yml":
            content = content.replace(f"runbook_url: {_RUNBOOK}#".encode(), f"runbook_url: {url}#".encode())
        yield asset.name, content


def _refuse(changed: list[Path], *, force: bool) -> None:
    if changed and not force:
        raise CommandError(
            f"nothing was written: {', '.join(map(str, changed))} differs from what this release would write. "
            "Write to another folder and compare, or overwrite with --force."
        )
