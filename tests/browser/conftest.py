"""A browser, and sites with nothing, a little and a fortnight of recorded traffic.

Playwright's synchronous interface keeps an event loop running in this thread, so a browser lives for one module only,
and its tests touch no database themselves.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, sync_playwright

from testproject.bootstrap import ROOT
from tests import browsers
from tests.sites import Site

SCREENSHOTS = ROOT / "tests" / "screenshots"
DASHBOARD = "/admin/django_ratelimit_gcra/dashboard/"
Visit = Callable[..., Page]
Sites = Callable[..., Site]


@pytest.fixture(scope="module")
def _playwright() -> Iterator[Playwright]:
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def browser(_playwright: Playwright) -> Iterator[Browser]:
    """A Chromium without a window."""
    with _playwright.chromium.launch(executable_path=browsers.path(), args=list(browsers.FLAGS)) as browser:
        yield browser


@pytest.fixture(scope="module")
def _filled(tmp_path_factory: pytest.TempPathFactory, _demo_database: Path) -> Callable[[str], Path]:
    """The demo's database with recorded traffic of some size, made once a module."""
    made: dict[str, Path] = {}

    def filled(size: str) -> Path:
        if size not in made:
            made[size] = Path(shutil.copy(_demo_database, tmp_path_factory.mktemp(size) / "site.sqlite3"))
            env = {**os.environ, "TESTPROJECT_DB": str(made[size]), "DJANGO_SETTINGS_MODULE": "testproject.settings"}
            command = [sys.executable, "-m", "tests.recorded", size]
            subprocess.run(command, cwd=ROOT, env=env, check=True, capture_output=True)
        return made[size]

    return filled


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory, _filled: Callable[[str], Path]) -> Iterator[Sites]:
    """`sites("small")`: a running site, one a size and set of variables; it ends with the module."""
    known: dict[str, Site] = {}
    with ExitStack() as stack:

        def running(size: str, **variables: str) -> Site:
            name = f"{size}{sorted(variables.items())}"
            if name not in known:
                place = tmp_path_factory.mktemp("site")
                database = shutil.copy(_filled(size), place / "site.sqlite3")
                env = {"TESTPROJECT_DB": str(database), **variables}
                known[name] = stack.enter_context(
                    Site("uvicorn", (), "tests.browser.app:application", place / "site.log", env)
                )
            return known[name]

        yield running


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """`visit(site, "viewer")`: a page of the site's admin, signed in; fails for whatever the browser complains of."""
    complaints: list[str] = []
    with ExitStack() as stack:

        def signed_in(site: Site, name: str = "admin", place: str = DASHBOARD, **options: Any) -> Page:
            context = stack.enter_context(browser.new_context(base_url=site.url, **options))
            page = _guarded(context, complaints)
            page.goto(f"/admin/login/?next={place}")
            page.fill("#id_username", name)
            page.fill("#id_password", name)
            with page.expect_navigation(url=lambda url: "/admin/login/" not in url):
                page.click("input[type=submit]")
            return page

        yield signed_in
    assert complaints == []


def _guarded(context: BrowserContext, complaints: list[str]) -> Page:
    """A page whose complaints are collected: errors, dialogs, what the policy of contents forbids."""
    page = context.new_page()
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(f"a dialog: {dialog.message}"))
    page.on("console", lambda message: complaints.append(message.text) if _is_complaint(message.text) else None)
    return page


def _is_complaint(text: str) -> bool:
    """A 403 that a test provokes is none."""
    return "status of 403" not in text


def screenshot(page: Page, name: str) -> None:
    """Keep what is to be seen; the folder is not committed."""
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)
