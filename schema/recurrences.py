"""Recurrences as clients write them, and what one would do."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

import strawberry

from domain.errors import Invalid, Refusal
from domain.schedules.recurrence import Cron, Every, RRule, anchor_of
from domain.schedules.recurrence import Recurrence as DomainRecurrence
from domain.tenancy.permissions import Permission
from schema.absent import given
from schema.context import Ask
from schema.paging import page_size
from schema.permissions import needs
from schema.scalars import TimeZone
from schema.user_errors import UserError, user_errors

UNSET = strawberry.UNSET


@strawberry.type(description="How often something fires: exactly one of these is set.")
class Recurrence:
    cron: str | None = strawberry.field(description="A cron expression.")
    rrule: str | None = strawberry.field(description="An RRULE of RFC 5545.")
    every: timedelta | None = strawberry.field(description="An interval of elapsed time.")

    @staticmethod
    def of(recurrence: DomainRecurrence) -> Recurrence:
        match recurrence:
            case Cron(expression):
                return Recurrence(cron=expression, rrule=None, every=None)
            case RRule(text):
                return Recurrence(cron=None, rrule=text, every=None)
            case Every(interval):
                return Recurrence(cron=None, rrule=None, every=interval)


@strawberry.input(one_of=True, description="How often something fires: exactly one of these.")
class RecurrenceInput:
    cron: str | None = strawberry.field(
        default=UNSET, description="Five fields, or six with the second first, or a macro like `@daily`."
    )
    rrule: str | None = strawberry.field(
        default=UNSET, description="An RRULE of RFC 5545, with DTSTART and EXDATE if need be."
    )
    every: timedelta | None = strawberry.field(
        default=UNSET, description="An interval of elapsed time, at least a second."
    )

    def read(self) -> DomainRecurrence:
        if (cron := given(self.cron)) is not None:
            return Cron(cron)
        if (rrule := given(self.rrule)) is not None:
            return RRule(rrule)
        every = given(self.every)
        assert every is not None, "exactly one of them is given"
        return Every(every)


@strawberry.type(description="When a recurrence would fire.")
class RecurrencePreview:
    fire_times: list[datetime] = strawberry.field(
        description="The next ones, in order; none once it has ended."
    )
    description: str | None = strawberry.field(description="In plain words, where there are some for it.")
    errors: list[UserError] = strawberry.field(description="What is wrong with it.")


@needs(Permission.READ)
async def preview_recurrence(
    info: Ask,
    recurrence: Annotated[RecurrenceInput, strawberry.argument(description="What to preview.")],
    time_zone: Annotated[TimeZone, strawberry.argument(description="The zone its times of day are in.")],
    from_: Annotated[
        datetime | None,
        strawberry.argument(name="from", description="Fire times after this; absent means now."),
    ] = UNSET,
    first: Annotated[int | None, strawberry.argument(description="How many, 1 to 100.")] = 10,
) -> RecurrencePreview:
    recurrences, fire_times = info.context.recurrences, info.context.fire_times
    wanted, size = recurrence.read(), page_size(first, "first")
    try:
        start = _start(given(from_), fire_times.now)
        recurrences.check_zone(time_zone)
        anchor = anchor_of(wanted, None, start)
        times = await fire_times.of_recurrence(wanted, time_zone, anchor, start, size)
        return RecurrencePreview(fire_times=times, description=recurrences.describe(wanted), errors=[])
    except Refusal as refusal:
        errors = user_errors(refusal, below=_argument_of(refusal))
        return RecurrencePreview(fire_times=[], description=None, errors=errors)


def _start(asked: datetime | None, now: datetime) -> datetime:
    if asked is None:
        return now
    if asked.tzinfo is None:
        raise Invalid("An instant needs an offset, as in 2030-01-31T08:00:00Z.", ("from",))
    return asked


def _argument_of(refusal: Refusal) -> tuple[str, ...]:
    """What is said of a recurrence is about a field of that argument, the rest about the argument itself."""
    return ("recurrence",) if refusal.path[:1] in {("cron",), ("rrule",), ("every",)} else ()
