"""Whatever a schedule is and whatever passed, each fire time is settled once and in one way."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.actions.model import Notify
from domain.attempts.retry import RetryPolicy
from domain.schedules.firing import Decision, decide, replanned
from domain.schedules.misfire import MOST, MisfirePolicy
from domain.schedules.model import Schedule, TaskTemplate
from domain.schedules.overlap import OverlapPolicy
from domain.schedules.planning import planned
from domain.schedules.recurrence import Cron, Every, RRule
from infra.recurrence.reading import ReadRecurrences

START = datetime(2030, 1, 31, 8, tzinfo=UTC)
TASK = TaskTemplate(title="Go", action=Notify(), timeout=timedelta(seconds=60), retry=RetryPolicy())
RECURRENCES = ReadRecurrences()

schedules = st.builds(
    lambda **fields: planned(
        Schedule(
            id=UUID(int=7),
            tenant="acme",
            name="Garden",
            task=TASK,
            anchor=START,
            settled_until=START,
            created_at=START,
            updated_at=START,
            **fields,
        ),
        RECURRENCES,
    ),
    recurrence=st.sampled_from(
        [
            Every(timedelta(minutes=7)),
            Every(timedelta(seconds=20)),  # more than are counted
            Cron("*/5 * * * *"),
            Cron("0 0 1 1 *"),
            RRule("FREQ=HOURLY;COUNT=40"),
        ]
    ),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns"]),
    ends_at=st.none() | st.integers(0, 10_000).map(lambda minutes: START + timedelta(minutes=minutes)),
    jitter=st.sampled_from([timedelta(0), timedelta(minutes=3), timedelta(days=1)]),
    misfire_policy=st.sampled_from(MisfirePolicy),
    overlap_policy=st.sampled_from(OverlapPolicy),
    catch_up_window=st.sampled_from([timedelta(minutes=10), timedelta(hours=24)]),
    held_fire_time=st.none() | st.just(START - timedelta(hours=1)),
)
steps = st.lists(
    st.tuples(st.integers(0, 4_000).map(lambda minutes: timedelta(seconds=minutes * 7)), st.booleans()),
    min_size=1,
    max_size=4,
)


def made(decision: Decision) -> list[datetime]:
    return [due.fire_time for due in decision.make]


@settings(deadline=None, max_examples=50)
@given(schedules, steps)
def test_each_fire_time_is_settled_once_and_in_one_way(
    schedule: Schedule, steps: list[tuple[timedelta, bool]]
) -> None:
    now, counted, exact, seen = START, int(schedule.held_fire_time is not None), True, list[datetime]()
    first = schedule
    for step, unfinished in steps:
        now += step
        decision = decide(schedule, RECURRENCES, now, unfinished=unfinished)
        assert decision.schedule.settled_until >= schedule.settled_until, "the cursor moves forward only"
        following = decision.schedule.next_fire_time
        assert following is None or following > now, "what passed is settled"
        seen += made(decision)
        counted -= decision.skipped + decision.dropped
        exact = exact and decision.exact
        assert len(decision.make) <= MOST + 1
        schedule = decision.schedule
    assert len(set(seen)) == len(seen), "one task at most"
    assert seen == sorted(seen), "in their order"
    assert all(time <= now for time in seen), "never early"
    if exact:
        all_times = passed_times(first, now)
        assert len(all_times) + counted == len(seen) + (schedule.held_fire_time is not None)
        assert set(seen) <= {*all_times, first.held_fire_time}


def passed_times(schedule: Schedule, now: datetime) -> list[datetime]:
    times, at = list[datetime](), schedule.settled_until
    while True:
        found = RECURRENCES.next_after(schedule.recurrence, schedule.zone, schedule.anchor, at)
        if found is None or found > now or (schedule.ends_at is not None and found > schedule.ends_at):
            return times
        times.append(found)
        at = found


@given(schedules, st.integers(0, 1_000), st.booleans())
def test_a_task_is_due_at_its_fire_time_or_within_the_jitter_after_it(
    schedule: Schedule, minutes: int, unfinished: bool
) -> None:
    now = START + timedelta(minutes=minutes)
    decision = decide(schedule, RECURRENCES, now, unfinished=unfinished)
    for due in decision.make:
        if due.fire_time == schedule.held_fire_time:
            assert due.scheduled_at >= now, "it starts when it may"
        else:
            assert timedelta(0) <= due.scheduled_at - due.fire_time <= schedule.jitter
    assert decision == decide(schedule, RECURRENCES, now, unfinished=unfinished)


@given(schedules, st.integers(0, 1_000))
def test_beside_an_unfinished_task_none_begins_unless_that_is_wanted(schedule: Schedule, minutes: int) -> None:
    now = START + timedelta(minutes=minutes)
    decision = decide(schedule, RECURRENCES, now, unfinished=True)
    match schedule.overlap_policy:
        case OverlapPolicy.SKIP | OverlapPolicy.BUFFER_ONE:
            assert not decision.make
            assert not decision.cancel_unfinished
        case OverlapPolicy.CANCEL_RUNNING:
            assert len(decision.make) == decision.cancel_unfinished
        case OverlapPolicy.ALLOW:
            assert not decision.cancel_unfinished


@given(schedules, st.integers(0, 1_000))
def test_one_task_alone_begins_where_they_must_not_overlap(schedule: Schedule, minutes: int) -> None:
    if schedule.overlap_policy is not OverlapPolicy.ALLOW:
        now = START + timedelta(minutes=minutes)
        assert len(decide(schedule, RECURRENCES, now, unfinished=False).make) <= 1


@given(schedules, st.integers(0, 1_000), st.integers(0, 1_000))
def test_another_zone_database_never_moves_a_fire_time_into_the_past(
    schedule: Schedule, minutes: int, moved: int
) -> None:
    now = START + timedelta(minutes=minutes)
    planned_elsewhere = replace(
        schedule,
        next_fire_time=None if schedule.next_fire_time is None else now + timedelta(minutes=moved + 1),
        zone_version="1999.1",
    )
    after = replanned(planned_elsewhere, RECURRENCES, now)
    assert after.zone_version == RECURRENCES.zone_database_version()
    assert after.next_fire_time is None or after.next_fire_time > now
