"""What callers ask for, before it is checked: schedules to make, and changes to schedules."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from domain.schedules.misfire import MisfirePolicy
from domain.schedules.model import TaskTemplate
from domain.schedules.overlap import OverlapPolicy
from domain.schedules.recurrence import Recurrence
from domain.tenancy.model import Caller
from domain.work.drafts import DEFAULT_TIMEOUT, KEEP, Edit, Keep, WorkDraft, as_action, retry_policy


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleDraft:
    """Instants without an offset are refused. What is None is as the default has it."""

    name: str
    recurrence: Recurrence
    zone: str = "UTC"
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    jitter: timedelta | None = None
    misfire_policy: MisfirePolicy = MisfirePolicy.FIRE_ONCE
    catch_up_window: timedelta | None = None
    overlap_policy: OverlapPolicy = OverlapPolicy.BUFFER_ONE
    task: WorkDraft


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleEdit(Edit):
    """None takes an instant or the jitter away, and sets the window to its default; nothing else can be."""

    name: str | Keep | None = KEEP
    recurrence: Recurrence | Keep | None = KEEP
    zone: str | Keep | None = KEEP
    starts_at: datetime | Keep | None = KEEP
    ends_at: datetime | Keep | None = KEEP
    jitter: timedelta | Keep | None = KEEP
    misfire_policy: MisfirePolicy | Keep | None = KEEP
    catch_up_window: timedelta | Keep | None = KEEP
    overlap_policy: OverlapPolicy | Keep | None = KEEP
    task: WorkDraft | Keep | None = KEEP
    """The whole of what its tasks will be, anew."""


def as_template(draft: WorkDraft, caller: Caller) -> TaskTemplate:
    """The template it asks for, whether or not its values are allowed."""
    return TaskTemplate(
        title=draft.title,
        description=draft.description,
        owner=caller.owner if draft.owner is None else draft.owner,
        labels=draft.labels,
        action=as_action(draft.action),
        queue=draft.queue,
        priority=draft.priority,
        concurrency_key=draft.concurrency_key,
        timeout=DEFAULT_TIMEOUT if draft.timeout is None else draft.timeout,
        retry=retry_policy(draft.retry),
    )
