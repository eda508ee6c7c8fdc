"""What a handler raises to say how its attempt ended, when it neither succeeded nor simply failed."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

LONGEST = timedelta(days=366)
"""No delay is longer: a task a handler puts off further is a bug, not a plan."""


class Retry(Exception):  # noqa: N818  reads as what is asked for: raise Retry(after=30)
    """Try again, `after` that long (a timedelta, or seconds); without it, when the retry policy says.

    Uses an attempt, as any failure does. Raises ValueError for a delay that is negative or over 366 days.
    """

    def __init__(self, after: float | timedelta | None = None, reason: str = "asked to be tried again") -> None:
        super().__init__(reason)
        self.after = None if after is None else _delay(after)


class Discard(Exception):  # noqa: N818  reads as what is asked for: raise Discard("no such customer")
    """Fail for good: trying again cannot help."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)


class Snooze(Exception):  # noqa: N818  reads as what is asked for: raise Snooze(for_=timedelta(hours=1))
    """Not now: run again at `until`, or `for_` from now. Uses no attempt.

    Raises ValueError unless exactly one is given, `until` has an offset, and `for_` is 0 to 366 days.
    """

    def __init__(self, until: datetime | None = None, *, for_: timedelta | None = None) -> None:
        if (until is None) == (for_ is None):
            raise ValueError("Snooze takes either until or for_")
        if until is not None and until.utcoffset() is None:
            raise ValueError("Snooze(until) needs an instant with an offset, such as one with tzinfo=UTC")
        super().__init__("snoozed")
        self.until = None if until is None else until.astimezone(UTC)
        self.for_ = None if for_ is None else _delay(for_)


def _delay(value: float | timedelta) -> timedelta:
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if not math.isfinite(seconds) or not 0 <= seconds <= LONGEST.total_seconds():
        raise ValueError(f"a delay is from 0 to {LONGEST.days} days")
    return timedelta(seconds=seconds)
