"""What the use cases of schedules need from outside. Adapters prove themselves in tests."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Protocol

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
