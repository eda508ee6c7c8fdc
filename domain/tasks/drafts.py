"""What callers ask for, before it is checked: tasks to make, and changes to tasks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from domain.work.drafts import KEEP, ActionDraft, Edit, Keep, WorkDraft


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskDraft(WorkDraft):
    scheduled_at: datetime | None = None
    """None means at once. Without an offset it is refused."""
    key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskEdit(Edit):
    """None takes a description or an owner away; elsewhere there is nothing to take away."""

    title: str | Keep | None = KEEP
    description: str | Keep | None = KEEP
    scheduled_at: datetime | Keep | None = KEEP
    action: ActionDraft | Keep | None = KEEP
    queue: str | Keep | None = KEEP
    priority: int | Keep | None = KEEP
    owner: str | Keep | None = KEEP
    labels: tuple[tuple[str, str], ...] | Keep = KEEP
