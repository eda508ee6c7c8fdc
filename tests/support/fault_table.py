"""Experiments that break something on purpose: which of them run, and the table of what they found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pytest

HEAD = ("experiment", "fault", "tasks", "lost", "repeated", "seconds to recover", "verdict")


@dataclass(slots=True)
class Row:
    """One experiment's line. What it does not count stays empty."""

    number: int
    fault: str
    tasks: int | None = None
    lost: int | None = None
    repeated: int | None = None
    recovered: float | None = None
    verdict: str = ""

    def cells(self) -> tuple[str, ...]:
        counts = ["" if count is None else str(count) for count in (self.tasks, self.lost, self.repeated)]
        seconds = "" if self.recovered is None else f"{self.recovered:.1f}"
        return (str(self.number), self.fault, *counts, seconds, self.verdict)


@dataclass(slots=True)
class FaultTable:
    rows: dict[str, Row] = field(default_factory=dict)
    """By the id of the test."""

    def in_order(self) -> list[Row]:
        return sorted(self.rows.values(), key=lambda row: (row.number, row.fault))

    def text(self) -> list[str]:
        """For a terminal."""
        lines = [HEAD, *(row.cells() for row in self.in_order())]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]

    def markdown(self) -> str:
        lines = [HEAD, ("---",) * len(HEAD), *(row.cells() for row in self.in_order())]
        return "".join(f"| {' | '.join(line)} |\n" for line in lines)


TABLE = pytest.StashKey[FaultTable]()
ROW = "under fault"
PHASES = ("setup", "call", "teardown")


def add_options(parser: pytest.Parser) -> None:
    group = parser.getgroup("faults", "experiments under fault")
    group.addoption("--faults", action="store_true", help="run every experiment under fault, and nothing else")
    group.addoption("--faults-table", metavar="FILE", type=Path, help="write their table to this Markdown file")


def select(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With --faults every experiment and nothing else; without, everything but the long ones."""
    config.stash[TABLE] = FaultTable()
    marker = "fault" if config.getoption("--faults") else "long"
    wanted = marker == "fault"
    left_out = [item for item in items if (item.get_closest_marker(marker) is not None) is not wanted]
    items[:] = [item for item in items if (item.get_closest_marker(marker) is not None) is wanted]
    if left_out:
        config.hook.pytest_deselected(items=left_out)


def row_of(item: pytest.Item) -> Row | None:
    """None for a test that is no experiment."""
    marker = item.get_closest_marker("fault")
    if marker is None:
        return None
    number, fault = marker.args
    rows = item.config.stash[TABLE].rows
    return rows.setdefault(item.nodeid, Row(number, f"{fault}{variant(item)}"))


def variant(item: pytest.Item) -> str:
    """What tells apart the runs of one test."""
    _, bracket, parameters = item.name.partition("[")
    return f": {parameters.removesuffix(']')}" if bracket else ""


def judge(item: pytest.Item, report: pytest.TestReport) -> None:
    """Its verdict, from what pytest found in any of its phases."""
    row = row_of(item)
    if row is None:
        return
    if report.failed:
        row.verdict = "FAILED"
    elif report.skipped:
        row.verdict = "not run"
    elif not row.verdict:
        row.verdict = "held"
    report.user_properties.append((ROW, asdict(row)))  # the table may be shown by another process


def report_table(config: pytest.Config, reports: Iterable[pytest.TestReport]) -> list[str]:
    """The lines to show; empty when no experiment ran. Writes the file that was asked for."""
    table = FaultTable()
    for report in sorted(reports, key=lambda report: PHASES.index(report.when)):
        for name, row in report.user_properties:
            if name == ROW and isinstance(row, dict):
                table.rows[report.nodeid] = Row(**row)
    file: Path | None = config.getoption("--faults-table")
    if file is not None:
        file.write_text(table.markdown())
    return table.text() if table.rows else []
