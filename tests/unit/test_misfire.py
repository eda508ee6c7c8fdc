"""Fire times that passed while nothing ran: which of them still fire, and how many are dropped."""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.schedules.misfire import COUNTED, GRACE, MOST, MisfirePolicy, NextAfter, Passed, catch_up, passed

SKIP, FIRE_ONCE, FIRE_ALL = MisfirePolicy
NOW = datetime(2030, 1, 31, 8, tzinfo=UTC)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


def ago(*minutes: int) -> tuple[datetime, ...]:
    return tuple(NOW - MINUTE * each for each in minutes)


def every(interval: timedelta, first: datetime) -> NextAfter:
    return lambda after: first + max(0, (after - first) // interval + 1) * interval


@pytest.mark.parametrize(
    ("policy", "late", "fired"),
    [
        (SKIP, (), ()),
        (SKIP, (0,), (0,)),
        (SKIP, (120, 60), ()),
        (SKIP, (120, 60, 1), (1,)),
        (FIRE_ONCE, (), ()),
        (FIRE_ONCE, (0,), (0,)),
        (FIRE_ONCE, (180, 120, 60), (60,)),
        (FIRE_ONCE, (120, 60, 0), (0,)),  # the one that is just due makes up for the others
        (FIRE_ONCE, (120, 1, 0), (1, 0)),  # neither of these was missed
        (FIRE_ONCE, (3000, 2000), ()),
        (FIRE_ALL, (180, 120, 60, 0), (180, 120, 60, 0)),
        (FIRE_ALL, (2000, 1440, 60), (1440, 60)),
        (FIRE_ALL, (3000, 2000), ()),
    ],
)
def test_fires(policy: MisfirePolicy, late: tuple[int, ...], fired: tuple[int, ...]) -> None:
    caught_up = catch_up(Passed(latest=ago(*late)), policy, NOW)
    assert caught_up.fire == ago(*fired)
    assert caught_up.dropped == len(late) - len(fired)
    assert caught_up.exact


def test_the_window_can_be_narrowed() -> None:
    times = Passed(latest=ago(90, 30, 0))
    assert catch_up(times, FIRE_ALL, NOW, HOUR).fire == ago(30, 0)
    assert catch_up(times, FIRE_ALL, NOW, timedelta(0)).fire == ago(0)


def test_fire_times_up_to_now_have_passed_and_the_one_asked_from_is_not_new() -> None:
    found = passed(every(HOUR, NOW - 10 * HOUR), NOW - 3 * HOUR, NOW)
    assert found == Passed(latest=(NOW - 2 * HOUR, NOW - HOUR, NOW))
    assert passed(every(HOUR, NOW), NOW, NOW) == Passed(latest=())
    assert passed(lambda _: None, NOW, NOW + HOUR) == Passed(latest=())


def test_of_many_the_oldest_are_dropped_and_counted() -> None:
    found = passed(every(MINUTE, NOW - 8 * HOUR), NOW - 8 * HOUR, NOW)
    assert found.latest == tuple(NOW - MINUTE * each for each in reversed(range(MOST)))
    assert (found.earlier, found.exact) == (8 * 60 - MOST, True)
    caught_up = catch_up(found, FIRE_ALL, NOW)
    assert (len(caught_up.fire), caught_up.dropped) == (MOST, 8 * 60 - MOST)


@pytest.mark.parametrize("interval", [SECOND, 7 * SECOND, MINUTE])
@pytest.mark.parametrize("days", [1, 400])
def test_of_very_many_the_latest_are_found_in_bounded_steps(interval: timedelta, days: int) -> None:
    steps = 0
    following = every(interval, NOW - 1000 * timedelta(days=1) + timedelta(milliseconds=0))

    def counted(after: datetime) -> datetime | None:
        nonlocal steps
        steps += 1
        return following(after)

    found = passed(counted, NOW - timedelta(days=days, milliseconds=3), NOW)
    assert not found.exact
    assert len(found.latest) == MOST
    assert found.latest[-1] == following(NOW - interval)
    assert all(
        later - earlier == interval for earlier, later in zip(found.latest, found.latest[1:], strict=False)
    )
    assert found.earlier + MOST == COUNTED
    assert steps < COUNTED + 27 * (MOST + 1)


@given(st.sets(st.integers(0, 40_000), max_size=1_500), st.integers(0, 40_000))
def test_the_latest_are_found_wherever_they_lie(seconds: set[int], since: int) -> None:
    times = sorted(NOW - SECOND * each for each in seconds)
    after = NOW - SECOND * since

    def following(at: datetime) -> datetime | None:
        place = bisect_right(times, at)
        return times[place] if place < len(times) else None

    expected = [each for each in times if after < each]
    found = passed(following, after, NOW)
    assert list(found.latest) == expected[-MOST:]
    assert found.exact == (len(expected) < COUNTED)
    if found.exact:
        assert found.earlier + len(found.latest) == len(expected)


@given(
    late=st.lists(st.timedeltas(timedelta(0), timedelta(days=3)), max_size=MOST, unique=True),
    earlier=st.integers(0, 900),
    policy=st.sampled_from(MisfirePolicy),
    window=st.timedeltas(timedelta(0), timedelta(days=2)),
)
def test_every_policy_fires_what_is_just_due_and_accounts_for_all(
    late: list[timedelta], earlier: int, policy: MisfirePolicy, window: timedelta
) -> None:
    times = Passed(latest=tuple(NOW - each for each in sorted(late, reverse=True)), earlier=earlier)
    caught_up = catch_up(times, policy, NOW, window)
    assert caught_up.fire == tuple(sorted(set(caught_up.fire) & set(times.latest)))
    assert caught_up.dropped + len(caught_up.fire) == earlier + len(late)
    just_due = {NOW - each for each in late if each <= GRACE}
    assert just_due <= set(caught_up.fire)
    made_up = set(caught_up.fire) - just_due
    assert all(NOW - each <= window for each in made_up)
    assert len(made_up) <= {SKIP: 0, FIRE_ONCE: 0 if just_due else 1, FIRE_ALL: MOST}[policy]
