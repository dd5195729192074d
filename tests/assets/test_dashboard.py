"""The Grafana dashboard's form; that its queries work is shown on a real Prometheus in `test_watched`."""

import json
from itertools import combinations
from typing import Any

import pytest

from tests.assets.files import dashboard, panels

SOURCE = {"type": "prometheus", "uid": "${DS_PROMETHEUS}"}
SHOWN = {
    "Request rate by bucket",
    "429s and other refusals by bucket",
    "Retry-After p50 and p95 by bucket",
    "Shadow against enforced",
    "Would-block share by bucket",
    "Degraded by bucket",
    "Store latency",
    "Leases lost",
    "Idempotency outcomes",
}


def rectangle(panel: dict[str, Any]) -> tuple[int, int, int, int]:
    place = panel["gridPos"]
    return place["x"], place["y"], place["x"] + place["w"], place["y"] + place["h"]


def overlap(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def test_it_shows_what_the_issue_asks_for() -> None:
    assert {panel["title"] for panel in panels()} >= SHOWN


def test_ids_and_titles_are_unique() -> None:
    every = dashboard()["panels"]
    assert len({panel["id"] for panel in every}) == len({panel["title"] for panel in every}) == len(every)


def test_no_two_panels_overlap_and_none_leaves_the_grid() -> None:
    places = [rectangle(panel) for panel in dashboard()["panels"]]
    assert [pair for pair in combinations(places, 2) if overlap(*pair)] == []
    assert [place for place in places if place[0] < 0 or place[2] > 24 or place[0] >= place[2]] == []


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
def test_a_panel_has_a_source_a_unit_a_description_and_a_legend_for_each_query(panel: dict[str, Any]) -> None:
    assert panel["datasource"] == SOURCE
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["description"].endswith(".")
    references = [target["refId"] for target in panel["targets"]]
    assert len(set(references)) == len(references) > 0
    for target in panel["targets"]:
        assert target["datasource"] == SOURCE
        assert target["legendFormat"]
        assert target["expr"]


def test_variables_choose_the_source_the_job_and_the_bucket() -> None:
    variables = {one["name"]: one for one in dashboard()["templating"]["list"]}
    assert list(variables) == ["DS_PROMETHEUS", "job", "bucket"]
    assert variables["DS_PROMETHEUS"]["type"] == "datasource"
    for name in ("job", "bucket"):
        assert variables[name]["datasource"] == SOURCE
        assert (variables[name]["multi"], variables[name]["includeAll"]) == (True, True)


def test_every_query_obeys_the_chosen_job_and_no_window_is_fixed() -> None:
    queries = [target["expr"] for panel in panels() for target in panel["targets"]]
    assert [query for query in queries if 'job=~"$job"' not in query] == []
    assert [query for query in queries if "[" in query and "[$__rate_interval]" not in query] == []
    assert len([query for query in queries if 'bucket=~"$bucket"' in query]) > 10


def test_it_is_the_same_on_every_instance_of_grafana() -> None:
    loaded = dashboard()
    assert "id" not in loaded
    assert "__inputs" not in loaded  # a provisioned dashboard would leave them unfilled
    assert "localhost" not in json.dumps(loaded)
