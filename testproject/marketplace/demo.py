"""The demo's people, tokens and lessons.

The passwords and tokens are known to everybody who reads this file: they are for a demo on your own machine only.
"""

from __future__ import annotations

from datetime import UTC, datetime

from django.contrib.auth.models import User
from rest_framework.authtoken.models import Token

from testproject.marketplace.models import Booking, Instructor

STUDENTS = ("alice", "bob", "carol")
INSTRUCTORS = (
    # name, subject, city, lesson in cents, user
    ("Ada Green", "Piano", "Zurich", 6000, "bob"),
    ("Ben Okafor", "Guitar", "Bern", 4500, None),
    ("Chiara Rossi", "Italian", "Lugano", 3800, None),
    ("Dev Patel", "Mathematics", "Basel", 5200, None),
    ("Elin Berg", "Violin", "Zurich", 7000, None),
)
BOOKINGS = (("alice", "Ada Green"), ("alice", "Ben Okafor"), ("bob", "Chiara Rossi"), ("carol", "Dev Patel"))
FIRST_LESSON = datetime(2030, 1, 7, 10, 0, tzinfo=UTC)


def demo_token(username: str) -> str:
    """The user's token for the REST API: 40 characters, as DRF's field wants."""
    return f"{username}-demo-token-".ljust(40, "0")


def create_demo_data() -> None:
    """Create whatever is missing; what is there stays as it is."""
    users = {name: user(name) for name in STUDENTS}
    user("admin", superuser=True)
    for name, subject, city, lesson_cents, username in INSTRUCTORS:
        Instructor.objects.get_or_create(
            name=name,
            defaults={
                "subject": subject,
                "city": city,
                "lesson_cents": lesson_cents,
                "bio": f"Teaches {subject.lower()} in {city}, for beginners and those who come back.",
                "user": users[username] if username else None,
            },
        )
    for student, name in BOOKINGS:
        taught_by = Instructor.objects.get(name=name)
        Booking.objects.get_or_create(student=users[student], instructor=taught_by, starts_at=FIRST_LESSON)


def user(username: str, *, superuser: bool = False) -> User:
    """A user whose password is the name, and the user's token."""
    existing = User.objects.filter(username=username).first()
    create = User.objects.create_superuser if superuser else User.objects.create_user
    person: User = existing or create(username, f"{username}@example.com", username)
    Token.objects.filter(user=person).exclude(key=demo_token(username)).delete()
    Token.objects.get_or_create(key=demo_token(username), user=person)
    return person
