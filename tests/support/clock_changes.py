"""When clocks are changed, found by looking; and what a clock on the wall shows, minute by minute."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from zoneinfo import ZoneInfo

from domain.schedules.wall_time import Reading
from infra.recurrence.zones import zone_named, zone_names

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
FIRST, LAST = datetime(2020, 1, 1, tzinfo=UTC), datetime(2038, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Change:
    zone: str
    """One of those that have it."""
    at: datetime
    before: timedelta
    after: timedelta

    @property
    def size(self) -> timedelta:
        return abs(self.after - self.before)

    @property
    def first_wall(self) -> datetime:
        """The first time that is skipped or shown again."""
        return (self.at + min(self.before, self.after)).replace(tzinfo=None)


def all_changes() -> list[Change]:
    """Every change of every zone from 2020 to 2037; one zone stands for all that change alike."""
    alike = {_rules(name): name for name in sorted(zone_names(), reverse=True)}
    found = {
        (change.at, change.before, change.after): change for name in alike.values() for change in _changes(name)
    }
    return sorted(found.values(), key=lambda change: (change.at, change.zone))


def _rules(name: str) -> bytes:
    return (files("tzdata") / "zoneinfo").joinpath(*name.split("/")).read_bytes()


def _changes(name: str) -> Iterator[Change]:
    zone = zone_named(name)
    day, offset = FIRST, _offset(zone, FIRST)
    while day < LAST:
        then = _offset(zone, day + DAY)
        if then != offset:
            low, high = day, day + DAY
            while high - low > MINUTE:
                middle = low + ((high - low) // MINUTE // 2) * MINUTE
                low, high = (middle, high) if _offset(zone, middle) == offset else (low, middle)
            yield Change(name, high, offset, then)
        day, offset = day + DAY, then


def _offset(zone: ZoneInfo, instant: datetime) -> timedelta:
    offset = instant.astimezone(zone).utcoffset()
    assert offset is not None
    return offset


Shown = list[tuple[datetime, datetime]]
"""Instants, and what the clock on the wall shows then."""


def watch(zone: ZoneInfo, start: datetime, end: datetime, step: timedelta = MINUTE) -> Shown:
    """Looks at a clock at every step of elapsed time."""
    steps = range((end - start) // step + 1)
    return [(at, at.astimezone(zone).replace(tzinfo=None)) for at in (start + step * each for each in steps)]


def fires(
    shown: Shown, matches: Callable[[datetime], bool], reading: Reading, step: timedelta = MINUTE
) -> list[datetime]:
    """What one does who watches the clock, has a list of times, and remembers the latest it has shown.

    The first instant of `shown` only sets that memory.
    """
    found = []
    latest = shown[0][1]
    for at, wall in shown[1:]:
        skipped = [latest + step * each for each in range(1, (wall - latest) // step)]
        new = wall > latest
        fire = matches(wall) or (reading is Reading.FIXED and any(map(matches, skipped)))
        if fire and (new or reading is Reading.ELAPSED):
            found.append(at)
        latest = max(latest, wall)
    return found
