"""Scalars are read strictly and written in one form."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from graphql import GraphQLError
from hypothesis import given
from hypothesis import strategies as st

from schema.durations import format_duration, parse_duration
from schema.scalars import format_instant, parse_instant
from tests.support.face import Face

LATEST = datetime.max.replace(tzinfo=UTC)


@given(st.timedeltas())
def test_a_duration_survives_being_written_and_read(span: timedelta) -> None:
    assert parse_duration(format_duration(span)) == span


@pytest.mark.parametrize(
    ("text", "span", "written"),
    [
        ("PT30S", timedelta(seconds=30), "PT30S"),
        ("P1D", timedelta(days=1), "P1D"),
        ("PT24H", timedelta(days=1), "P1D"),
        ("P1W", timedelta(days=7), "P7D"),
        ("P1DT2H3M4.5S", timedelta(days=1, hours=2, minutes=3, seconds=4.5), "P1DT2H3M4.5S"),
        ("PT0,25S", timedelta(milliseconds=250), "PT0.25S"),
        ("PT0S", timedelta(0), "PT0S"),
        ("PT0.0000009S", timedelta(0), "PT0S"),
        ("-PT5S", timedelta(seconds=-5), "-PT5S"),
        ("+PT90M", timedelta(minutes=90), "PT1H30M"),
    ],
)
def test_durations_are_written_in_one_form(text: str, span: timedelta, written: str) -> None:
    assert parse_duration(text) == span
    assert format_duration(span) == written


@pytest.mark.parametrize("text", ["P999999999999999999999999D", "PT99999999999999999999999999999H"])
def test_what_no_span_can_hold_becomes_the_longest(text: str) -> None:
    assert parse_duration(text) == timedelta.max
    assert parse_duration(f"-{text}") == timedelta.min


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "written as"),
        ("P", "written as"),
        ("PT", "written as"),
        ("P1DT", "written as"),
        ("30", "written as"),
        ("PT30", "written as"),
        ("pt30s", "written as"),
        ("PT1.5H", "written as"),
        ("PT30S ", "written as"),
        ("PT\u0663S", "written as"),
        ("P1H", "written as"),
        ("P1Y", "years and months"),
        ("P2M", "years and months"),
        ("P1Y2M3DT4H", "years and months"),
        (f"PT{'9' * 5000}S", "at most"),
    ],
)
def test_what_is_no_duration_is_refused_with_the_reason(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_duration(text)


@given(st.datetimes(timezones=st.timezones()))
def test_an_instant_survives_being_written_and_read(instant: datetime) -> None:
    try:
        as_utc = instant.astimezone(UTC)
    except OverflowError:
        return
    written = format_instant(instant)
    assert written.endswith("Z")
    assert parse_instant(written) == as_utc


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("2030-01-31T08:00:00Z", "2030-01-31T08:00:00Z"),
        ("2030-01-31T08:00Z", "2030-01-31T08:00:00Z"),
        ("2030-01-31t10:00:00+02:00", "2030-01-31T08:00:00Z"),
        ("2030-01-31 08:00:00.123456789z", "2030-01-31T08:00:00.123456Z"),
        ("2030-01-31T03:30:00-0430", "2030-01-31T08:00:00Z"),
        ("0001-01-01T00:00:00+12:00", "0001-01-01T00:00:00Z"),
    ],
)
def test_an_instant_is_told_in_utc(text: str, written: str) -> None:
    assert format_instant(parse_instant(text)) == written


@pytest.mark.parametrize(
    "text",
    ["10000-01-01T00:00:00Z", "+010000-01-01T00:00:00Z", "99999-12-31T23:59:59Z", "9999-12-31T23:59:59-01:00"],
)
def test_what_lies_beyond_the_years_becomes_the_last_instant(text: str) -> None:
    assert parse_instant(text) == LATEST


def test_an_instant_without_offset_stays_without_one() -> None:
    assert parse_instant("2030-01-31T08:00:00").tzinfo is None


@pytest.mark.parametrize(
    "value",
    [
        "", "tomorrow", "2030-01-31", "20300131T080000Z", "2030-W05-4T08:00:00Z", "2030-02-30T08:00:00Z",
        "2030-01-31T25:00:00Z", "2030-01-31T08:00:60Z", "2030-01-31T08:00:00 +02:00", "2030-01-31T08:00:00Z ",
        "2030-01-31T08:00:00+99:00", "\u0662030-01-31T08:00:00Z", 1896076800, None, True,
        ["2030-01-31T08:00:00Z"],
    ],
)  # fmt: skip
def test_what_is_no_instant_is_refused(value: object) -> None:
    with pytest.raises(GraphQLError, match="DateTime"):
        parse_instant(value)


@pytest.mark.parametrize("text", ["2030-02-30T08:00:00Z", "2030-01-31T08:00:00+99:99", "0000-01-31T08:00:00Z"])
def test_an_instant_there_cannot_be_is_refused_in_our_own_words(text: str) -> None:
    with pytest.raises(GraphQLError) as refused:
        parse_instant(text)
    assert refused.value.message == "There is no such DateTime: its date, time or offset is out of range."


@pytest.mark.parametrize(
    ("query", "column"),
    [
        ('{ previewRecurrence(recurrence: {every: "90m"}, timeZone: "UTC") { fireTimes } }', 41),
        ('{ tasks(filter: {dueAfter: "tomorrow"}) { nodes { id } } }', 28),
    ],
)
async def test_a_value_refused_in_a_document_says_where_it_stands(query: str, column: int) -> None:
    assert (await Face().error(query))["locations"] == [{"line": 1, "column": column}]
