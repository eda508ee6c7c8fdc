"""An overview as a terminal shows it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from api.cli.printable import printable
from domain.overview.model import Overview, QueueSeen, WorkerSeen

LATE = 5.0
"""Seconds from which on it stands out."""
MINUTE, HOUR, DAY = 60, 3_600, 86_400


def rendered(overview: Overview, now: datetime) -> RenderableType:
    return Group(_head(overview, now), _queues(overview.queues), _workers(overview.workers))


def _head(overview: Overview, now: datetime) -> Text:
    queues, workers = overview.queues, overview.workers
    slots, running = sum(each.slots for each in workers), sum(each.running for each in queues)
    ended = sum(each.succeeded_per_second + each.failed_per_second for each in queues)
    parts = (
        f"Carillon {now:%H:%M:%S} UTC",
        f"due {_counted(sum(each.due for each in queues), more=any(each.more_due for each in queues))}",
        f"running {running:,} of {slots:,} slots",
        f"ended {ended:,.1f}/s",
        f"outbox {_counted(overview.outbox_events, more=overview.more_outbox_events)}"
        f" ({duration(overview.outbox_oldest_seconds)})",
    )
    return Text("   ".join(parts), style="bold")


def _queues(queues: Iterable[QueueSeen]) -> RenderableType:
    table = _table("queue", "due", "oldest", "running", "ended/s", "failed/s", "late p50", "late p99")
    for each in queues:
        table.add_row(
            Text(f"{printable(each.tenant)}/{printable(each.name)}{'  paused' if each.paused else ''}"),
            _counted(each.due, more=each.more_due),
            _late(each.oldest_due_seconds if each.due else None),
            f"{each.running:,}",
            f"{each.succeeded_per_second + each.failed_per_second:,.1f}",
            Text(f"{each.failed_per_second:,.1f}", style="red" if each.failed_per_second else ""),
            _late(each.lateness_median),
            _late(each.lateness_p99),
        )
    # Below, not in a row: a column has no room for a sentence.
    nothing = Text(" Nothing is due, runs or ended in the last minute.\n", style="dim")
    return table if table.row_count else Group(table, nothing)


def _workers(workers: Iterable[WorkerSeen]) -> RenderableType:
    table = _table("worker", "slots", "running", "used", "lease", "up")
    for each in workers:
        lost = each.lease_seconds < 0
        table.add_row(
            Text(f"{printable(each.name)}{'  draining' if each.draining else ''}"),
            f"{each.slots:,}",
            f"{each.running:,}",
            f"{each.running / each.slots:.0%}",
            Text("ended" if lost else duration(each.lease_seconds), style="red" if lost else ""),
            duration(each.up_seconds),
        )
    nobody = Text(" No worker is there: nothing runs.\n", style="bold red")
    return table if table.row_count else Group(table, nobody)


def _table(first: str, *others: str) -> Table:
    # Without padding, names have room beside the figures in 80 columns too.
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=0, expand=True)
    table.add_column(first, ratio=1, overflow="ellipsis", no_wrap=True)
    for each in others:
        table.add_column(each, justify="right", no_wrap=True)
    return table


def _counted(number: int, *, more: bool) -> str:
    return f"{number:,}{'+' if more else ''}"


def _late(seconds: float | None) -> Text:
    if seconds is None:
        return Text("-", style="dim")
    return Text(duration(seconds), style="red" if seconds >= LATE else "")


def duration(seconds: float) -> str:
    """In the largest unit that fits; early by a moment is on time."""
    seconds = max(seconds, 0)
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    for unit, name in ((DAY, "d"), (HOUR, "h"), (MINUTE, "min")):
        if seconds >= unit:
            return f"{seconds / unit:.1f} {name}"
    return f"{seconds:.1f} s"
