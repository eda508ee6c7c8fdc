"""Pages are asked for as Relay has it, and cursors are places of one list only."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest
from graphql import GraphQLError
from hypothesis import given
from hypothesis import strategies as st

from domain.paging import PageRequest
from domain.tasks.listing import TaskOrder, TaskPlace
from schema.opaque import unwrap, whole_number, wrap
from schema.paging import (
    attempt_cursor,
    page_request,
    read_attempt_cursor,
    read_stream_cursor,
    read_task_cursor,
    stream_cursor,
    task_cursor,
)

INSTANTS = st.datetimes(datetime(1970, 1, 1), datetime.max, timezones=st.just(UTC))  # noqa: DTZ001, DTZ901  bounds
ORDERS = st.sampled_from(TaskOrder)
NUMBERS = st.integers(0, 2**31 - 1)


def asked(
    *, first: int | None = None, after: str | None = None, last: int | None = None, before: str | None = None
) -> PageRequest[int]:
    return page_request(read_stream_cursor, first=first, after=after, last=last, before=before)


def test_a_page_is_asked_for_forwards_or_backwards() -> None:
    assert asked() == PageRequest(size=20)
    assert asked(first=1, after=stream_cursor(7)) == PageRequest(size=1, after=7)
    assert asked(after=stream_cursor(7)) == PageRequest(size=20, after=7)
    assert asked(last=100) == PageRequest(size=100, backwards=True)
    assert asked(last=5, before=stream_cursor(7)) == PageRequest(size=5, backwards=True, before=7)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"first": 0}, "first"),
        ({"first": -1}, "first"),
        ({"first": 101}, "first"),
        ({"last": 0}, "last"),
        ({"last": 2**31 - 1}, "last"),
        ({"first": 1, "last": 1}, "last"),
        ({"first": 1, "before": stream_cursor(1)}, "before"),
        ({"before": stream_cursor(1)}, "before"),
        ({"last": 1, "after": stream_cursor(1)}, "after"),
        ({"after": "nonsense"}, "after"),
        ({"after": ""}, "after"),
        ({"after": attempt_cursor(UUID(int=1), 1)}, "after"),
        ({"last": 1, "before": f"{stream_cursor(1)}="}, "before"),
    ],
)
def test_what_cannot_be_a_page_is_refused_naming_the_argument(arguments: dict[str, object], named: str) -> None:
    with pytest.raises(GraphQLError, match=f"`{named}`") as caught:
        asked(**arguments)  # type: ignore[arg-type]  # of mixed types, on purpose
    assert caught.value.extensions == {"code": "INVALID", "argument": named}


@given(INSTANTS, st.uuids(), ORDERS)
def test_a_task_cursor_is_its_place_in_its_order(at: datetime, id: UUID, order: TaskOrder) -> None:
    place = TaskPlace(at, id)
    cursor = task_cursor(at, id, order)
    assert read_task_cursor(cursor, order) == place
    assert [other for other in TaskOrder if read_task_cursor(cursor, other) is not None] == [order]


@given(st.uuids(), st.uuids(), NUMBERS)
def test_an_attempt_cursor_is_a_place_of_its_task(task: UUID, other: UUID, number: int) -> None:
    cursor = attempt_cursor(task, number)
    assert read_attempt_cursor(cursor, task) == number
    assert (read_attempt_cursor(cursor, other) is None) == (other != task)


@given(st.integers(0, 2**63 - 1))
def test_a_stream_cursor_is_its_place(seq: int) -> None:
    assert read_stream_cursor(stream_cursor(seq)) == seq


@given(st.one_of(st.text(), st.text().map(lambda text: wrap(text.encode("utf-8", "replace").decode()))))
def test_other_texts_are_no_cursors(text: str) -> None:
    assert read_stream_cursor(text) is None
    assert read_task_cursor(text, TaskOrder.CREATED_AT_DESC) is None
    assert read_attempt_cursor(text, UUID(int=1)) is None


@pytest.mark.parametrize(
    "text",
    [
        "stream:-1",
        "stream:01",
        "stream:+1",
        "stream:1_0",
        "stream:\u0661",
        "stream:1 ",
        "stream:",
        "stream:1:2",
    ],
)
def test_a_number_has_one_spelling_and_a_bound(text: str) -> None:
    assert read_stream_cursor(wrap(text)) is None
    assert read_stream_cursor(stream_cursor(2**63)) is None


@pytest.mark.parametrize("text", ["", "0", str(2**31 - 1)])
def test_whole_numbers_are_read_up_to_the_bound(text: str) -> None:
    assert whole_number(text, 2**31 - 1) == (int(text) if text else None)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_what_is_wrapped_is_unwrapped(text: str) -> None:
    assert unwrap(wrap(text)) == text
