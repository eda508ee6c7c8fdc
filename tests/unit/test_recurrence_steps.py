"""One fire time takes so many steps at most, whatever the recurrence: who computes one needs no limit."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import FrameType
from typing import Final

import pytest

from domain.schedules.recurrence import HORIZON, Cron, Recurrence, RRule
from infra.recurrence.reading import ReadRecurrences

START: Final = datetime(2030, 1, 1, 8, tzinfo=UTC)
ZONE: Final = "Europe/Berlin"
EVERY_DAY: Final = "MO,TU,WE,TH,FR,SA,SU"
HOURS: Final = ",".join(str(hour) for hour in range(24))
STEPS_A_DAY: Final = 12


def steps(work: Callable[[], object]) -> int:
    """Functions that are called for it."""
    counted = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal counted
        counted += event == "call"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(before)
    return counted


@pytest.mark.parametrize(
    "never",
    [
        Cron("0 0 */29 * 1#4"),
        RRule("FREQ=DAILY;BYMONTHDAY=29;BYDAY=MO;BYMONTH=2;INTERVAL=7"),
        RRule(
            "FREQ=YEARLY;BYDAY=1MO,2TU,3WE,4TH,5FR,1SA,6SU;BYMONTHDAY=1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,"
            "18,19,20,21,22,23,24,25,26,27,28,29,30,31;BYSETPOS=366"
        ),
        RRule("FREQ=HOURLY;INTERVAL=23;BYHOUR=0;BYMINUTE=0;BYMONTHDAY=31;BYMONTH=2"),
        RRule("FREQ=MINUTELY;INTERVAL=1441;BYHOUR=8;BYMINUTE=0;BYDAY=MO;BYMONTH=3"),
        RRule("FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU;BYHOUR=2;BYMINUTE=30"),
    ],
    ids=str,
)
def test_one_that_never_fires_takes_a_few_steps_for_each_day_of_eight_years(never: Recurrence) -> None:
    recurrences = ReadRecurrences()
    after = START + timedelta(days=90)
    found: list[datetime | None] = []
    taken = steps(lambda: found.append(recurrences.next_after(never, ZONE, START, after)))
    assert found == [None]
    assert taken < STEPS_A_DAY * HORIZON.days


@pytest.mark.parametrize("frequency", ["YEARLY", "MONTHLY"])
def test_the_days_of_a_month_are_looked_at_once_for_all_its_fire_times(frequency: str) -> None:
    recurrences, rule = (
        ReadRecurrences(),
        RRule(f"FREQ={frequency};BYDAY={EVERY_DAY};BYHOUR={HOURS};BYMINUTE=0"),
    )
    times = recurrences.fire_times(rule, ZONE, START, START, 100)
    next(times)
    days_of_a_month = 31
    assert steps(lambda: [next(times) for _ in range(50)]) < 50 * days_of_a_month
