"""Says what a run of all tests reached of the source, and fails when it was too little."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from typing_extensions import override

REPORT = Path(__file__).parents[2] / ".coverage.json"
LEAST = 0.90
"""Of the lines of one file, below which it is named."""


class Share(NamedTuple):
    what: str
    reached: int
    there: int
    least: float

    @property
    def enough(self) -> bool:
        return self.reached >= self.least * self.there

    @override
    def __str__(self) -> str:
        asked = f"{self.least:.0%} {'and more' if self.enough else 'IS ASKED'}"
        return f"{self.what}: {self.reached / self.there:.1%} of {self.there:,} ({asked})"


def main() -> None:
    report = json.loads(REPORT.read_text())
    totals = report["totals"]
    shares = (
        Share("lines", totals["covered_lines"], totals["num_statements"], 0.93),
        Share("branches", totals["covered_branches"], totals["num_branches"], 0.88),
    )
    for name, file in sorted(report["files"].items()):
        lines = Share(name, file["summary"]["covered_lines"], file["summary"]["num_statements"], LEAST)
        if not lines.enough:
            print(lines)
    for share in shares:
        print(share)
    if not all(share.enough for share in shares):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
