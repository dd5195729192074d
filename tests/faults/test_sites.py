"""The tests' own sites answer when they are said to, on both servers, and are gone afterwards."""

import urllib.error
import urllib.request

import pytest

from tests.sites import SiteFactory


@pytest.mark.parametrize(("server", "arguments"), [("uvicorn", ()), ("gunicorn", ("--workers=2", "--threads=4"))])
def test_a_site_answers_until_it_is_stopped(site: SiteFactory, server: str, arguments: tuple[str, ...]) -> None:
    running = site(server, *arguments)
    with urllib.request.urlopen(f"{running.url}/health/", timeout=20) as answer:
        assert answer.status == 200
    running.stop()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"{running.url}/health/", timeout=5)


def test_a_site_that_cannot_start_says_why(site: SiteFactory) -> None:
    with pytest.raises(RuntimeError, match="no_such_module"):
        site("uvicorn", app="no_such_module:application")
