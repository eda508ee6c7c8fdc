"""What callers may do with schedules: each use case checks everything, writes once, then wakes schedulers."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from domain.actions.ports import Handlers, Webhooks
from domain.clock import Clock, Ids
from domain.live.ports import Signal, Signals
from domain.paging import Page, PageRequest
from domain.schedules.checking import ScheduleChecker
from domain.schedules.drafts import ScheduleDraft, ScheduleEdit, as_template
from domain.schedules.misfire import CATCH_UP_WINDOW
from domain.schedules.model import Schedule, edited
from domain.schedules.planning import planned
from domain.schedules.ports import Change, Recurrences, Schedules
from domain.schedules.recurrence import anchor_of
from domain.tenancy.model import Caller
from domain.work.refusals import fields_named
from domain.work.validation import Faults

TIMING = frozenset({"recurrence", "zone", "starts_at", "ends_at"})
"""The fields that say when it fires."""


class ScheduleService:
    """Raises Refusals for faults of an input, all of them; a single Refusal for anything else it refuses.

    Paths are those of the public inputs, from below `input`. A caller bound to an owner meets NotFound for
    whatever is another's.
    """

    def __init__(
        self,
        *,
        schedules: Schedules,
        recurrences: Recurrences,
        handlers: Handlers,
        webhooks: Webhooks,
        signals: Signals,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._schedules = schedules
        self._recurrences = recurrences
        self._checker = ScheduleChecker(recurrences, handlers, webhooks)
        self._signals = signals
        self._clock = clock
        self._ids = ids

    async def create(self, caller: Caller, draft: ScheduleDraft) -> Schedule:
        """What passed before now does not fire, wherever it starts."""
        faults = Faults()
        await self._checker.note_draft(caller, draft, self._clock.now(), faults)
        faults.settle()
        id = self._ids.next()
        made = await self._schedules.add(caller.tenant, lambda now: self._schedule(id, caller, draft, now))
        self._signals.send(Signal.SCHEDULES)
        return made

    async def update(
        self, caller: Caller, id: UUID, edit: ScheduleEdit, *, version: int | None = None
    ) -> Schedule:
        """An edit that changes nothing writes nothing.

        One that changes when it fires begins a new revision: see `domain.schedules.model.edited`.
        """
        faults = Faults()
        await self._checker.note_edit(caller, edit, faults)
        faults.settle()
        given = edit.given()

        def change(schedule: Schedule, now: datetime) -> Schedule:
            return self._edited(schedule, _values(given, caller), now)

        return await self._change(caller, id, change, version)

    async def pause(self, caller: Caller, id: UUID, *, version: int | None = None) -> Schedule:
        """Nothing fires once this has returned. Tasks that were made are left alone."""
        return await self._change(caller, id, lambda schedule, _now: schedule.pausing(), version)

    async def resume(self, caller: Caller, id: UUID, *, version: int | None = None) -> Schedule:
        """It goes on from now: what passed while it was paused does not fire."""

        def change(schedule: Schedule, now: datetime) -> Schedule:
            return planned(schedule.resuming(now), self._recurrences) if schedule.paused else schedule

        return await self._change(caller, id, change, version)

    async def delete(self, caller: Caller, id: UUID, *, version: int | None = None) -> None:
        """Tasks that were made are left alone, whether or not they are due yet."""
        with fields_named():
            await self._schedules.delete(caller.tenant, id, version=version, owner=caller.owner)

    async def page(
        self, caller: Caller, request: PageRequest[UUID], *, owner: str | None = None
    ) -> Page[Schedule]:
        """In the order in which they were made; those of `owner` when that is given."""
        if owner is not None and not caller.may_see(owner):
            return Page(items=(), has_next=False, has_previous=False)
        return await self._schedules.page(
            caller.tenant, request, owner=caller.owner if owner is None else owner
        )

    def _schedule(self, id: UUID, caller: Caller, draft: ScheduleDraft, now: datetime) -> Schedule:
        schedule = Schedule(
            id=id,
            tenant=caller.tenant,
            name=draft.name,
            recurrence=draft.recurrence,
            zone=draft.zone,
            starts_at=draft.starts_at,
            ends_at=draft.ends_at,
            jitter=draft.jitter or timedelta(0),
            misfire_policy=draft.misfire_policy,
            catch_up_window=draft.catch_up_window or CATCH_UP_WINDOW,
            overlap_policy=draft.overlap_policy,
            task=as_template(draft.task, caller),
            anchor=anchor_of(draft.recurrence, draft.starts_at, now),
            settled_until=now,
            created_at=now,
            updated_at=now,
        )
        return planned(schedule, self._recurrences)

    def _edited(self, schedule: Schedule, values: dict[str, Any], now: datetime) -> Schedule:
        after = replace(schedule, **values)
        if all(getattr(after, name) == getattr(schedule, name) for name in TIMING):
            return after
        faults = Faults()
        self._checker.note_timing(after, now, faults)
        faults.settle()
        return planned(edited(schedule, after, now), self._recurrences)

    async def _change(self, caller: Caller, id: UUID, change: Change, version: int | None) -> Schedule:
        with fields_named():
            schedule = await self._schedules.change(
                caller.tenant, id, change, version=version, owner=caller.owner
            )
        self._signals.send(Signal.SCHEDULES)
        return schedule


def _values(given: dict[str, Any], caller: Caller) -> dict[str, Any]:
    """The fields of a schedule that an edit sets."""
    values = dict(given)
    if "jitter" in values:
        values["jitter"] = values["jitter"] or timedelta(0)
    if "catch_up_window" in values:
        values["catch_up_window"] = values["catch_up_window"] or CATCH_UP_WINDOW
    if "task" in values:
        values["task"] = as_template(values["task"], caller)
    return values
