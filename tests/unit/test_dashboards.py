"""The dashboards of Grafana: each panel says what it shows, in a unit, and asks for figures that there are."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.telemetry.metrics_page import figures
from tests.support.dashboards import DASHBOARDS, FOLDER, panels, queries
from tests.support.promtool import promtool

SCHEMA = 40
"""Of Grafana 11."""
WIDTH = 24
PARTS = ("_bucket", "_sum", "_count")


def place(panel: dict[str, Any]) -> set[tuple[int, int]]:
    at = panel["gridPos"]
    return {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}


def test_the_three_of_them_are_there() -> None:
    titles = {name: board["title"] for name, board in DASHBOARDS.items()}
    assert titles == {
        "management": "Management Overview",
        "infrastructure": "Infrastructure Overview",
        "tenant": "Tenant view",
    }
    assert len({board["uid"] for board in DASHBOARDS.values()}) == len(DASHBOARDS)
    assert all(board["schemaVersion"] == SCHEMA for board in DASHBOARDS.values())


@pytest.mark.parametrize("name", DASHBOARDS)
def test_every_panel_says_what_it_shows_and_in_which_unit(name: str) -> None:
    for panel in panels(name):
        assert panel["title"], panel["id"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["targets"], panel["title"]
        assert len(panel["targets"]) == 1 or all(one["legendFormat"] for one in panel["targets"]), panel[
            "title"
        ]
    titles = [panel["title"] for panel in panels(name)]
    assert len(titles) == len(set(titles))


@pytest.mark.parametrize("name", DASHBOARDS)
def test_no_panel_covers_another(name: str) -> None:
    everything = DASHBOARDS[name]["panels"]
    assert len({panel["id"] for panel in everything}) == len(everything)
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= WIDTH for panel in everything)
    for one, other in combinations(everything, 2):
        assert not place(one) & place(other), (one["title"], other["title"])


@pytest.mark.parametrize("name", DASHBOARDS)
def test_only_variables_that_are_declared_are_used(name: str) -> None:
    board = DASHBOARDS[name]
    declared = {variable["name"] for variable in board["templating"]["list"]}
    text = (FOLDER / f"{name}.json").read_text()
    assert set(re.findall(r"\$\{?([a-z]+)\}?", text)) == declared
    sources = [panel["datasource"]["uid"] for panel in panels(name)]
    sources += [target["datasource"]["uid"] for panel in panels(name) for target in panel["targets"]]
    assert set(sources) == {"${source}"}


def test_every_figure_of_ours_that_is_asked_for_is_told() -> None:
    told = {
        f"{each.name}{part}" for each in figures() for part in (PARTS if each.kind == "histogram" else ("",))
    }
    asked = {name for query in queries() for name in re.findall(r"\bcarillon_\w+", query.expression)}
    assert asked <= told


@pytest.mark.promtool
def test_every_query_is_valid(tmp_path: Path) -> None:
    made = [{"record": f"query:{number}", "expr": query.expression} for number, query in enumerate(queries())]
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": made}]}))
    promtool("check", "rules", file)
