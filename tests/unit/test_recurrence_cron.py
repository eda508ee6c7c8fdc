"""Cron expressions: every field, name and special sign, and what is refused."""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, datetime, timedelta

import pytest
from cronsim import CronSim, CronSimError
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import Invalid
from domain.schedules.recurrence import Cron
from infra.recurrence.cron import MACROS, CronTimes
from infra.recurrence.reading import ReadRecurrences
from tests.support.recurrences import instant, walls

RECURRENCES = ReadRecurrences()
START = "2030-01-01 00:00"


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 9 * * *", ["2030-01-01 09:00", "2030-01-02 09:00"]),
        ("*/20 9-10 * * *", ["2030-01-01 09:00", "2030-01-01 09:20", "2030-01-01 09:40", "2030-01-01 10:00"]),
        ("5/25 0 * * *", ["2030-01-01 00:05", "2030-01-01 00:30", "2030-01-01 00:55", "2030-01-02 00:05"]),
        ("30 0 0 * * *", ["2030-01-01 00:00:30", "2030-01-02 00:00:30"]),
        ("*/30 0 9 * * *", ["2030-01-01 09:00", "2030-01-01 09:00:30", "2030-01-02 09:00"]),
        ("0 9 * * MON-FRI", ["2030-01-01 09:00", "2030-01-02 09:00", "2030-01-03 09:00", "2030-01-04 09:00",
                             "2030-01-07 09:00"]),
        ("0 9 * jan,Jul sun", ["2030-01-06 09:00", "2030-01-13 09:00"]),
        ("0 9 * * 7", ["2030-01-06 09:00", "2030-01-13 09:00"]),
        ("0 9 * * 0", ["2030-01-06 09:00", "2030-01-13 09:00"]),
        ("0 9 31 * *", ["2030-01-31 09:00", "2030-03-31 09:00", "2030-05-31 09:00"]),
        ("0 9 29 2 *", ["2032-02-29 09:00", "2036-02-29 09:00"]),
        ("0 9 L * *", ["2030-01-31 09:00", "2030-02-28 09:00", "2030-03-31 09:00"]),
        ("0 9 L 2 *", ["2030-02-28 09:00", "2031-02-28 09:00", "2032-02-29 09:00"]),
        ("0 9 LW * *", ["2030-01-31 09:00", "2030-02-28 09:00", "2030-03-29 09:00"]),
        ("0 9 15W * *", ["2030-01-15 09:00", "2030-02-15 09:00", "2030-03-15 09:00", "2030-04-15 09:00",
                         "2030-05-15 09:00", "2030-06-14 09:00"]),
        ("0 9 15W 9 *", ["2030-09-16 09:00"]),  # a Sunday moves on
        ("0 9 1W 6 *", ["2030-06-03 09:00"]),  # Saturday the first stays in its month
        ("0 9 30W 6 *", ["2030-06-28 09:00"]),  # Sunday the last stays in its month
        ("0 9 31W * *", ["2030-01-31 09:00", "2030-03-29 09:00"]),  # only months that have a 31st
        ("0 9 1W,20 6 *", ["2030-06-03 09:00", "2030-06-20 09:00"]),
        ("0 9 * * 5L", ["2030-01-25 09:00", "2030-02-22 09:00"]),
        ("0 9 * * MON#2", ["2030-01-14 09:00", "2030-02-11 09:00"]),
        ("0 9 * * 4#5", ["2030-01-31 09:00", "2030-05-30 09:00"]),
        ("0 9 13 * FRI", ["2030-01-04 09:00", "2030-01-11 09:00", "2030-01-13 09:00"]),  # either
        ("0 9 */13 * FRI", ["2030-02-01 09:00", "2030-03-01 09:00", "2030-06-14 09:00"]),  # both
        ("0 9 ? * MON", ["2030-01-07 09:00", "2030-01-14 09:00"]),
        ("0 9 10 * ?", ["2030-01-10 09:00", "2030-02-10 09:00"]),
        ("0 0 9 10 * ?", ["2030-01-10 09:00", "2030-02-10 09:00"]),
        ("@hourly", ["2030-01-01 00:00", "2030-01-01 01:00"]),
        ("@daily", ["2030-01-01 00:00", "2030-01-02 00:00"]),
        ("@Midnight", ["2030-01-01 00:00", "2030-01-02 00:00"]),
        ("@weekly", ["2030-01-06 00:00", "2030-01-13 00:00"]),
        ("@monthly", ["2030-01-01 00:00", "2030-02-01 00:00"]),
        (" @yearly ", ["2030-01-01 00:00", "2031-01-01 00:00"]),
        ("@annually", ["2030-01-01 00:00", "2031-01-01 00:00"]),
    ],
)  # fmt: skip
def test_fires(expression: str, expected: list[str]) -> None:
    assert walls(Cron(expression), START, len(expected)) == expected


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("", "five fields"),
        ("* * * *", "it has 4"),
        ("* * * * * * *", "it has 7"),
        ("60 * * * *", "The minute field, '60', is not understood: it takes 0 to 59"),
        ("* 24 * * *", "The hour field"),
        ("* * 0 * *", "The day-of-month field"),
        ("* * 32W * *", "The day-of-month field"),
        ("* * 5WL * *", "The day-of-month field"),
        ("* * L-3 * *", "The day-of-month field"),
        ("* * * 13 *", "The month field"),
        ("* * * FOO *", "The month field"),
        ("* * * * 8", "The day-of-week field"),
        ("* * * * L", "The day-of-week field"),
        ("* * * * MON#6", "The day-of-week field"),
        ("* * * * FRI-MON", "The day-of-week field"),
        ("61 * * * * *", "The second field"),
        ("*/0 * * * *", "The minute field"),
        ("1,,2 * * * *", "The minute field"),
        ("H * * * *", "The minute field"),
        ("? * * * *", "The minute field"),
        ("@reboot", "'@reboot' is not known; @yearly"),
        ("@every 5m", "is not known"),
        ("\u0661 * * * *", "ASCII"),
        ("* * * * fr\u0131", "ASCII"),
        ("* " * 257, "at most 512 characters; it has 514"),
    ],
)
def test_refuses_with_the_field_and_what_it_takes(expression: str, told: str) -> None:
    with pytest.raises(Invalid) as refusal:
        CronTimes(expression)
    assert told in refusal.value.message
    assert refusal.value.path == ("cron",)


@pytest.mark.fault(23, "a recurrence that cannot fire within 8 years")
@pytest.mark.parametrize(
    "expression",
    [
        "0 0 30 2 *",
        "0 0 31 4,6,9,11 *",
        "0 0 */31 * MON#2",
        "0 0 31W 2 *",
        "0 0 * 2 MON#5",  # the next February with five Mondays is that of 2044
        "0 0 */29 2 SUN#5",
    ],
)
def test_refuses_what_cannot_fire_within_eight_years(expression: str) -> None:
    start = instant("2030-01-01 00:00")
    with pytest.raises(Invalid, match="fire"):
        RECURRENCES.check(Cron(expression), "UTC", start, start)


@pytest.mark.fault(23, "leap days")
def test_a_leap_day_is_found_across_a_year_that_skips_it() -> None:
    # 2100 is no leap year: eight years from one 29 February to the next.
    start = instant("2096-02-29 12:00")
    RECURRENCES.check(Cron("0 12 29 2 *"), "UTC", start, start)
    assert walls(Cron("0 12 29 2 *"), "2096-02-29 12:00", 2) == ["2096-02-29 12:00", "2104-02-29 12:00"]


FIELD_RANGES = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 7)]


@st.composite
def fields(draw: st.DrawFn, least: int, most: int) -> str:
    number = st.integers(least, most)
    kind = draw(st.sampled_from(["*", "list", "range", "step", "from"]))
    if kind == "list":
        return ",".join(map(str, draw(st.lists(number, min_size=1, max_size=4))))
    low, high = sorted((draw(number), draw(number)))
    step = draw(st.integers(1, most + 5))
    return {"*": "*", "range": f"{low}-{high}", "step": f"*/{step}", "from": f"{low}-{high}/{step}"}[kind]


@st.composite
def expressions(draw: st.DrawFn) -> str:
    parts = [draw(fields(least, most)) for least, most in FIELD_RANGES]
    if draw(st.booleans()):
        parts.insert(0, draw(fields(0, 59)))
    if draw(st.integers(0, 4)) == 0:
        parts[-3] = draw(st.sampled_from(["L", "LW", "5,L"]))
    if draw(st.integers(0, 4)) == 0:
        parts[-1] = draw(st.sampled_from(["5L", "MON#1", "SUN#5,2", "0L,TUE"]))
    return " ".join(parts)


INSTANTS = st.datetimes(
    datetime(2020, 1, 1), datetime(2037, 1, 1), timezones=st.just(UTC)  # noqa: DTZ001  Hypothesis adds the zone
)  # fmt: skip


@given(expressions(), INSTANTS)
def test_walks_as_cronsim_does_where_no_clock_is_changed(expression: str, after: datetime) -> None:
    try:
        times = CronTimes(expression)
    except Invalid:
        with pytest.raises((CronSimError, StopIteration)):
            next(CronSim(expression, after))
        return
    theirs = CronSim(expression, after)
    expected = after
    for _ in range(5):
        found = times.next_after(UTC, expected)
        earlier, expected = expected, next(theirs, datetime.max.replace(tzinfo=UTC))
        if found is None:
            assert expected - earlier > timedelta(days=8 * 365)
            return
        assert found == expected


@given(st.sets(st.integers(1, 31), min_size=1, max_size=3), st.integers(2020, 2036), st.integers(1, 12))
def test_w_is_the_nearest_weekday_of_the_month(days: set[int], year: int, month: int) -> None:
    length = monthrange(year, month)[1]
    weekdays = [day for day in range(1, length + 1) if datetime(year, month, day, tzinfo=UTC).weekday() < 5]
    # Both neighbours of a weekend can be equally near to neither of its days, so the nearest is always one.
    expected = {min(weekdays, key=lambda each: abs(each - day)) for day in days if day <= length}
    times = CronTimes(f"0 0 {','.join(f'{day}W' for day in days)} {month} *")
    found, at = set(), datetime(year, month, 1, tzinfo=UTC) - timedelta(seconds=1)
    while (next_one := times.next_after(UTC, at)) is not None and (next_one.year, next_one.month) == (
        year,
        month,
    ):
        at = next_one
        found.add(at.day)
    assert found == expected


def test_never_fires_at_the_instant_it_is_asked_from() -> None:
    nine = instant("2030-01-01 09:00")
    for early in (timedelta(0), timedelta(microseconds=1)):
        found = CronTimes("0 9 * * *").next_after(UTC, nine - early)
        assert found == (nine if early else nine + timedelta(days=1))


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("0 9 * * MON-FRI", "At 09:00 on Monday through Friday"),
        ("@daily", "At 00:00 every day"),
        ("0 9 ? * 5L", "At 09:00 on the last Friday of the month"),
        ("0 9 15W * *", "At 09:00 on the 15th day of every month, moved to the nearest weekday"),
        ("0 9 15W,L * *", None),
    ],
)
def test_says_it_in_words(expression: str, words: str | None) -> None:
    assert CronTimes(expression).describe() == words


@given(expressions())
def test_finds_words_for_all_it_understands(expression: str) -> None:
    try:
        times = CronTimes(expression)
    except Invalid:
        return
    assert times.describe()


def test_every_macro_is_an_expression() -> None:
    for macro in MACROS:
        assert CronTimes(macro).describe()
