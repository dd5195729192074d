"""The assets as tests read them: what the package holds, and which metrics and labels a query asks for."""

import json
import re
from typing import Any, NamedTuple

from testproject.bootstrap import ROOT

ASSETS = ROOT / "django_ratelimit_gcra" / "assets"
RULES = ASSETS / "rules.yml"
RUNBOOK = ASSETS / "runbook.md"

# What Prometheus itself adds to each series that it scrapes.
TARGET = {"job", "instance"}

_SELECTOR = re.compile(r"\b((?:rl|idem)_\w+)(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
_NAMES = re.compile(r"\w+(?:\|\w+)*")  # a pattern that is a list of names
_GROUPING = re.compile(r"\b(?:by|on|without)\s*\(([^)]*)\)")
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Selector(NamedTuple):
    """One `metric{label="value"}` of a query; `values` are those that it names, not those that a pattern matches."""

    metric: str
    labels: frozenset[str]
    values: frozenset[tuple[str, str]]


def selectors(query: str) -> list[Selector]:
    """Every selector of a query in PromQL."""
    found = []
    for metric, matchers in _SELECTOR.findall(query):
        parts = _MATCHER.findall(matchers)
        values = {(label, name) for label, _, text in parts if _NAMES.fullmatch(text) for name in text.split("|")}
        found.append(Selector(metric, frozenset(label for label, _, _ in parts), frozenset(values)))
    return found


def grouped(query: str) -> set[str]:
    """The labels that a query groups by."""
    return {label.strip() for labels in _GROUPING.findall(query) for label in labels.split(",")}


def dashboard() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((ASSETS / "grafana.json").read_text("utf-8"))
    return loaded


def panels() -> list[dict[str, Any]]:
    """All that show data: the rows, which are headings, are left out."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def filled(query: str, window: str = "1m") -> str:
    """A panel's query as Grafana sends it with everything chosen."""
    return query.replace("$__rate_interval", window).replace("$job", ".*").replace("$bucket", ".*")


def blocks(language: str, text: str | None = None) -> list[str]:
    """Each line of the code blocks in this language, of the whole runbook or of the text of a section."""
    found = _FENCE.findall(RUNBOOK.read_text("utf-8") if text is None else text)
    return [line for name, lines in found if name == language for line in lines.splitlines()]


def languages() -> set[str]:
    """Of the runbook's code blocks."""
    return {name for name, _ in _FENCE.findall(RUNBOOK.read_text("utf-8"))}


def headings() -> dict[str, str]:
    """The runbook's sections by heading, each with its text; what stands above the first is under its title."""
    parts = re.split(r"^##? (.+)\n", RUNBOOK.read_text("utf-8"), flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def documented() -> dict[str, str]:
    """The runbook's table of metrics: each name, as its first column has it, with the rest of its row."""
    return dict(re.findall(r"^\| `([a-z_]+)[^`]*` \|(.*)\|$", headings()["The metrics"], re.MULTILINE))
