"""A global id is of one thing of one type; everything else that looks like one is an id of nothing."""

from __future__ import annotations

from uuid import UUID

import pytest
import strawberry
from hypothesis import given
from hypothesis import strategies as st

from schema.ids import (
    MAX_ATTEMPT,
    attempt_id,
    event_id,
    notification_id,
    read_attempt_id,
    read_notification_id,
    read_task_id,
    task_id,
)
from schema.opaque import wrap

SOME = UUID("01890a5d-ac96-774b-bcce-b302099a8057")


def readings(id: str) -> list[object]:
    given = strawberry.ID(id)
    return [read_task_id(given), read_attempt_id(given), read_notification_id(given)]


@given(st.uuids(), st.integers(0, MAX_ATTEMPT))
def test_an_id_is_read_as_its_own_type_alone(id: UUID, number: int) -> None:
    assert readings(task_id(id)) == [id, None, None]
    assert readings(attempt_id(id, number)) == [None, (id, number), None]
    assert readings(notification_id(id)) == [None, None, id]
    assert readings(event_id(id, number)) == [None, None, None]


@given(st.text())
def test_other_texts_are_ids_of_nothing(text: str) -> None:
    assert readings(text) == [None, None, None]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Task",
        "Task:",
        f"task:{SOME}",
        f"Task:{str(SOME).upper()}",
        f"Task:{SOME.hex}",
        f"Task:{{{SOME}}}",
        f"Task:urn:uuid:{SOME}",
        f"Task:{SOME}:1",
        f"Task: {SOME}",
        f"Attempt:{SOME}",
        f"Attempt:{SOME}:",
        f"Attempt:{SOME}:-1",
        f"Attempt:{SOME}:01",
        f"Attempt:{SOME}:{MAX_ATTEMPT + 1}",
        f"Attempt:{SOME}:{'9' * 5000}",
        f"Schedule:{SOME}",
    ],
)
def test_an_id_has_one_spelling(text: str) -> None:
    assert readings(wrap(text)) == [None, None, None]


def test_an_id_is_not_padded_and_not_decorated() -> None:
    id = task_id(SOME)
    assert "=" not in id
    for near in (f"{id}=", f"{id}==", f" {id}", f"{id}\n", id[:-1], f"{id}A", f"{id}!"):
        assert read_task_id(strawberry.ID(near)) is None
