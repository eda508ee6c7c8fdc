"""What a client is shown of a recurrence before it is stored."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.face import Face

PREVIEW = """query($recurrence: RecurrenceInput!, $timeZone: TimeZone!, $from: DateTime, $first: Int) {
  previewRecurrence(recurrence: $recurrence, timeZone: $timeZone, from: $from, first: $first) {
    fireTimes description errors { code path message } } }"""


@pytest.fixture
def face() -> Face:
    return Face()


async def preview(face: Face, recurrence: dict[str, Any], zone: str = "UTC", **rest: Any) -> dict[str, Any]:
    data = await face.ask(PREVIEW, recurrence=recurrence, timeZone=zone, **rest)
    shown: dict[str, Any] = data["previewRecurrence"]
    return shown


async def test_fire_times_are_shown_in_order_and_in_utc(face: Face) -> None:
    shown = await preview(
        face, {"cron": "30 2 * * *"}, "Europe/Berlin", **{"from": "2030-03-30T12:00:00Z", "first": 2}
    )
    assert shown["fireTimes"] == ["2030-03-31T01:00:00Z", "2030-04-01T00:30:00Z"]
    assert shown["errors"] == []


async def test_it_begins_now_when_nothing_else_is_said(face: Face) -> None:
    shown = await preview(face, {"every": "PT1H"}, first=2)
    assert shown["fireTimes"] == ["2030-01-31T09:00:00Z", "2030-01-31T10:00:00Z"]
    assert shown["description"] == "Every hour"


@pytest.mark.parametrize(
    ("recurrence", "zone", "rest", "path"),
    [
        ({"cron": "61 * * * *"}, "UTC", {}, ["recurrence", "cron"]),
        ({"rrule": "FREQ=SECONDLY"}, "UTC", {}, ["recurrence", "rrule"]),
        ({"every": "PT0S"}, "UTC", {}, ["recurrence", "every"]),
        ({"cron": "0 0 30 2 *"}, "UTC", {}, ["recurrence", "cron"]),
        ({"cron": "@daily"}, "Mars/Olympus", {}, ["timeZone"]),
        ({"cron": "@daily"}, "UTC", {"from": "2030-01-31T08:00:00"}, ["from"]),
    ],
)
async def test_what_is_wrong_is_told_by_its_field(
    face: Face, recurrence: dict[str, Any], zone: str, rest: dict[str, Any], path: list[str]
) -> None:
    shown = await preview(face, recurrence, zone, **rest)
    [error] = shown["errors"]
    assert (error["code"], error["path"], shown["fireTimes"]) == ("INVALID", path, [])


@pytest.mark.parametrize("first", [0, -1, 101])
async def test_no_more_than_a_page_is_shown(face: Face, first: int) -> None:
    error = await face.error(PREVIEW, recurrence={"cron": "@daily"}, timeZone="UTC", first=first)
    assert error["extensions"]["code"] == "INVALID"
