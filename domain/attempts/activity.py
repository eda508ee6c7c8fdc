"""What running attempts tell of themselves: how far they are, and the lines of their log."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from domain.attempts.model import Progress
from domain.contracts.tasks import TaskChangedV1

LINES_KEPT = 200
"""The last of a task, whichever attempts they are of."""
LINES_READ = 200
"""Those a reading of what is new brings at most; one that brings so many is followed by another."""
LINE_LENGTH = 2_000
"""Characters of a line, or of the message of a progress report."""
LINES_AT_ONCE = 200
LINES_PER_SECOND = 50
"""An attempt may write so many lines at once, and so many a second after that; the rest is dropped."""


@dataclass(frozen=True, slots=True, order=True)
class LogPlace:
    """A line's place in its task's log: which start of the task wrote it, and the how-manieth line that was."""

    fence: int
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    place: LogPlace
    at: datetime
    attempt: int
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewLine:
    """A line as its worker has it, not stored yet."""

    task_id: UUID
    place: LogPlace
    attempt: int
    age: timedelta
    """How long ago it was written: only the database's clock says when that was."""
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressReport:
    task_id: UUID
    fence: int
    fraction: float
    message: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recent:
    """A task as it stands, and what it told since some place in its log."""

    task: TaskChangedV1
    """Its last change; while it has not ended, of no particular kind."""
    progress: Progress | None
    """What its latest attempt reported."""
    lines: tuple[LogLine, ...]
    last: LogPlace
    """Of the last line that was read."""


class Allowance:
    """How many lines an attempt may write, by a clock in seconds that only goes forward."""

    def __init__(self, now: float) -> None:
        self._left = float(LINES_AT_ONCE)
        self._at = now

    def take(self, now: float) -> bool:
        """Whether there may be one more line."""
        self._left = min(LINES_AT_ONCE, self._left + (now - self._at) * LINES_PER_SECOND)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
