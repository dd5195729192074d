"""``python -m django demo_data``: people to log in as and lessons to pay for."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from testproject.marketplace.demo import STUDENTS, create_demo_data, demo_token


class Command(BaseCommand):
    """Creates the demo data; running it again changes nothing."""

    help = "Create demo users with public passwords, their tokens, instructors and bookings. Only for a demo."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add ``--force``."""
        parser.add_argument("--force", action="store_true", help="also with DEBUG off")

    def handle(self, *_args: Any, force: bool = False, **_options: Any) -> None:
        """Refuse on what looks like a real site: the passwords are public."""
        if not (settings.DEBUG or force):
            raise CommandError("demo_data creates users with public passwords; with DEBUG off it wants --force.")
        create_demo_data()
        for name in (*STUDENTS, "admin"):
            self.stdout.write(f"{name:<6} password {name:<6} token {demo_token(name)}")
        self.stdout.write("These passwords and tokens are public: use them on your own machine only.")
