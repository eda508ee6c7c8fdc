"""Fire times as a reader of a calendar sees them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from domain.schedules.recurrence import Recurrence
from infra.recurrence.reading import ReadRecurrences
from infra.recurrence.zones import zone_named

_recurrences = ReadRecurrences()


def walls(
    recurrence: Recurrence, start: str, most: int, *, zone: str = "UTC", after: str | None = None
) -> list[str]:
    """The first fire times later than `after`, as `2030-01-31 08:00`; all times are those of `zone`.

    Without `after` the start itself may fire.
    """
    anchor = instant(start, zone)
    since = anchor - timedelta(days=1) if after is None else instant(after, zone)
    found = _recurrences.fire_times(recurrence, zone, anchor, since, most)
    return [shown(each, zone) for each in found]


def instant(wall: str, zone: str = "UTC") -> datetime:
    return datetime.fromisoformat(wall).replace(tzinfo=zone_named(zone)).astimezone(UTC)


def shown(at: datetime, zone: str = "UTC") -> str:
    """Seconds only when there are some."""
    return f"{at.astimezone(zone_named(zone)):%Y-%m-%d %H:%M:%S}".removesuffix(":00")
