"""Events are read as they were written, and nothing is taken for one that is none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from domain.contracts.events import Event
from infra.live.event_reading import read_event, read_events
from tests.support.buses import a_misfire, an_event

EVENTS = [
    an_event(),
    an_event(labels=(), owner=None, body=None, title="ünïcode\u2028"),
    a_misfire(),
    a_misfire(exact=False),
]


@pytest.mark.parametrize("event", EVENTS)
def test_an_event_is_read_as_it_was_written(event: Event) -> None:
    wire = event.to_wire()
    assert read_event(json.dumps(wire), event.type) == event
    assert read_events(json.dumps([wire, wire]).encode(), event.type) == [event, event]
    assert read_event(json.dumps(wire), event.type).at.isoformat() == wire["at"]


def test_a_fact_of_another_version_is_read_as_far_as_this_one_knows_it() -> None:
    event = an_event()
    newer = event.to_wire() | {"more": 1}
    older = {name: value for name, value in event.to_wire().items() if name != "schedule_id"}
    assert read_event(json.dumps(newer), None) == read_event(json.dumps(older), None) == event


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "EXPLODED"},
        {"task_id": "5"},
        {"version": "1"},
        {"tenant": None},
        {"at": "infinity"},
        {"scheduled_at": "12026-01-01T00:00:00+00:00"},
        {"labels": [["a"]]},
    ],
)
def test_what_does_not_keep_to_the_contract_is_no_event(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  of whatever kind
        read_event(json.dumps(an_event().to_wire() | change), None)


@pytest.mark.parametrize("text", ["", "not json", "{}", "5", "null", "[]", "[" * 100_000])
def test_what_is_no_event_at_all_is_told_alike(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  of whatever kind
        read_event(text, None)


def test_a_type_that_is_not_known_is_not_taken_for_another() -> None:
    wire = json.dumps(an_event().to_wire())
    with pytest.raises(ValueError, match=r"task\.changed\.v9"):
        read_event(wire, "task.changed.v9")
    with pytest.raises(ValueError, match=r"task\.changed\.v9"):
        read_events(f"[{wire}]".encode(), "task.changed.v9")
