"""Recurrence rules: examples of RFC 5545, what may stand beside a rule, and what is refused by name."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.errors import Invalid
from domain.schedules.recurrence import RRule
from domain.schedules.rrule.parsing import parse
from domain.schedules.rrule.series import Series
from domain.schedules.rrule.words import describe
from infra.recurrence.reading import ReadRecurrences
from infra.recurrence.zones import zone_named
from tests.support.recurrences import instant, walls

NEW_YORK = "America/New_York"
RECURRENCES = ReadRecurrences()


@pytest.mark.parametrize(
    ("start", "text", "expected"),
    [  # RFC 5545, 3.8.5.3, in its order; the first ones of each
        ("1997-09-02 09:00", "FREQ=DAILY;COUNT=10", ["09-02", "09-03", "09-04"]),
        ("1997-09-02 09:00", "FREQ=DAILY;INTERVAL=10;COUNT=5", ["09-02", "09-12", "09-22", "10-02", "10-12"]),
        ("1998-01-01 09:00", "FREQ=YEARLY;UNTIL=20000131T140000Z;BYMONTH=1;BYDAY=SU,MO,TU,WE,TH,FR,SA",
         ["01-01", "01-02", "01-03"]),
        ("1997-09-02 09:00", "FREQ=WEEKLY;INTERVAL=2;WKST=SU", ["09-02", "09-16", "09-30", "10-14"]),
        ("1997-09-02 09:00", "FREQ=WEEKLY;UNTIL=19971007T000000Z;WKST=SU;BYDAY=TU,TH",
         ["09-02", "09-04", "09-09", "09-11", "09-16", "09-18", "09-23", "09-25", "09-30", "10-02"]),
        ("1997-09-01 09:00", "FREQ=WEEKLY;INTERVAL=2;UNTIL=19971224T000000Z;WKST=SU;BYDAY=MO,WE,FR",
         ["09-01", "09-03", "09-05", "09-15", "09-17", "09-19", "09-29"]),
        ("1997-09-05 09:00", "FREQ=MONTHLY;COUNT=10;BYDAY=1FR", ["09-05", "10-03", "11-07", "12-05", "01-02"]),
        ("1997-09-07 09:00", "FREQ=MONTHLY;INTERVAL=2;COUNT=10;BYDAY=1SU,-1SU",
         ["09-07", "09-28", "11-02", "11-30", "01-04", "01-25"]),
        ("1997-09-22 09:00", "FREQ=MONTHLY;COUNT=6;BYDAY=-2MO",
         ["09-22", "10-20", "11-17", "12-22", "01-19", "02-16"]),
        ("1997-09-28 09:00", "FREQ=MONTHLY;BYMONTHDAY=-3",
         ["09-28", "10-29", "11-28", "12-29", "01-29", "02-26"]),
        ("1997-09-30 09:00", "FREQ=MONTHLY;COUNT=10;BYMONTHDAY=1,-1", ["09-30", "10-01", "10-31", "11-01"]),
        ("1997-09-10 09:00", "FREQ=MONTHLY;INTERVAL=18;COUNT=10;BYMONTHDAY=10,11,12,13,14,15",
         ["09-10", "09-11", "09-12", "09-13", "09-14", "09-15", "03-10", "03-11"]),
        ("1997-06-10 09:00", "FREQ=YEARLY;COUNT=10;BYMONTH=6,7", ["06-10", "07-10", "06-10", "07-10"]),
        ("1997-01-01 09:00", "FREQ=YEARLY;INTERVAL=3;COUNT=10;BYYEARDAY=1,100,200",
         ["01-01", "04-10", "07-19", "01-01", "04-09", "07-18"]),
        ("1997-05-19 09:00", "FREQ=YEARLY;BYDAY=20MO", ["05-19", "05-18", "05-17"]),
        ("1997-03-13 09:00", "FREQ=YEARLY;BYMONTH=3;BYDAY=TH", ["03-13", "03-20", "03-27", "03-05"]),
        ("1998-02-13 09:00", "FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13", ["02-13", "03-13", "11-13", "08-13"]),
        ("1997-09-13 09:00", "FREQ=MONTHLY;BYDAY=SA;BYMONTHDAY=7,8,9,10,11,12,13",
         ["09-13", "10-11", "11-08", "12-13"]),
        ("1996-11-05 09:00", "FREQ=YEARLY;INTERVAL=4;BYMONTH=11;BYDAY=TU;BYMONTHDAY=2,3,4,5,6,7,8",
         ["11-05", "11-07", "11-02"]),
        ("1997-09-04 09:00", "FREQ=MONTHLY;COUNT=3;BYDAY=TU,WE,TH;BYSETPOS=3", ["09-04", "10-07", "11-06"]),
        ("1997-09-29 09:00", "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-2",
         ["09-29", "10-30", "11-27", "12-30", "01-29"]),
        ("1997-08-05 09:00", "FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=MO",
         ["08-05", "08-10", "08-19", "08-24"]),
        ("1997-08-05 09:00", "FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=SU",
         ["08-05", "08-17", "08-19", "08-31"]),
        ("2007-01-15 09:00", "FREQ=MONTHLY;BYMONTHDAY=15,30;COUNT=5",
         ["01-15", "01-30", "02-15", "03-15", "03-30"]),
    ],
)  # fmt: skip
def test_fires_on_the_days_the_rfc_lists(start: str, text: str, expected: list[str]) -> None:
    found = walls(RRule(text), start, len(expected), zone=NEW_YORK)
    assert found == [f"{each[:4]}-{day} 09:00" for each, day in zip(found, expected, strict=True)]
    assert found == sorted(found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FREQ=HOURLY;INTERVAL=3;UNTIL=19970902T210000Z", ["09:00", "12:00", "15:00"]),
        ("FREQ=MINUTELY;INTERVAL=15;COUNT=6", ["09:00", "09:15", "09:30", "09:45", "10:00", "10:15"]),
        ("FREQ=MINUTELY;INTERVAL=90;COUNT=4", ["09:00", "10:30", "12:00", "13:30"]),
        ("FREQ=DAILY;BYHOUR=9,10;BYMINUTE=0,20,40", ["09:00", "09:20", "09:40", "10:00", "10:20", "10:40"]),
        ("FREQ=MINUTELY;INTERVAL=20;BYHOUR=9,10", ["09:00", "09:20", "09:40", "10:00", "10:20", "10:40"]),
        ("FREQ=DAILY;BYHOUR=8,12,18;BYSETPOS=-1", ["18:00", "18:00"]),
        ("FREQ=HOURLY;BYMINUTE=5,35,50;BYSETPOS=2", ["09:35", "10:35"]),
    ],
)
def test_fires_at_the_times_the_rfc_lists(text: str, expected: list[str]) -> None:
    found = walls(RRule(text), "1997-09-02 09:00", len(expected), zone=NEW_YORK)
    assert [each.split()[1] for each in found] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("RRULE:FREQ=DAILY", ["2030-01-05 08:00", "2030-01-06 08:00"]),
        ("rrule:freq=daily;byhour=9;", ["2030-01-05 09:00", "2030-01-06 09:00"]),
        ("DTSTART:20300107T063000\nRRULE:FREQ=DAILY", ["2030-01-07 06:30", "2030-01-08 06:30"]),
        ("DTSTART;TZID=Europe/Berlin:20300107T063000\r\nFREQ=DAILY", ["2030-01-07 06:30"]),
        ("DTSTART:20300107T063000Z\nFREQ=DAILY", ["2030-01-07 07:30", "2030-01-08 07:30"]),
        ("DTSTART;VALUE=DATE:20300107\nFREQ=DAILY", ["2030-01-07 00:00", "2030-01-08 00:00"]),
        ("DTSTART:20200107T063000\nFREQ=DAILY", ["2030-01-06 06:30"]),  # never before the schedule's start
        ("DTSTART:20300101T100000\nFREQ=WEEKLY;INTERVAL=2", ["2030-01-15 10:00", "2030-01-29 10:00"]),
        ("FREQ=DAILY\nEXDATE:20300105T080000", ["2030-01-06 08:00", "2030-01-07 08:00"]),
        ("FREQ=DAILY\nEXDATE:20300105T070000Z", ["2030-01-06 08:00"]),
        ("FREQ=DAILY\nEXDATE:20300105T080001", ["2030-01-05 08:00"]),
        ("FREQ=DAILY;BYHOUR=7,9\nEXDATE;VALUE=DATE:20300105,20300107", ["2030-01-06 07:00", "2030-01-06 09:00",
                                                                       "2030-01-08 07:00"]),
        ("EXDATE:20300105T080000,\n 20300106T080000\nRRULE:FREQ=DAI\n LY\nEXDATE:20300107T080000",
         ["2030-01-08 08:00"]),
        ("FREQ=DAILY;COUNT=3\nEXDATE:20300106T080000", ["2030-01-05 08:00", "2030-01-07 08:00"]),
        ("FREQ=DAILY;UNTIL=20300106", ["2030-01-05 08:00", "2030-01-06 08:00"]),
        ("FREQ=DAILY;UNTIL=20300106T080000", ["2030-01-05 08:00", "2030-01-06 08:00"]),
        ("FREQ=DAILY;UNTIL=20300106T070000Z", ["2030-01-05 08:00", "2030-01-06 08:00"]),
        ("FREQ=DAILY;UNTIL=20300106T065959Z", ["2030-01-05 08:00"]),
        ("FREQ=MONTHLY;BYDAY=MO,1WE", ["2030-01-07 08:00", "2030-01-14 08:00", "2030-01-21 08:00",
                                       "2030-01-28 08:00", "2030-02-04 08:00", "2030-02-06 08:00"]),
    ],
)  # fmt: skip
def test_reads_what_stands_beside_a_rule(text: str, expected: list[str]) -> None:
    ends = "COUNT" in text or "UNTIL" in text
    found = walls(RRule(text), "2030-01-05 08:00", 99 if ends else len(expected), zone="Europe/Berlin")
    assert found == expected


def test_seconds_are_those_of_the_start() -> None:
    assert walls(RRule("FREQ=HOURLY;BYMINUTE=0"), "2030-01-05 08:00:07", 2) == [
        "2030-01-05 08:00:07",
        "2030-01-05 09:00:07",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "There must be a rule"),
        ("DTSTART:20300101T000000", "There must be a rule"),
        ("DAILY", "'DAILY' is not"),
        ("FREQ=", "'FREQ=' is not"),
        ("INTERVAL=2", "FREQ must be given"),
        ("FREQ=SECONDLY", "FREQ='SECONDLY' is not known here: it is one of YEARLY, MONTHLY"),
        ("FREQ=DAILY;FREQ=DAILY", "FREQ can be given once"),
        ("FREQ=DAILY;BYDAY=MO;BYDAY=TU", "BYDAY can be given once"),
        ("FREQ=DAILY;;COUNT=2", "'' is not"),
        ("FREQ=DAILY;BYSECOND=3", "BYSECOND is not known here: the second is that of the start"),
        ("FREQ=YEARLY;BYWEEKNO=3", "BYWEEKNO is not known here"),
        ("FREQ=YEARLY;BYEASTER=0", "'BYEASTER' is not known here"),
        ("FREQ=DAILY;RSCALE=HEBREW", "'RSCALE' is not known here"),
        ("FREQ=DAILY;INTERVAL=0", "INTERVAL takes numbers from 1"),
        ("FREQ=DAILY;INTERVAL=-1", "INTERVAL takes numbers from 1"),
        ("FREQ=DAILY;INTERVAL=\u0663", "INTERVAL takes numbers from 1"),
        ("FREQ=YEARLY;INTERVAL=9", "INTERVAL must not be longer than eight years"),
        ("FREQ=MINUTELY;INTERVAL=9999999", "INTERVAL must not be longer than eight years"),
        ("FREQ=DAILY;COUNT=0", "COUNT takes numbers from 1 to 10000"),
        ("FREQ=DAILY;COUNT=10001", "COUNT takes numbers from 1 to 10000"),
        ("FREQ=DAILY;COUNT=2;UNTIL=20300101", "COUNT and UNTIL cannot both be given"),
        ("FREQ=DAILY;UNTIL=tomorrow", "UNTIL takes dates like 20300131"),
        ("FREQ=DAILY;UNTIL=20300230", "UNTIL has a date or time that does not exist: 20300230"),
        ("FREQ=DAILY;UNTIL=20300201T240000", "does not exist"),
        ("FREQ=DAILY;UNTIL=99990101", "UNTIL takes dates from 1900 to 2199"),
        ("FREQ=DAILY;BYMONTH=13", "BYMONTH takes numbers from 1 to 12; '13' is none"),
        ("FREQ=DAILY;BYMONTH=-1", "BYMONTH takes numbers from 1 to 12"),
        ("FREQ=DAILY;BYMONTH=1,,2", "BYMONTH takes numbers from 1 to 12; '' is none"),
        ("FREQ=DAILY;BYMONTHDAY=0", "there is no 0"),
        ("FREQ=DAILY;BYMONTHDAY=32", "BYMONTHDAY takes numbers from -31 to 31"),
        ("FREQ=YEARLY;BYYEARDAY=367", "BYYEARDAY takes numbers from -366 to 366"),
        ("FREQ=DAILY;BYHOUR=24", "BYHOUR takes numbers from 0 to 23"),
        ("FREQ=DAILY;BYMINUTE=60", "BYMINUTE takes numbers from 0 to 59"),
        ("FREQ=WEEKLY;BYDAY=MON", "BYDAY takes days like MO, 2TU or -1FR; 'MON' is none"),
        ("FREQ=MONTHLY;BYDAY=0MO", "there is no 0"),
        ("FREQ=YEARLY;BYDAY=54MO", "BYDAY takes numbers from -53 to 53"),
        ("FREQ=WEEKLY;BYDAY=1MO", "BYDAY cannot have numbers with FREQ=WEEKLY"),
        ("FREQ=WEEKLY;BYMONTHDAY=1", "BYMONTHDAY cannot be used with FREQ=WEEKLY"),
        ("FREQ=MONTHLY;BYYEARDAY=1", "BYYEARDAY cannot be used with FREQ=MONTHLY"),
        ("FREQ=MONTHLY;BYSETPOS=1", "BYSETPOS needs another BY part"),
        ("FREQ=MINUTELY;BYHOUR=1;BYSETPOS=1", "BYSETPOS cannot be used with FREQ=MINUTELY"),
        ("FREQ=MONTHLY;BYDAY=MO;BYSETPOS=0", "there is no 0"),
        ("FREQ=WEEKLY;WKST=XX", "WKST takes one of MO, TU, WE, TH, FR, SA, SU; 'XX' is none"),
        ("FREQ=DAILY\nFREQ=WEEKLY", "RRULE can be given once"),
        ("RRULE;X=1:FREQ=DAILY", "RRULE has no parameters"),
        ("DTSTART:20300101\nDTSTART:20300101\nFREQ=DAILY", "DTSTART can be given once"),
        ("FREQ=DAILY\nRDATE:20300101T000000", "'RDATE' is not known here"),
        ("FREQ=DAILY\nEXRULE:FREQ=WEEKLY", "'EXRULE' is not known here"),
        ("FREQ=DAILY\nEXDATE;X=1:20300101", "EXDATE has a parameter that is not known here: 'X=1'"),
        ("FREQ=DAILY\nEXDATE:20300101,", "EXDATE takes dates like"),
        ("FREQ=DAILY;" * 50, "at most 512 characters; it has 550"),
    ],
)
def test_refuses_by_name(text: str, told: str) -> None:
    with pytest.raises(Invalid) as refusal:
        parse(text)
    assert told in refusal.value.message
    assert refusal.value.path == ("rrule",)


@pytest.mark.parametrize(
    "text",
    [
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=HOURLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=MINUTELY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=YEARLY;INTERVAL=4;BYMONTH=2;BYMONTHDAY=29",  # from a year that is not the right one
        "FREQ=MONTHLY;INTERVAL=12;BYMONTH=3",  # from January
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29;BYDAY=MO",  # that of 2044
        "FREQ=YEARLY;BYDAY=53MO;BYYEARDAY=1",
        "FREQ=MONTHLY;BYDAY=1MO;BYMONTHDAY=8",
        "FREQ=DAILY;BYHOUR=9;BYSETPOS=2",
        "FREQ=HOURLY;BYMINUTE=9,10;BYSETPOS=3",
        "FREQ=WEEKLY;BYDAY=MO;BYSETPOS=2",
        "FREQ=HOURLY;INTERVAL=2;BYHOUR=1,3",
        "FREQ=MINUTELY;INTERVAL=14;BYMINUTE=1",
        "FREQ=DAILY;INTERVAL=7;BYDAY=MO",  # from a Tuesday
        "FREQ=MINUTELY;INTERVAL=10080;BYDAY=MO",
        "FREQ=DAILY;UNTIL=20291231",
        "DTSTART:20291201T000000\nFREQ=DAILY;COUNT=3",
        "FREQ=YEARLY;COUNT=1\nEXDATE;VALUE=DATE:20300101",
    ],
)
def test_refuses_what_cannot_fire_within_eight_years(text: str) -> None:
    start = instant("2030-01-01 00:00")
    with pytest.raises(Invalid, match="does not fire within eight years") as refusal:
        RECURRENCES.check(RRule(text), "UTC", start, start)
    assert refusal.value.path == ("rrule",)


def test_the_31st_is_left_out_where_there_is_none() -> None:
    assert walls(RRule("FREQ=MONTHLY"), "2030-01-31 09:00", 4) == [
        "2030-01-31 09:00", "2030-03-31 09:00", "2030-05-31 09:00", "2030-07-31 09:00",
    ]  # fmt: skip


def test_a_leap_day_is_found_across_a_year_that_skips_it() -> None:
    found = walls(RRule("FREQ=YEARLY"), "2092-02-29 09:00", 3)
    assert found == ["2092-02-29 09:00", "2096-02-29 09:00", "2104-02-29 09:00"]


def test_the_last_second_of_the_calendar_is_an_end() -> None:
    start = datetime(9999, 12, 30, 23, tzinfo=UTC)
    for text in ("FREQ=DAILY", "FREQ=MINUTELY", "FREQ=YEARLY;BYMONTH=1"):
        assert RECURRENCES.next_after(RRule(text), "America/Los_Angeles", start, start) is None


def test_the_zone_of_a_start_must_be_that_of_the_schedule() -> None:
    start = instant("2030-01-01 00:00")
    text = "DTSTART;TZID=Europe/Paris:20300101T000000\nFREQ=DAILY"
    with pytest.raises(Invalid, match="TZID must be the schedule's own zone, Europe/Berlin"):
        RECURRENCES.next_after(RRule(text), "Europe/Berlin", start, start)


def test_count_may_begin_two_years_ago_at_most_when_it_is_checked() -> None:
    now = instant("2030-01-01 00:00")
    old = RRule("DTSTART:20270101T000000\nFREQ=DAILY;COUNT=9999")
    with pytest.raises(Invalid, match="With COUNT, it must not begin more than two years ago"):
        RECURRENCES.check(old, "UTC", now, now)
    assert RECURRENCES.next_after(old, "UTC", now, now) == now + timedelta(days=1)
    RECURRENCES.check(RRule("DTSTART:19550301T000000\nFREQ=YEARLY"), "UTC", now, now)


RULES = ["FREQ=DAILY;BYHOUR=2;BYMINUTE=30", "FREQ=HOURLY;BYMINUTE=0,30", "FREQ=MINUTELY;INTERVAL=45"]


@settings(max_examples=60, deadline=None)
@given(
    text=st.sampled_from(RULES),
    zone=st.sampled_from(["Europe/Berlin", "Australia/Lord_Howe", "Africa/Cairo"]),
    start=st.sampled_from(["2030-03-30", "2030-04-06", "2030-04-25", "2030-10-26", "2030-10-31"]),
    count=st.integers(1, 120),
    data=st.data(),
)
def test_count_is_of_instants_also_where_clocks_are_changed(
    text: str, zone: str, start: str, count: int, data: st.DataObject
) -> None:
    anchor = instant(f"{start} 00:00")
    place = zone_named(zone)
    everything = _fires(Series(parse(text), place, anchor), anchor, count + 5)
    counted = Series(parse(f"{text};COUNT={count}"), place, anchor)
    assert _fires(counted, anchor, count + 5) == everything[:count]
    for after in data.draw(st.permutations(everything))[:20]:
        later = [each for each in everything[:count] if each > after]
        assert counted.next_after(after) == (later[0] if later else None)


def _fires(series: Series, anchor: datetime, most: int) -> list[datetime]:
    found: list[datetime] = []
    at = series.next_after(anchor - timedelta(seconds=1))
    while at is not None and len(found) < most:
        found.append(at)
        at = series.next_after(at)
    return found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("FREQ=DAILY", "Every day"),
        ("FREQ=DAILY;BYHOUR=9,17;BYMINUTE=30", "Every day at 09:30 and 17:30"),
        ("FREQ=WEEKLY;INTERVAL=2;BYDAY=FR,MO,WE", "Every 2 weeks on Monday, Wednesday and Friday"),
        ("FREQ=MONTHLY;BYDAY=-1FR;COUNT=5", "Every month on the last Friday, 5 times"),
        ("FREQ=MONTHLY;BYMONTHDAY=-1,1,22",
         "Every month on the 1st day, the 22nd day and the last day of the month"),
        ("FREQ=MONTHLY;BYMONTHDAY=-2", "Every month on the 2nd last day of the month"),
        ("FREQ=YEARLY;BYMONTH=3,1;BYMONTHDAY=13",
         "Every year on the 13th day of the month in January and March"),
        ("FREQ=YEARLY;BYYEARDAY=100", "Every year on the 100th day of the year"),
        ("FREQ=YEARLY;BYDAY=20MO", "Every year on the 20th Monday of the year"),
        ("FREQ=HOURLY;BYMINUTE=0,30", "Every hour at minute 0 and 30"),
        ("FREQ=MINUTELY;INTERVAL=5;BYHOUR=9,10", "Every 5 minutes in hour 9 and 10"),
        ("FREQ=DAILY;COUNT=1", "Every day, once"),
        ("FREQ=DAILY;UNTIL=20300131", "Every day, until 2030-01-31"),
        ("FREQ=DAILY;UNTIL=20300131T080000Z", "Every day, until 2030-01-31 08:00 UTC"),
        ("FREQ=DAILY\nEXDATE:20300131", "Every day, with exceptions"),
        ("FREQ=MONTHLY;BYDAY=MO;BYSETPOS=-1", None),
    ],
)  # fmt: skip
def test_says_it_in_words(text: str, words: str | None) -> None:
    assert describe(parse(text)) == words
