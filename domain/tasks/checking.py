"""Checks all that a caller asks of tasks, and finds every fault of it at once."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from domain.actions.ports import Handlers, Webhooks
from domain.tasks.drafts import TaskDraft, TaskEdit
from domain.tenancy.model import Caller
from domain.work.checking import WorkChecker
from domain.work.validation import MAX_NAME, Faults, instant_fault, line_fault

_NEVER_TAKEN_AWAY: Final = {
    "title": "title",
    "scheduled_at": "scheduledAt",
    "action": "action",
    "queue": "queue",
    "priority": "priority",
}


class Checker:
    """Paths of faults use the names of the public inputs."""

    def __init__(self, handlers: Handlers, webhooks: Webhooks) -> None:
        self._work = WorkChecker(handlers, webhooks)

    async def note_draft(self, caller: Caller, draft: TaskDraft, now: datetime, faults: Faults) -> None:
        asked = {name: getattr(draft, name) for name in ("scheduled_at", "key")}
        await self._work.note_draft(caller, draft, faults)
        _note(asked, now, faults)

    async def note_edit(self, caller: Caller, edit: TaskEdit, now: datetime, faults: Faults) -> None:
        given = edit.given()
        for name, path in _NEVER_TAKEN_AWAY.items():
            if name in given and given[name] is None:
                faults.note("It can be changed, not taken away.", path)
        if "owner" in given and given["owner"] is None and caller.owner is not None:
            faults.note("You act for one owner: what is yours stays yours.", "owner")
        await self._work.note(caller, given, faults)
        _note(given, now, faults)


def _note(asked: Mapping[str, Any], now: datetime, faults: Faults) -> None:
    if (key := asked.get("key")) is not None:
        faults.note(line_fault(key, MAX_NAME), "key")
    if (instant := asked.get("scheduled_at")) is not None:
        faults.note(instant_fault(instant, now), "scheduledAt")
