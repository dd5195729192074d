"""The running demo watched by a real Prometheus: its exposition; every rule, panel and runbook query on it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from testproject.marketplace.demo import demo_token
from tests.assets.files import RULES, TARGET, blocks, documented, filled, grouped, panels, selectors
from tests.polling import until
from tests.prometheus import PrometheusServer, promtool
from tests.servers import RedisServer
from tests.sites import Site, SiteFactory

pytestmark = pytest.mark.timeout(300)  # the first one waits for a site, a Redis, a Prometheus and their traffic

TOKEN = "watched-by-the-tests"
JSON = {"Accept": "application/json"}
HISTOGRAM = ("_bucket", "_count", "_sum")
LIVELY = {
    *("Requests", "Refused", "Request rate by bucket", "429s and other refusals by bucket", "Shadow against enforced"),
    *("Retry-After p50 and p95 by bucket", "Would-block share", "Would-block share by bucket", "Store latency"),
    *("Leases: refused by route", "Idempotency outcomes", "Replay share", "Degraded by bucket", "Store errors by kind"),
}


class Watched(NamedTuple):
    """What the tests look at: what the site exposed, before any traffic and after, and the server that scraped it."""

    before: str
    after: str
    prometheus: PrometheusServer


@contextmanager
def signed_in(site: Site) -> Iterator[httpx.Client]:
    """Alice's browser."""
    with httpx.Client(base_url=site.url, headers=JSON, timeout=30) as client:
        for fields in (None, {"username": "alice", "password": "alice"}):
            answer = client.post("/login/", data=fields) if fields else client.get("/login/")
            assert answer.status_code == 200, answer.text
            client.headers["X-CSRFToken"] = answer.json()["csrf_token"]
        yield client


def pay(client: httpx.Client, key: str) -> httpx.Response:
    return client.post("/bookings/1/pay/", data={"card": "4242424242424242"}, headers={"Idempotency-Key": key})


def visit(site: Site, prometheus: PrometheusServer) -> None:
    """A loop that only shadow saw, writes and payments that were refused, a replay."""
    known = 'rl_concurrency_blocked_total{route!="other"}'  # a route's series begins with its first request
    token = {"Authorization": f"Token {demo_token('alice')}"}
    with signed_in(site) as client:
        for _ in range(15):
            assert client.get("/instructors/").status_code == 200
        booked = [client.post("/api/bookings/", headers=token, data={"instructor": "x"}) for _ in range(5)]
        assert booked[-1].status_code == 429
        assert [pay(client, "one").headers.get("Idempotent-Replayed") for _ in range(2)] == [None, "true"]
        until(lambda: bool(prometheus.query(known)), "the payment's route", seconds=60)
        with ThreadPoolExecutor(2) as pool:
            both = list(pool.map(lambda key: pay(client, key), ("two", "three")))
        assert 429 in {answer.status_code for answer in both}


def outage(site: Site, redis: RedisServer) -> None:
    """The store stands still for a read and a payment."""
    with signed_in(site) as client:
        redis.freeze()
        try:
            assert client.get("/instructors/").status_code == 200
            assert pay(client, "four").status_code == 503
        finally:
            redis.thaw()


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory, _demo_database: Path) -> Iterator[Watched]:
    place = tmp_path_factory.mktemp("watched")
    with RedisServer(place) as redis:
        env = {
            "TESTPROJECT_DB": str(_copy(_demo_database, place)),
            "TESTPROJECT_PROCESSOR_SECONDS": "0.5",
            "RATE_LIMIT_STORE_URL": redis.url,
            "RATE_LIMIT_BUCKETS": '{"financial": {"burst": 5}}',
            "RATE_LIMIT_METRICS": "true",
            "RATE_LIMIT_METRICS_TOKEN": TOKEN,
        }
        with Site("uvicorn", (), None, place / "site.log", env) as site:
            before = exposition(site)
            with PrometheusServer(place, [site.url.removeprefix("http://")], [RULES], TOKEN) as prometheus:
                until(lambda: bool(prometheus.query("rl_build_info")), "the first scrape", seconds=60)
                visit(site, prometheus)
                outage(site, redis)
                after = exposition(site)
                until(lambda: bool(prometheus.query("sum(rl_degraded_total) >= 2")), "the last scrape", seconds=60)
                yield Watched(before, after, prometheus)


def _copy(database: Path, place: Path) -> Path:
    copied = place / "demo.sqlite3"
    copied.write_bytes(database.read_bytes())
    return copied


def exposition(site: Site) -> str:
    answer = httpx.get(f"{site.url}/metrics/", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30)
    assert answer.status_code == 200
    return answer.text


def samples(text: str) -> dict[str, list[dict[str, str]]]:
    """The labels of each series of ours, by its name."""
    found: dict[str, list[dict[str, str]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name.startswith(("rl_", "idem_")):
                found.setdefault(sample.name, []).append(sample.labels)
    return found


def families(text: str) -> dict[str, str]:
    """Each metric of ours, as its series are called, with its type."""
    found = {}
    for family in text_string_to_metric_families(text):
        if family.name.startswith(("rl_", "idem_")) and not family.name.endswith("_created"):
            found[f"{family.name}_total" if family.type == "counter" else family.name] = family.type
    return found


def expressions(watched: Watched) -> dict[str, str]:
    """Every query there is, by where it stands."""
    asked = {f"runbook: {line}": line for line in blocks("promql")}
    asked |= {
        f"panel {one['title']} {target['refId']}": filled(target["expr"])
        for one in panels()
        for target in one["targets"]
    }
    return asked | {
        f"rule {number} {rule['name']}": rule["query"] for number, rule in enumerate(watched.prometheus.rules())
    }


def test_promtool_has_no_complaint_of_the_exposition_before_traffic_and_after(watched: Watched) -> None:
    for text in (watched.before, watched.after):
        assert promtool("check", "metrics", stdin=text.encode()) == (0, "")


def test_prometheus_scrapes_it_without_an_error(watched: Watched) -> None:
    assert list(watched.prometheus.scrapes().values()) == [""]


def missing(place: str, query: str, exposed: dict[str, list[dict[str, str]]]) -> list[str]:
    """Metrics, labels and values of a query that this exposition has not."""
    lacks, known = [], set(TARGET)
    for selector in selectors(query):
        series = exposed.get(selector.metric, [])
        labels = {label for one in series for label in one} | TARGET
        if not series or not selector.labels <= labels:
            lacks.append(f"{place}: {selector.metric} {sorted(selector.labels - labels)}")
        if not selector.values <= {pair for one in series for pair in one.items()}:
            lacks.append(f"{place}: {selector.metric} {sorted(selector.values)}")
        known |= labels
    return lacks + [f"{place}: by {label}" for label in grouped(query) - known]


def test_every_metric_label_and_value_of_a_query_is_exposed_before_there_is_any_traffic(watched: Watched) -> None:
    for text in (watched.before, watched.after):
        exposed = samples(text)
        assert [lack for place, query in expressions(watched).items() for lack in missing(place, query, exposed)] == []


@pytest.mark.parametrize(
    "query",
    [
        "rl_requests{bucket='x'}",
        'rl_requests_total{verified="true"}',
        "sum by (user) (rl_breaker_open)",
        'rl_degraded_total{policy="shut"}',
    ],
)
def test_a_query_of_something_that_nobody_emits_is_found(query: str, watched: Watched) -> None:
    assert missing("here", query, samples(watched.after)) != []


def test_several_processes_expose_the_same_and_promtool_has_no_complaint(
    watched: Watched, site: SiteFactory, tmp_path: Path
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    env = {"RATE_LIMIT_METRICS": "true", "RATE_LIMIT_METRICS_TOKEN": TOKEN, "PROMETHEUS_MULTIPROC_DIR": str(shared)}
    text = exposition(site("gunicorn", "--workers=2", env=env))
    assert promtool("check", "metrics", stdin=text.encode()) == (0, "")
    assert families(text) == families(watched.after)
    exposed = samples(text)
    assert [lack for place, query in expressions(watched).items() for lack in missing(place, query, exposed)] == []


def test_every_metric_is_used_or_documented_and_nothing_else_is(watched: Watched) -> None:
    exposed = families(watched.after)
    assert {name: text.split("|")[0].strip() for name, text in documented().items()} == exposed


def test_the_runbook_says_which_alerts_and_panels_use_a_metric(watched: Watched) -> None:
    used: dict[str, set[str]] = {name: set() for name in documented()}
    for rule in watched.prometheus.rules():
        for selector in selectors(rule["query"]):
            used[_family(selector.metric)].add(rule["name"])
    for panel in panels():
        for target in panel["targets"]:
            for selector in selectors(target["expr"]):
                used[_family(selector.metric)].add("dashboard")
    for name, text in documented().items():
        said = {one.strip() for one in text.split("|")[2].split(",")}
        assert said - {"-"} == used[name], name


def _family(metric: str) -> str:
    for ending in HISTOGRAM:
        metric = metric.removesuffix(ending)
    return metric


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
def test_a_panel_s_queries_give_what_its_legend_names_and_the_main_ones_give_data(
    panel: dict[str, Any], watched: Watched
) -> None:
    found = []
    for target in panel["targets"]:
        series = watched.prometheus.query(filled(target["expr"]))
        for one in series:
            assert legend(target["legendFormat"]) <= set(one["metric"])
        found += [one for one in series if float(one["value"][1]) > 0]
    assert found or panel["title"] not in LIVELY


def legend(text: str) -> set[str]:
    """The labels that a legend names."""
    return {part.split("}}")[0].strip() for part in text.split("{{")[1:]}


@pytest.mark.parametrize("query", blocks("promql"))
def test_a_query_of_the_runbook_is_answered(query: str, watched: Watched) -> None:
    watched.prometheus.query(query)


def test_every_rule_is_evaluated_and_the_first_refused_payment_fires(watched: Watched) -> None:
    prometheus = watched.prometheus

    def firing() -> set[tuple[str, str]]:
        alerts = [alert["labels"] for alert in prometheus.ask("alerts")["alerts"] if alert["state"] == "firing"]
        return {(labels["alertname"], labels["severity"]) for labels in alerts}

    until(lambda: ("Financial429ForVerifiedUsers", "info") in firing(), "the first refused payment's alert")
    assert {rule["lastError"] for rule in prometheus.rules() if "lastError" in rule} == set()
    assert {rule["health"] for rule in prometheus.rules()} == {"ok"}
