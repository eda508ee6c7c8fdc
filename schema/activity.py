"""What running handlers tell, as GraphQL sees it."""

from __future__ import annotations

from datetime import datetime

import strawberry

from domain.attempts import activity
from domain.attempts import model as attempts


@strawberry.type(description="How far a running handler says it is.")
class Progress:
    fraction: float = strawberry.field(description="From 0 to 1.")
    message: str | None = strawberry.field(description="What it is at.")
    at: datetime = strawberry.field(description="When it said so.")

    @staticmethod
    def of(progress: attempts.Progress) -> Progress:
        return Progress(fraction=progress.fraction, message=progress.message, at=progress.at)


@strawberry.type(description="A line that a running handler wrote.")
class LogLine:
    at: datetime = strawberry.field(description="When it was written.")
    attempt: int = strawberry.field(description="The number of the attempt that wrote it.")
    message: str = strawberry.field(description="What it says, up to 2,000 characters.")

    @staticmethod
    def of(line: activity.LogLine) -> LogLine:
        return LogLine(at=line.at, attempt=line.attempt, message=line.message)
