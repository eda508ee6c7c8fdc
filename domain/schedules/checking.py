"""Checks all that a caller asks of schedules, and finds every fault of it at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from domain.actions.ports import Handlers, Webhooks
from domain.errors import Invalid
from domain.schedules.drafts import ScheduleDraft, ScheduleEdit
from domain.schedules.model import Schedule
from domain.schedules.ports import Recurrences
from domain.schedules.recurrence import YEARS, anchor_of
from domain.tenancy.model import Caller
from domain.work.checking import WorkChecker
from domain.work.validation import MAX_TITLE, Faults, line_fault, offset_fault

LONGEST_JITTER: Final = timedelta(days=1)
LONGEST_WINDOW: Final = timedelta(days=365)


def _jitter_fault(jitter: timedelta) -> str | None:
    return None if timedelta(0) <= jitter <= LONGEST_JITTER else "It must be from zero to 24 hours."


def _window_fault(window: timedelta) -> str | None:
    return (
        None if timedelta(0) < window <= LONGEST_WINDOW else "It must be more than zero and at most 365 days."
    )


def _instant_fault(instant: datetime) -> str | None:
    if fault := offset_fault(instant):
        return fault
    if instant.year not in YEARS:
        return f"Its year must be from {YEARS.start} to {YEARS.stop - 1}."
    return None


_PLAIN: Final[dict[str, tuple[str, Callable[[Any], str | None]]]] = {
    "name": ("name", lambda name: line_fault(name, MAX_TITLE)),
    "starts_at": ("startsAt", _instant_fault),
    "ends_at": ("endsAt", _instant_fault),
    "jitter": ("jitter", _jitter_fault),
    "catch_up_window": ("catchUpWindow", _window_fault),
}
"""Fields that are checked by their value alone: their name here, in an input, and the check."""

_NEVER_TAKEN_AWAY: Final = {
    "name": "name",
    "recurrence": "recurrence",
    "zone": "timeZone",
    "misfire_policy": "misfirePolicy",
    "overlap_policy": "overlapPolicy",
    "task": "task",
}


class ScheduleChecker:
    """Paths of faults use the names of the public inputs."""

    def __init__(self, recurrences: Recurrences, handlers: Handlers, webhooks: Webhooks) -> None:
        self._recurrences = recurrences
        self._work = WorkChecker(handlers, webhooks)

    async def note_draft(self, caller: Caller, draft: ScheduleDraft, now: datetime, faults: Faults) -> None:
        await self._note(
            caller, {**{name: getattr(draft, name) for name in _PLAIN}, "task": draft.task}, faults
        )
        usable = replace(draft, starts_at=_usable(draft.starts_at), ends_at=_usable(draft.ends_at))
        self.note_timing(usable, now, faults)

    async def note_edit(self, caller: Caller, edit: ScheduleEdit, faults: Faults) -> None:
        """All but when it will fire: that depends on what it is now."""
        given = edit.given()
        for name, path in _NEVER_TAKEN_AWAY.items():
            if name in given and given[name] is None:
                faults.note("It can be changed, not taken away.", path)
        await self._note(caller, given, faults)

    def note_timing(self, asked: ScheduleDraft | Schedule, now: datetime, faults: Faults) -> None:
        """Whether it will fire at all. Its instants carry offsets."""
        recurrence, zone, starts_at, ends_at = asked.recurrence, asked.zone, asked.starts_at, asked.ends_at
        if starts_at is not None and ends_at is not None and ends_at <= starts_at:
            faults.note("It must be later than `startsAt`.", "endsAt")
            ends_at = None
        anchor = anchor_of(recurrence, starts_at, now)
        if not _take(lambda: self._recurrences.check_zone(zone), faults):
            _take(lambda: self._recurrences.describe(recurrence), faults)
            return
        if not _take(lambda: self._recurrences.check(recurrence, zone, anchor, now), faults):
            return
        first = self._recurrences.next_after(recurrence, zone, anchor, now)
        if ends_at is not None and (first is None or first > ends_at):
            faults.note("It would not fire before it ends.", "endsAt")

    async def _note(self, caller: Caller, asked: Mapping[str, Any], faults: Faults) -> None:
        for name, (path, check) in _PLAIN.items():
            if (value := asked.get(name)) is not None:
                faults.note(check(value), path)
        if (task := asked.get("task")) is not None:
            await self._work.note_draft(caller, task, faults.under("task"))


def _take(check: Callable[[], object], faults: Faults) -> bool:
    """Whether it refuses nothing. What is said of a recurrence is about a field of that input."""
    try:
        check()
    except Invalid as refused:
        faults.take(refused, *(() if refused.path == ("timeZone",) else ("recurrence",)))
        return False
    return True


def _usable(instant: datetime | None) -> datetime | None:
    """None for one that is refused already."""
    return None if instant is None or _instant_fault(instant) else instant
