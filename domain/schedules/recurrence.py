"""The three ways to say when a schedule fires, and the arithmetic of the simplest."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from domain.errors import Invalid

MAX_TEXT: Final = 512
"""Characters of a cron expression or an RRULE."""
HORIZON: Final = timedelta(days=8 * 366)
"""A recurrence that does not fire for so long has ended. From one 29 February to the next is not longer."""
YEARS: Final = range(1900, 2200)
"""In which a recurrence may begin."""

_SECOND: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Cron:
    """Five fields, or six with the second first, or a macro like `@daily`; read in the schedule's zone."""

    expression: str


@dataclass(frozen=True, slots=True)
class RRule:
    """The value of an RRULE of RFC 5545, or content lines: RRULE, and DTSTART and EXDATE if need be."""

    text: str


@dataclass(frozen=True, slots=True)
class Every:
    """Fires at its anchor and at every whole interval of elapsed time after it, whatever the clocks say."""

    interval: timedelta

    def check(self) -> None:
        """Raises Invalid."""
        if self.interval < _SECOND:
            raise Invalid("It must be at least one second.", ("every",))
        if self.interval % _SECOND:
            raise Invalid("It must be whole seconds.", ("every",))
        if self.interval > HORIZON:
            raise Invalid("It must be at most eight years.", ("every",))

    def next_after(self, anchor: datetime, after: datetime) -> datetime:
        """The first fire time later than `after`. Raises OverflowError beyond the year 9999."""
        anchor = anchor.replace(microsecond=0)
        if after < anchor:
            return anchor
        return anchor + ((after - anchor) // self.interval + 1) * self.interval

    def describe(self) -> str:
        """In plain words, with the largest unit that fits."""
        seconds = self.interval // _SECOND
        units = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))
        unit, size = next((unit, size) for unit, size in units if seconds % size == 0)
        number = seconds // size
        return f"Every {unit}" if number == 1 else f"Every {number} {unit}s"


Recurrence = Cron | RRule | Every


def anchor_of(recurrence: Recurrence, starts_at: datetime | None, created_at: datetime) -> datetime:
    """Where a schedule's counting begins; what is not said of the time of day is taken from there.

    A rule that names its hour should not fire at the odd second at which someone happened to create it.
    """
    if starts_at is not None:
        return starts_at.replace(microsecond=0)
    second = 0 if isinstance(recurrence, RRule) else created_at.second
    return created_at.replace(second=second, microsecond=0)
