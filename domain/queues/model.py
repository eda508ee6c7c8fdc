"""A queue, and what may be set for it."""

from __future__ import annotations

from dataclasses import dataclass

from domain.work.drafts import KEEP, Edit, Keep


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """It is there as soon as a task names it or something is set for it."""

    name: str
    paused: bool = False
    depth: int = 0
    """Tasks due and not yet started."""
    running: int = 0
    oldest_due_seconds: float = 0.0
    """How long the longest due of them has been; 0 when there is none."""
    concurrency: int | None = None
    """Tasks that may be handed over or running at once; None is any number."""
    rate_per_second: float | None = None
    """Tasks that may be handed over in a second, on average; None is any number."""
    finished_per_second: float = 0.0
    """Over the last minute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueEdit(Edit):
    """None removes a limit."""

    paused: bool | Keep = KEEP
    concurrency: int | Keep | None = KEEP
    rate_per_second: float | Keep | None = KEEP
