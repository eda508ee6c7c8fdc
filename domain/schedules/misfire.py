"""What becomes of fire times that passed while nothing ran."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

CATCH_UP_WINDOW: Final = timedelta(hours=24)
MOST: Final = 100
"""Tasks made at once for one schedule."""
GRACE: Final = timedelta(minutes=1)
"""A fire time that is late by no more was not missed."""
COUNTED: Final = 1_000
"""Passed fire times are counted up to so many."""

NextAfter = Callable[[datetime], datetime | None]
"""The first fire time later than an instant; on whole seconds."""

_SECOND: Final = timedelta(seconds=1)


class MisfirePolicy(StrEnum):
    SKIP = "SKIP"
    FIRE_ONCE = "FIRE_ONCE"
    FIRE_ALL = "FIRE_ALL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """Fire times that were reached."""

    latest: tuple[datetime, ...]
    """At most the hundred latest, oldest first."""
    earlier: int = 0
    """How many came before those."""
    exact: bool = True
    """False when there were so many that `earlier` says only how many there were at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaughtUp:
    fire: tuple[datetime, ...]
    """Oldest first."""
    dropped: int
    exact: bool
    """As of `Passed`."""


def passed(next_after: NextAfter, after: datetime, now: datetime) -> Passed:
    """The fire times later than `after`, up to `now`; bounded, however many there are."""
    latest: deque[datetime] = deque(maxlen=MOST)
    at, count = after, 0
    while count < COUNTED:
        found = next_after(at)
        if found is None or found > now:
            return Passed(latest=tuple(latest), earlier=count - len(latest))
        latest.append(found)
        at, count = found, count + 1
    return Passed(latest=_last(next_after, after, now), earlier=COUNTED - MOST, exact=False)


def _last(next_after: NextAfter, after: datetime, now: datetime) -> tuple[datetime, ...]:
    """The last hundred when there are more, by bisection for the second they begin after."""
    low, high = 0, (now - after) // _SECOND + 1
    while high - low > 1:
        middle = (low + high) // 2
        if len(_following(next_after, after + middle * _SECOND, now)) < MOST:
            high = middle
        else:
            low = middle
    return _following(next_after, after + low * _SECOND, now)


def _following(next_after: NextAfter, after: datetime, now: datetime) -> tuple[datetime, ...]:
    found: list[datetime] = []
    at = next_after(after)
    while at is not None and at <= now and len(found) < MOST:
        found.append(at)
        at = next_after(at)
    return tuple(found)


def catch_up(
    times: Passed, policy: MisfirePolicy, now: datetime, window: timedelta = CATCH_UP_WINDOW
) -> CaughtUp:
    """Which of them fire now. One that is hardly late fires under each policy.

    FIRE_ONCE makes up for all that were missed by the latest; when one is just due, by that.
    """
    due = tuple(time for time in times.latest if now - time <= GRACE)
    missed = times.latest[: len(times.latest) - len(due)]
    recent = tuple(time for time in missed if now - time <= window)
    fire = {
        MisfirePolicy.SKIP: due,
        MisfirePolicy.FIRE_ONCE: due or recent[-1:],
        MisfirePolicy.FIRE_ALL: recent + due,
    }[policy]
    return CaughtUp(fire=fire, dropped=times.earlier + len(times.latest) - len(fire), exact=times.exact)
