"""Every figure that a process tells: python -m infra.telemetry.metrics_page writes docs/metrics.md."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/metrics.md"
SOURCES = ("api", "infra", "jobs")
KINDS = ("Counter", "Gauge", "Histogram")


class Figure(NamedTuple):
    name: str
    """As it is scraped: counters end with `_total`."""
    kind: str
    labels: tuple[str, ...]
    meaning: str


def figures() -> list[Figure]:
    """By name. Read from the source, which makes them where they are counted."""
    files = [file for part in SOURCES for file in sorted((ROOT / part).rglob("*.py"))]
    return sorted(figure for file in files for figure in _made(ast.parse(file.read_text(encoding="utf-8"))))


def _made(module: ast.Module) -> Iterator[Figure]:
    for node in ast.walk(module):
        match node:
            case ast.Call(func=ast.Name(id=kind), args=[name, meaning, *rest]) if kind in KINDS:
                ending = "_total" if kind == "Counter" else ""
                labels = tuple(ast.literal_eval(rest[0])) if rest else ()
                told = f"{ast.literal_eval(name)}{ending}"
                yield Figure(told, kind.lower(), labels, ast.literal_eval(meaning).rstrip("."))


def page() -> str:
    rows = "\n".join(
        f"| `{each.name}` | {each.kind} | {', '.join(f'`{label}`' for label in each.labels)} | {each.meaning} |"
        for each in figures()
    )
    return f"""# Figures

Made by `python -m infra.telemetry.metrics_page`.

What the processes tell [Prometheus](operations.md#health-and-figures), each what it does itself. Times
are in seconds. A histogram `x` has the series `x_bucket`, `x_sum` and `x_count`. It and a counter
`x_total` also have the gauge `x_created`, the Unix time since which each counts. Beside these, each
process tells what it takes from the system (`process_cpu_seconds_total`, `process_resident_memory_bytes`,
`process_open_fds` and others).

Labels are bounded, whatever callers send:

- An `operation` is the name of a published one, the first 100 that a process executes, then `other`; what
  is not published is `unpublished`.
- A `queue` is one of the 20 with the most tasks, or `other`.
- A `tenant` is one that `CARILLON_TENANT` or `CARILLON_METRICS_TENANTS` names, or `other`. A setting, and
  not the busiest: so all processes name the same ones, and no counter comes and goes.
- A `work` is one of the places in the source that ask something of PostgreSQL.

| figure | kind | labels | meaning |
| --- | --- | --- | --- |
{rows}
"""


def main() -> None:
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
