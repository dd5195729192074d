"""What a client of that site does: pays, dies, insists; and how such a site is started."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Protocol

import httpx
import pytest

from testproject.bootstrap import ROOT
from tests.polling import until
from tests.servers import ServerUnderTest

MORTAL = "tests.faults.mortal"

# Where a killed worker is replaced: by gunicorn at once, because it forks what it has loaded.
SERVERS = {
    "gunicorn": ("wsgi", "--workers=3", "--threads=4", "--preload"),
    "uvicorn": ("asgi",),
    "uvicorn workers": ("asgi", "--workers=2"),
}


class MortalSite(Protocol):
    """What the fixture `mortal` is."""

    def __call__(
        self, record: str = "store", server: str = "gunicorn", database: str = "", store_url: str = ""
    ) -> httpx.Client:
        """A client of a site that runs until the test ends, with a database of its own."""


def variables(store_url: str, place: Path, record: str, database: str = "") -> dict[str, str]:
    """The site's environment."""
    return {
        "DJANGO_SETTINGS_MODULE": f"{MORTAL}.settings",
        "MORTAL_DB": database or str(place / "mortal.sqlite3"),
        "MORTAL_RECORD": record,
        "RATE_LIMIT_STORE_URL": store_url,
    }


def patient(server: ServerUnderTest) -> str:
    """Its store, with deadlines that no busy machine reaches."""
    return f"{server.url}?deadline_ms=5000&patient_deadline_ms=5000"


def run(env: dict[str, str], *command: str) -> None:
    """Run a module in the site's environment."""
    subprocess.run([sys.executable, "-m", *command], cwd=ROOT, env={**os.environ, **env}, check=True)


def post(client: httpx.Client, payment: int, page: str = "pay", **headers: str) -> httpx.Response:
    """A try; each payment has a user of its own."""
    sent = {"Idempotency-Key": f"payment-{payment}", "X-User": str(payment + 1)}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post(f"/{page}/{payment}/", headers=sent)


def dies(client: httpx.Client, payment: int, point: str, page: str = "pay") -> None:
    """A try that kills its worker."""
    with pytest.raises(httpx.TransportError):
        post(client, payment, page, X_Die=point)


def insist(client: httpx.Client, payment: int, page: str = "pay", **headers: str) -> httpx.Response:
    """Ask until there is an answer; a worker that has just died may take a connection with it."""
    answers: list[httpx.Response] = []

    def answered() -> bool:
        try:
            answers.append(post(client, payment, page, **headers))
        except httpx.TransportError:
            return False
        return code(answers[-1]) not in ("in_progress", "concurrency_limited", "store_down")

    until(answered, f"an answer to payment {payment}", every=0.05)
    return answers[-1]


def code(response: httpx.Response) -> object:
    """The status of an answer, or the code of a refusal."""
    return response.status_code if response.is_success else response.json()["code"]


def effects(client: httpx.Client) -> dict[str, int]:
    """How often each payment was made."""
    found: dict[str, int] = client.get("/effects/").json()
    return found
