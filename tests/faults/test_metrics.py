"""The metrics of several gunicorn workers are one exposition with exact sums, whichever answers, whoever dies."""

import os
import signal
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.polling import until
from tests.sites import Site, SiteFactory

TOKEN = "t0ken-of-the-tests"
REQUESTS = 120
WORKERS = 3


def scrape(site: Site) -> dict[tuple[str, str], float]:
    """Every sample by its name and bucket, op or nothing."""
    request = urllib.request.Request(f"{site.url}/metrics/", headers={"Authorization": f"Bearer {TOKEN}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        text = answer.read().decode()
    found: dict[tuple[str, str], float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = sample.name, sample.labels.get("bucket") or sample.labels.get("op") or ""
            found[key] = found.get(key, 0) + sample.value
    return found


def ask(site: Site, number: int) -> None:
    """So many searches, eight at a time, each on a connection of its own: every worker gets some."""
    limits = httpx.Limits(max_keepalive_connections=0)
    with httpx.Client(timeout=30, limits=limits) as client, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: client.get(f"{site.url}/instructors/").status_code, range(number)))
    assert answers == [200] * number


def counted(site: Site, number: int) -> None:
    """Every worker says the same."""
    for _ in range(2 * WORKERS):
        found = scrape(site)
        assert found["rl_requests_total", "read"] == number
        assert found["rl_store_seconds_count", "admit"] == number
        assert found["rl_policy_info", "read"] == 1
        assert found["rl_requests_total", "financial"] == 0
        assert found["rl_build_info", ""] == 1


def workers(place: Path) -> set[int]:
    """Who counts here and is said to live."""
    return {int(path.stem.rpartition("_")[2]) for path in place.glob("gauge_livemostrecent_*.db")}


@pytest.mark.parametrize("preload", [(), ("--preload",)], ids=["", "preload"])
def test_the_sums_of_several_workers_are_exact(site: SiteFactory, tmp_path: Path, preload: tuple[str, ...]) -> None:
    place = tmp_path / "metrics"
    place.mkdir()
    env = {"PROMETHEUS_MULTIPROC_DIR": str(place), "RATE_LIMIT_METRICS_TOKEN": TOKEN}
    options = (f"--workers={WORKERS}", "--threads=4", "--config=python:testproject.gunicorn_conf", *preload)
    running = site("gunicorn", *options, env=env)
    assert scrape(running)["rl_requests_total", "read"] == 0, "before traffic"
    ask(running, REQUESTS)
    counted(running, REQUESTS)
    first = workers(place) - {running.process.pid}
    assert len(first) > 1, "several workers answered"

    os.kill(running.process.pid, signal.SIGHUP)  # every worker ends and another takes its place
    until(lambda: not first & workers(place), "the reload", seconds=60)
    ask(running, REQUESTS)
    counted(running, 2 * REQUESTS)

    victim = min(workers(place) - {running.process.pid})
    os.kill(victim, signal.SIGKILL)
    until(lambda: victim not in workers(place), "child_exit", seconds=60)
    ask(running, REQUESTS)
    counted(running, 3 * REQUESTS)
