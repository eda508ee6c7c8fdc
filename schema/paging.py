"""Pages and places in them, as the Relay cursor connections specification has them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, TypeVar
from uuid import UUID

import strawberry

from domain.dead_letters.model import LetterPlace
from domain.ids import read_uuid
from domain.paging import DEFAULT_PAGE, MAX_PAGE, PageRequest
from domain.tasks.listing import TaskOrder, TaskPlace
from schema.ids import MAX_ATTEMPT
from schema.opaque import unwrap, whole_number, wrap
from schema.refusals import invalid

C = TypeVar("C")

First = Annotated[
    int | None, strawberry.argument(description=f"How many, from the start of the list; 1 to {MAX_PAGE}.")
]
After = Annotated[str | None, strawberry.argument(description="The cursor of the edge they follow.")]
Last = Annotated[
    int | None, strawberry.argument(description=f"How many, from the end of the list; 1 to {MAX_PAGE}.")
]
Before = Annotated[str | None, strawberry.argument(description="The cursor of the edge they precede.")]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MAX_MICROSECONDS = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
_MAX_SEQ = 2**63 - 1


@strawberry.type(description="Where a page lies in its list.")
class PageInfo:
    has_next_page: bool = strawberry.field(description="Whether there is more after this page.")
    has_previous_page: bool = strawberry.field(description="Whether there is more before this page.")
    start_cursor: str | None = strawberry.field(description="The cursor of the first edge.")
    end_cursor: str | None = strawberry.field(description="The cursor of the last edge.")


def page_info(cursors: list[str], *, has_next: bool, has_previous: bool) -> PageInfo:
    return PageInfo(
        has_next_page=has_next,
        has_previous_page=has_previous,
        start_cursor=cursors[0] if cursors else None,
        end_cursor=cursors[-1] if cursors else None,
    )


def page_request(
    place: Callable[[str], C | None],
    *,
    first: int | None,
    after: str | None,
    last: int | None = None,
    before: str | None = None,
) -> PageRequest[C]:
    """What these arguments ask for; `place` reads a cursor. Raises GraphQLError."""
    if first is not None and last is not None:
        raise invalid("Ask for the `first` or for the `last`, not for both.", "last")
    if last is None:
        if before is not None:
            raise invalid("`before` goes with `last`.", "before")
        size = page_size(first, "first")
        return PageRequest(size=size, after=_place(place, after, "after"))
    if after is not None:
        raise invalid("`after` goes with `first`.", "after")
    return PageRequest(size=page_size(last, "last"), backwards=True, before=_place(place, before, "before"))


def page_size(asked: int | None, argument: str) -> int:
    """What was asked for, or the default; raises a GraphQLError naming the argument when it is not allowed."""
    if asked is None:
        return DEFAULT_PAGE
    if not 1 <= asked <= MAX_PAGE:
        raise invalid(f"`{argument}` must be from 1 to {MAX_PAGE}; it is {asked}.", argument)
    return asked


def _place(place: Callable[[str], C | None], cursor: str | None, argument: str) -> C | None:
    if cursor is None:
        return None
    found = place(cursor)
    if found is None:
        raise invalid(f"`{argument}` is no cursor of this list.", argument)
    return found


def task_cursor(at: datetime, id: UUID, order: TaskOrder) -> str:
    """Bound to the order: in another one it is no place."""
    return wrap(f"task:{order._value_}:{(at - _EPOCH) // _MICROSECOND}:{id}")


def read_task_cursor(cursor: str, order: TaskOrder) -> TaskPlace | None:
    match (unwrap(cursor) or "").split(":"):
        case ["task", order.value, digits, text]:
            at, id = whole_number(digits, _MAX_MICROSECONDS), read_uuid(text)
            if at is not None and id is not None:
                return TaskPlace(_EPOCH + at * _MICROSECOND, id)
    return None


def schedule_cursor(id: UUID) -> str:
    return wrap(f"schedule:{id}")


def read_schedule_cursor(cursor: str) -> UUID | None:
    match (unwrap(cursor) or "").split(":"):
        case ["schedule", text]:
            return read_uuid(text)
    return None


def attempt_cursor(task: UUID, number: int) -> str:
    return wrap(f"attempt:{task}:{number}")


def read_attempt_cursor(cursor: str, task: UUID) -> int | None:
    match (unwrap(cursor) or "").split(":"):
        case ["attempt", text, digits] if text == str(task):
            return whole_number(digits, MAX_ATTEMPT)
    return None


def audit_cursor(id: UUID) -> str:
    return wrap(f"audit:{id}")


def read_audit_cursor(cursor: str) -> UUID | None:
    match (unwrap(cursor) or "").split(":"):
        case ["audit", text]:
            return read_uuid(text)
    return None


def letter_cursor(place: LetterPlace) -> str:
    at = "" if place.at is None else (place.at - _EPOCH) // _MICROSECOND
    return wrap(f"letter:{place.of}:{at}:{place.key}")


def read_letter_cursor(cursor: str) -> LetterPlace | None:
    match (unwrap(cursor) or "").split(":", 3):
        case ["letter", of, "", key]:
            return LetterPlace(of, None, key)
        case ["letter", of, digits, key]:
            at = whole_number(digits, _MAX_MICROSECONDS)
            return None if at is None else LetterPlace(of, _EPOCH + at * _MICROSECOND, key)
    return None


def stream_cursor(seq: int) -> str:
    """A place in the tenant's stream of notifications."""
    return wrap(f"stream:{seq}")


def read_stream_cursor(cursor: str) -> int | None:
    match (unwrap(cursor) or "").split(":"):
        case ["stream", digits]:
            return whole_number(digits, _MAX_SEQ)
    return None
