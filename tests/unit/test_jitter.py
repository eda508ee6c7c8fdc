"""Jitter spreads fire times, the same way in every process, and never past the next one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from domain.schedules.jitter import jittered

SCHEDULE = UUID("0197a1f0-0000-7000-8000-000000000001")
FIRE_TIME = datetime(2030, 1, 31, 8, tzinfo=UTC)
HOUR = timedelta(hours=1)


@given(
    schedule=st.uuids(),
    jitter=st.timedeltas(timedelta(0), 48 * HOUR),
    gap=st.none() | st.timedeltas(timedelta(seconds=1), 48 * HOUR),
)
def test_it_delays_by_less_than_asked_and_stays_before_the_next(
    schedule: UUID, jitter: timedelta, gap: timedelta | None
) -> None:
    following = None if gap is None else FIRE_TIME + gap
    due = jittered(schedule, FIRE_TIME, jitter, following)
    assert FIRE_TIME <= due <= FIRE_TIME + jitter
    assert following is None or due < following
    assert due == jittered(schedule, FIRE_TIME.astimezone(), jitter, following)


def test_it_is_the_same_in_every_process_and_release() -> None:
    # A known answer: schedulers of two releases must agree while one replaces the other.
    assert jittered(SCHEDULE, FIRE_TIME, HOUR, None) == FIRE_TIME + timedelta(
        minutes=13, seconds=22, microseconds=737_553
    )


def test_none_is_asked_none_is_given() -> None:
    assert jittered(SCHEDULE, FIRE_TIME, timedelta(0), FIRE_TIME + HOUR) == FIRE_TIME


def test_it_spreads_schedules_and_fire_times_evenly() -> None:
    schedules = [jittered(UUID(int=each), FIRE_TIME, HOUR, None) - FIRE_TIME for each in range(1_000)]
    times = [FIRE_TIME + HOUR * each for each in range(1_000)]
    fires = [jittered(SCHEDULE, each, HOUR, None) - each for each in times]
    for delays in (schedules, fires):
        in_quarters = [sum(delay // (HOUR / 4) == quarter for delay in delays) for quarter in range(4)]
        assert all(200 < number < 300 for number in in_quarters)
