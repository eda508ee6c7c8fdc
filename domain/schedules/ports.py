"""What the use cases of schedules need from outside. Adapters prove themselves in tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from domain.paging import Page, PageRequest
from domain.schedules.model import Schedule
from domain.schedules.recurrence import Recurrence


class Recurrences(Protocol):
    """Reads recurrences. Instants are aware; those it answers are in UTC, on whole seconds, strictly growing.

    `zone` is the name of an IANA time zone. `anchor` is where the counting begins: no fire time is earlier.
    Nothing here depends on the wall clock, and every call costs a bounded number of steps.
    """

    def check_zone(self, zone: str) -> None:
        """Raises Invalid with the path `("timeZone",)`."""
        ...

    def check(self, recurrence: Recurrence, zone: str, anchor: datetime, after: datetime) -> None:
        """Whether it can be understood and fires within eight years of `after` and `anchor`.

        Raises Invalid with the path `("cron",)`, `("rrule",)`, `("every",)` or `("timeZone",)`.
        """
        ...

    def next_after(
        self, recurrence: Recurrence, zone: str, anchor: datetime, after: datetime
    ) -> datetime | None:
        """The first fire time later than `after`; None when there is none within eight years.

        Raises Invalid as `check` does, for what cannot be understood.
        """
        ...

    def fire_times(
        self, recurrence: Recurrence, zone: str, anchor: datetime, after: datetime, most: int
    ) -> Iterator[datetime]:
        """The first `most` fire times later than `after`. Raises Invalid, at once."""
        ...

    def describe(self, recurrence: Recurrence) -> str | None:
        """In plain words, in English; None when there are none for it. Raises Invalid."""
        ...

    def zone_database_version(self) -> str:
        """Of the rules of time zones in use, for instance `2026.6`. Another one may move fire times."""
        ...


Make = Callable[[datetime], Schedule]
"""A schedule as it begins at the database's now."""
Change = Callable[[Schedule, datetime], Schedule]
"""A pure change of a schedule at the database's now. Returning an equal one changes nothing."""


class Schedules(Protocol):
    """The stored schedules. Only the clock of the database decides when something is."""

    async def add(self, tenant: str, make: Make) -> Schedule: ...

    async def find(self, tenant: str, ids: Sequence[UUID]) -> list[Schedule | None]:
        """One answer for each id, in the order asked."""
        ...

    async def page(
        self, tenant: str, request: PageRequest[UUID], *, owner: str | None = None
    ) -> Page[Schedule]:
        """In the order in which they were made; a place is an id."""
        ...

    async def change(
        self,
        tenant: str,
        id: UUID,
        change: Change,
        *,
        version: int | None = None,
        owner: str | None = None,
    ) -> Schedule:
        """Apply `change` under the row's lock, which firing takes as well.

        Raises NotFound (also for another owner's schedule, when `owner` is given), StaleVersion when
        `version` is not the stored one, and what `change` raises.
        """
        ...

    async def delete(
        self, tenant: str, id: UUID, *, version: int | None = None, owner: str | None = None
    ) -> None:
        """Its tasks stay. Raises as `change` does."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Fired:
    """What one round did."""

    schedules: int = 0
    """Whose fire times were settled. As many as the limit means that there may be more."""
    tasks: int = 0
    """Made."""
    skipped: int = 0
    """Fire times without a task, by the overlap policy."""
    dropped: int = 0
    """Fire times without a task, by the misfire policy."""
    cancelled: int = 0
    """Unfinished tasks that were ended, or asked to stop, for a new one."""
    stopping: bool = False
    """Whether some of those were asked to stop, and their workers are to be told."""
    set_aside: int = 0
    """Schedules that could not be read, and were paused."""


class Firing(Protocol):
    """Fires each fire time once, however many call it at once. A round is one transaction, for every tenant."""

    async def fire(self, limit: int) -> Fired:
        """Settle the fire times that have passed of up to `limit` schedules that are due."""
        ...

    async def release(self, limit: int) -> Fired:
        """Make the tasks of up to `limit` held fire times whose schedule has no unfinished task any more."""
        ...

    async def replan(self, limit: int) -> int:
        """Compute the next fire time anew of up to `limit` schedules planned with another zone database.

        How many were looked at. Nothing that has passed fires because of it.
        """
        ...

    async def next_fire_in(self) -> timedelta | None:
        """How long until the next fire time, negative when it has passed; None when there is none."""
        ...
