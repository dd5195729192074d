"""The alert rules as promtool and a real Prometheus understand them, with a firing and a quiet case for each."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.assets.files import RULES, RUNBOOK, headings
from tests.prometheus import PrometheusServer, promtool

CASES = Path(__file__).with_name("rules")
ALERTS = {
    "HighRateLimitBlocks": {"warning"},
    "Financial429ForVerifiedUsers": {"info", "critical"},
    "RateLimiterDegraded": {"warning", "critical"},
    "RateLimiterStoreErrors": {"warning"},
    "IdempotencyOutcomeUnknown": {"warning"},
    "LeaseLost": {"warning"},
    "ShadowWouldBlockHigh": {"info"},
    "RateLimiterAbsent": {"critical"},
}


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[dict[str, Any]]]:
    """What a real Prometheus has loaded."""
    with PrometheusServer(tmp_path_factory.mktemp("prometheus"), rules=[RULES]) as server:
        yield server.rules()


def test_promtool_finds_nothing_to_complain_of() -> None:
    code, said = promtool("check", "rules", str(RULES))
    assert code == 0, said
    assert re.fullmatch(r"Checking \S+\s+SUCCESS: 10 rules found\s+", said)


@pytest.mark.parametrize("path", sorted(CASES.iterdir()), ids=lambda path: path.stem)
def test_an_alert_fires_when_it_should_and_only_then(path: Path) -> None:
    code, said = promtool("test", "rules", path.name, cwd=CASES)
    assert code == 0, said
    assert "SUCCESS" in said


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_has_a_case_that_fires_at_each_severity_and_one_that_is_quiet(alert: str) -> None:
    cases = (CASES / f"{alert}.yml").read_text("utf-8")
    evaluated = re.split(r"- eval_time: ", cases)[1:]
    assert [part for part in evaluated if f"alertname: {alert}\n" not in f"{part}\n"] == []
    firing = [part for part in evaluated if "exp_alerts:" in part]
    assert 0 < len(firing) < len(evaluated)
    assert set(re.findall(r"severity: (\w+)", "".join(firing))) == ALERTS[alert]


def test_prometheus_loads_every_alert_of_the_issue(rules: list[dict[str, Any]]) -> None:
    loaded: dict[str, set[str]] = {}
    for rule in rules:
        assert rule["type"] == "alerting"
        loaded.setdefault(rule["name"], set()).add(rule["labels"]["severity"])
    assert loaded == ALERTS


def test_every_alert_says_what_it_is_and_links_to_its_section_of_the_runbook(rules: list[dict[str, Any]]) -> None:
    for rule in rules:
        notes = rule["annotations"]
        assert set(notes) == {"summary", "description", "runbook_url"}
        assert notes["runbook_url"] == f"{RUNBOOK.name}#{rule['name'].lower()}"
        assert rule["name"] in headings()
        assert len(notes["description"]) > len(notes["summary"]) > 20
