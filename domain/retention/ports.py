"""What removing the old needs from storage. Ages are by the database's clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from domain.tasks.states import TaskState


@dataclass(frozen=True, slots=True)
class AttemptDays:
    """Attempts are kept by the day they ended on, in UTC; a day is removed as a whole."""

    made: int
    """Days prepared to take attempts, those ahead included."""
    moved: int
    """Attempts that had to be kept aside, for want of their day, and are in it now."""
    removed: int
    put_off: int
    """Days that could not be made or removed because others were reading: to be tried again."""


class Retention(Protocol):
    """Each call does a bounded part, and several may be made at once."""

    async def prune_tasks(self, state: TaskState, older_than: timedelta, limit: int) -> int:
        """Remove up to `limit` tasks that ended in this state longer ago, the oldest first; how many.

        With their labels, words, progress and log. No event tells of it; their keys are free again, their
        notifications stay. Their attempts go with their days, and are not to be found meanwhile.
        """
        ...

    async def prune_notifications(self, older_than: timedelta, limit: int) -> int:
        """Remove up to `limit` from the beginnings of the tenants' streams; how many.

        Whoever asks for what came before the first that is left is told CursorExpired.
        """
        ...

    async def prune_audit_log(self, older_than: timedelta, limit: int) -> int:
        """Remove up to `limit` entries that were begun longer ago, the oldest first; how many."""
        ...

    async def prune_attempts(self, older_than: timedelta) -> AttemptDays:
        """Remove the days that ended longer ago, and make those to come."""
        ...
