"""What fire times do while the schedule's previous task has not ended."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.schedules.overlap import Admitted, OverlapPolicy, admit

ALLOW, SKIP, BUFFER_ONE, CANCEL_RUNNING = OverlapPolicy
TIMES = tuple(datetime(2030, 1, 31, 8, tzinfo=UTC) + timedelta(minutes=each) for each in range(4))
ONE, TWO, THREE, _ = TIMES


@pytest.mark.parametrize(
    ("policy", "unfinished", "held", "expected"),
    [
        (ALLOW, False, False, Admitted(start=(ONE,))),
        (ALLOW, True, False, Admitted(start=(ONE,))),
        (SKIP, False, False, Admitted(start=(ONE,))),
        (SKIP, True, False, Admitted(skipped=(ONE,))),
        (SKIP, False, True, Admitted(skipped=(ONE,))),  # one that waits comes first
        (BUFFER_ONE, False, False, Admitted(start=(ONE,))),
        (BUFFER_ONE, True, False, Admitted(hold=ONE)),
        (BUFFER_ONE, True, True, Admitted(skipped=(ONE,))),
        (BUFFER_ONE, False, True, Admitted(skipped=(ONE,))),
        (CANCEL_RUNNING, False, False, Admitted(start=(ONE,))),
        (CANCEL_RUNNING, True, False, Admitted(start=(ONE,), cancel_unfinished=True)),
        (CANCEL_RUNNING, False, True, Admitted(start=(ONE,), cancel_unfinished=True)),
    ],
)
def test_one_fire_time(policy: OverlapPolicy, unfinished: bool, held: bool, expected: Admitted) -> None:
    assert admit([ONE], policy, unfinished=unfinished, held=held) == expected


@pytest.mark.parametrize(
    ("policy", "unfinished", "expected"),
    [
        (ALLOW, True, Admitted(start=(ONE, TWO, THREE))),
        (SKIP, False, Admitted(start=(ONE,), skipped=(TWO, THREE))),
        (SKIP, True, Admitted(skipped=(ONE, TWO, THREE))),
        (BUFFER_ONE, False, Admitted(start=(ONE,), hold=TWO, skipped=(THREE,))),
        (BUFFER_ONE, True, Admitted(hold=ONE, skipped=(TWO, THREE))),
        (CANCEL_RUNNING, False, Admitted(start=(THREE,), skipped=(ONE, TWO))),
        (CANCEL_RUNNING, True, Admitted(start=(THREE,), skipped=(ONE, TWO), cancel_unfinished=True)),
    ],
)
def test_several_fire_times_at_once(policy: OverlapPolicy, unfinished: bool, expected: Admitted) -> None:
    assert admit([ONE, TWO, THREE], policy, unfinished=unfinished, held=False) == expected


@given(st.integers(0, 4), st.sampled_from(OverlapPolicy), st.booleans(), st.booleans())
def test_each_fire_time_gets_one_answer_and_only_allow_runs_two(
    number: int, policy: OverlapPolicy, unfinished: bool, held: bool
) -> None:
    admitted = admit(TIMES[:number], policy, unfinished=unfinished, held=held)
    holding = () if admitted.hold is None else (admitted.hold,)
    assert sorted((*admitted.start, *holding, *admitted.skipped)) == list(TIMES[:number])
    assert number or admitted == Admitted()
    if policy is not ALLOW:
        running = unfinished and not admitted.cancel_unfinished
        assert running + len(admitted.start) <= 1
        assert len(holding) + held <= 1
    if policy is not CANCEL_RUNNING:
        assert not admitted.cancel_unfinished


@given(st.integers(1, 4), st.sampled_from([SKIP, BUFFER_ONE]), st.booleans(), st.booleans())
def test_together_they_do_what_they_would_do_one_by_one(
    number: int, policy: OverlapPolicy, unfinished: bool, held: bool
) -> None:
    together = admit(TIMES[:number], policy, unfinished=unfinished, held=held)
    started: list[datetime] = []
    for each in TIMES[:number]:
        one = admit([each], policy, unfinished=unfinished, held=held)
        started += one.start
        assert (one.hold == each) == (together.hold == each)
        unfinished, held = unfinished or bool(one.start), held or one.hold is not None
    assert together.start == tuple(started)
