"""The dashboards of Grafana, and what their panels ask Prometheus for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "deploy/grafana/dashboards"
DASHBOARDS: dict[str, dict[str, Any]] = {
    file.stem: json.loads(file.read_text()) for file in sorted(FOLDER.glob("*.json"))
}
CHOSEN = {"$__rate_interval": "20s", "$tenant": "default"}
"""What Grafana would put in the place of its variables."""


@dataclass(frozen=True, slots=True)
class Query:
    dashboard: str
    panel: str
    expression: str
    """As Prometheus takes it."""


def panels(dashboard: str) -> Iterator[dict[str, Any]]:
    """Without the rows, which hold nothing."""
    yield from (panel for panel in DASHBOARDS[dashboard]["panels"] if panel["type"] != "row")


def queries() -> Iterator[Query]:
    for name in DASHBOARDS:
        for panel in panels(name):
            for target in panel["targets"]:
                expression: str = target["expr"]
                for variable, value in CHOSEN.items():
                    expression = expression.replace(variable, value)
                yield Query(name, panel["title"], expression)
