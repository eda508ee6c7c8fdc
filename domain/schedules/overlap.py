"""What a fire time does while the schedule's previous task has not ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class OverlapPolicy(StrEnum):
    ALLOW = "ALLOW"
    SKIP = "SKIP"
    BUFFER_ONE = "BUFFER_ONE"
    CANCEL_RUNNING = "CANCEL_RUNNING"


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """What becomes of fire times; each of them is in exactly one of the three."""

    start: tuple[datetime, ...] = ()
    """A task each, now."""
    hold: datetime | None = None
    """A task that starts when the running one has ended."""
    skipped: tuple[datetime, ...] = ()
    """No task."""
    cancel_unfinished: bool = False
    """The schedule's tasks that have not ended are cancelled first."""


def admit(fire_times: Sequence[datetime], policy: OverlapPolicy, *, unfinished: bool, held: bool) -> Admitted:
    """Decides for fire times that are handled together, oldest first, as if they came one by one.

    `unfinished` tells whether a started task of the schedule has not ended, `held` whether one waits for that.
    """
    times = tuple(fire_times)
    if not times:
        return Admitted()
    match policy:
        case OverlapPolicy.ALLOW:
            return Admitted(start=times)
        case OverlapPolicy.CANCEL_RUNNING:  # each cancels the one before it, so only the last is worth a start
            return Admitted(start=times[-1:], skipped=times[:-1], cancel_unfinished=unfinished or held)
        case OverlapPolicy.SKIP:
            free = 0 if unfinished or held else 1
            return Admitted(start=times[:free], skipped=times[free:])
        case OverlapPolicy.BUFFER_ONE:
            free = 0 if unfinished or held else 1
            waiting = times[free : free + (0 if held else 1)]
            return Admitted(
                start=times[:free],
                hold=waiting[0] if waiting else None,
                skipped=times[free + len(waiting) :],
            )
