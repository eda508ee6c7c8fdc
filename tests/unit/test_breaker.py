"""What fails many times in a row is left alone, tried once in a while, and called again when it works."""

from __future__ import annotations

from collections.abc import Hashable

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from domain.resilience.breaker import BreakerPolicy, Breakers, State, Verdict

POLICY = BreakerPolicy(failures=3, first_pause=10, longest_pause=40, trial=5, successes=2)
WORKS, FAILS, UNKNOWN = Verdict.WORKS, Verdict.FAILS, Verdict.UNKNOWN


def broken(now: float = 0) -> Breakers:
    """Open for "a", until ten seconds from now."""
    breakers = Breakers(POLICY)
    for _ in range(3):
        assert breakers.admit("a", now, 0) is None
        breakers.tell("a", FAILS, now)
    return breakers


def test_it_opens_after_so_many_failures_in_a_row() -> None:
    breakers = Breakers(POLICY)
    for verdict in (FAILS, FAILS, WORKS, FAILS, FAILS, UNKNOWN):
        breakers.tell("a", verdict, 0)
        assert breakers.admit("a", 0, 0) is None
    breakers.tell("a", FAILS, 0)
    assert breakers.admit("a", 0, 0) == 10
    assert breakers.admit("b", 0, 0) is None, "another key is not concerned"
    assert breakers.left_alone(0) == 1


def test_one_that_nobody_has_tried_for_a_pause_longer_is_not_counted_for_ever() -> None:
    breakers = broken()
    assert [breakers.left_alone(now) for now in (0, 10, 19, 20)] == [1, 1, 1, 0]
    assert breakers.admit("a", 20, 0) is None
    assert breakers.left_alone(20) == 1, "it is tried"
    breakers.tell("a", FAILS, 21)
    assert breakers.left_alone(21 + 39) == 1
    assert breakers.left_alone(21 + 40) == 0, "twenty seconds, and as long again"


def test_those_that_wait_come_back_spread_over_the_pause_after_it() -> None:
    breakers = broken()
    assert [breakers.admit("a", 4, draw) for draw in (0, 0.5, 1)] == [6, 11, 16]


def test_after_the_pause_one_call_is_a_trial_and_the_others_wait() -> None:
    breakers = broken()
    assert breakers.admit("a", 10, 0) is None
    waits = [breakers.admit("a", 10, draw) for draw in (0, 0.5, 1)]
    assert waits == [1, 6, 11]


def test_as_many_trials_in_a_row_as_asked_for_let_everyone_through() -> None:
    breakers = broken()
    assert breakers.admit("a", 10, 0) is None
    breakers.tell("a", WORKS, 11)
    assert breakers.state("a") is State.HALF_OPEN
    assert breakers.admit("a", 11, 0) is None, "the next is tried at once"
    assert breakers.admit("a", 11, 0) == 1, "by one at a time"
    breakers.tell("a", WORKS, 12)
    assert breakers.left_alone(12) == 0
    assert [breakers.admit("a", 12, 0) for _ in range(5)] == [None] * 5


def test_successes_before_a_trial_that_fails_do_not_count() -> None:
    breakers, now = broken(), 10.0
    for _ in range(3):
        assert breakers.admit("a", now, 0) is None
        breakers.tell("a", WORKS, now)
        assert breakers.admit("a", now, 0) is None
        breakers.tell("a", FAILS, now)
        assert breakers.state("a") is State.OPEN
        now += 40


def test_a_sign_of_life_lets_one_try_before_the_pause_is_over() -> None:
    breakers = broken()
    breakers.tell("a", WORKS, 3)
    assert breakers.state("a") is State.HALF_OPEN
    assert breakers.admit("a", 3, 0) is None
    breakers.tell("a", WORKS, 3)
    assert breakers.state("a") is State.CLOSED


def test_each_change_of_state_is_told_once() -> None:
    told: list[tuple[object, State]] = []
    breakers = Breakers(POLICY, changed=lambda key, state: told.append((key, state)))
    for _ in range(5):
        breakers.tell("a", FAILS, 0)
    breakers.admit("a", 10, 0)
    breakers.tell("a", FAILS, 10)
    breakers.admit("a", 30, 0)
    for _ in range(3):
        breakers.tell("a", WORKS, 30)
    states = [State.OPEN, State.HALF_OPEN, State.OPEN, State.HALF_OPEN, State.CLOSED]
    assert told == [("a", state) for state in states]


def test_a_trial_that_fails_doubles_the_pause_up_to_a_bound() -> None:
    breakers, now = broken(), 10.0
    for pause in (20, 40, 40, 40):
        assert breakers.admit("a", now, 0) is None
        breakers.tell("a", FAILS, now)
        assert breakers.admit("a", now, 0) == pause
        now += pause


def test_a_trial_that_says_nothing_makes_room_for_another() -> None:
    breakers = broken()
    assert breakers.admit("a", 10, 0) is None
    breakers.tell("a", UNKNOWN, 10)
    assert breakers.admit("a", 10, 0) is None
    assert breakers.admit("a", 14, 0) is not None
    assert breakers.admit("a", 15, 0) is None, "the trial is given up"


def test_failures_of_calls_that_began_before_it_opened_prolong_nothing() -> None:
    breakers = broken()
    for _ in range(50):
        breakers.tell("a", FAILS, 5)
    assert breakers.admit("a", 5, 0) == 5


def test_only_so_many_keys_are_remembered_and_those_that_failed_last() -> None:
    breakers = Breakers(POLICY, most=100)
    for key in range(1_000):
        for _ in range(3):
            breakers.tell(key, FAILS, 0)
    assert breakers.left_alone(0) == 100
    assert breakers.admit(0, 0, 0) is None
    assert breakers.admit(999, 0, 0) == 10


class Calls(RuleBasedStateMachine):
    """Any number of callers, of any number of keys, at any pace."""

    def __init__(self) -> None:
        super().__init__()
        self.breakers = Breakers(POLICY, most=3, changed=self.hear_change)
        self.now = 0.0
        self.under_way: list[str] = []
        self.states = dict.fromkeys("abcde", State.CLOSED)
        self.fails = dict.fromkeys("abcde", 0)
        self.works = dict.fromkeys("abcde", 0)
        """In a row."""

    def hear_change(self, key: Hashable, state: State) -> None:
        name = str(key)
        assert state is not self.states[name]
        if state is State.OPEN:
            assert self.states[name] is State.HALF_OPEN or self.fails[name] >= POLICY.failures
            self.works[name] = 0
        self.states[name] = state

    @rule(seconds=st.floats(0, 30))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(key=st.sampled_from("abcde"), draw=st.floats(0, 1))
    def call(self, key: str, draw: float) -> None:
        wait = self.breakers.admit(key, self.now, draw)
        if wait is None:
            self.under_way.append(key)
        else:
            assert 0 < wait <= 2 * POLICY.longest_pause, "never longer away than this"

    @rule(data=st.data(), verdict=st.sampled_from(Verdict))
    def hear(self, data: st.DataObject, verdict: Verdict) -> None:
        if self.under_way:
            key = data.draw(st.sampled_from(self.under_way))
            self.under_way.remove(key)
            self.fails[key] += verdict is FAILS
            self.works[key] += verdict is WORKS
            before = self.states[key]
            self.breakers.tell(key, verdict, self.now)
            closed = before is not State.CLOSED and self.states[key] is State.CLOSED
            assert not closed or self.works[key] >= POLICY.successes
            if verdict is WORKS:
                self.fails[key] = 0
                assert self.breakers.admit(key, self.now, 0) is None

    @invariant()
    def no_more_are_open_than_are_remembered(self) -> None:
        not_closed = [key for key, state in self.states.items() if state is not State.CLOSED]
        assert self.breakers.left_alone(self.now) <= len(not_closed) <= 3
        assert all(self.breakers.state(key) is state for key, state in self.states.items())


Calls.TestCase.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
test_whatever_happens_a_key_is_tried_again = Calls.TestCase
