"""As many at once as stay quick, found out by trying; beyond, what comes is turned away."""

from __future__ import annotations

import heapq
import random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from domain.resilience.concurrency import ConcurrencyLimit, ConcurrencyPolicy

POLICY = ConcurrencyPolicy(least=4, most=200, unnoticed=0.001)
ONE, OTHER = "one", "other"
TENANTS = st.sampled_from([f"tenant {number}" for number in range(7)])


class Simulated:
    """One core that does what is asked in turns, and calls that come at random, as many as it is told."""

    SECONDS_EACH = 0.004
    OTHER_SECONDS = 0.004
    """For which a call waits for another core: unloaded it takes both."""

    def __init__(self, limit: ConcurrencyLimit) -> None:
        self.limit = limit
        self._random = random.Random(7)
        self._now = 0.0
        self._free_at = 0.0
        self._ends: list[tuple[float, float]] = []

    def run(self, load: float, seconds: float) -> tuple[list[float], int]:
        """How long those took that were let in, and how many were not."""
        took, shed, until = [], 0, self._now + seconds
        while self._now < until:
            self._now += self._random.expovariate(load / self.SECONDS_EACH)
            while self._ends and self._ends[0][0] <= self._now:
                end, began = heapq.heappop(self._ends)
                self.limit.end(ONE, end - began, end)
                took.append(end - began)
            if not self.limit.admit(ONE, self._now):
                shed += 1
                continue
            self._free_at = max(self._free_at, self._now) + self.SECONDS_EACH
            heapq.heappush(self._ends, (self._free_at + self.OTHER_SECONDS, self._now))
        return took, shed


def p95(seconds: list[float]) -> float:
    return sorted(seconds)[len(seconds) * 95 // 100]


def test_at_twice_the_capacity_those_let_in_are_nearly_as_quick_as_unloaded() -> None:
    simulated = Simulated(ConcurrencyLimit(POLICY))
    unloaded, shed = simulated.run(load=0.3, seconds=10)
    assert shed == 0
    simulated.run(load=2, seconds=5)  # it finds out
    took, shed = simulated.run(load=2, seconds=30)
    assert p95(took) < 3 * p95(unloaded)
    done = len(took) * Simulated.SECONDS_EACH / 30
    assert done > 0.9, "its core is never idle for it"
    assert 0.4 < shed / (shed + len(took)) < 0.6


def test_a_wave_of_what_is_dear_is_found_out_though_little_of_it_ends() -> None:
    simulated = Simulated(ConcurrencyLimit(POLICY))
    simulated.SECONDS_EACH = 0.1
    simulated.run(load=20, seconds=3)
    assert simulated.limit.limit < POLICY.most


def test_a_limit_far_too_high_is_found_out_soon() -> None:
    simulated = Simulated(ConcurrencyLimit(ConcurrencyPolicy(least=4, unnoticed=0.001)))
    unloaded, _ = simulated.run(load=0.05, seconds=20)
    assert simulated.limit.limit == ConcurrencyPolicy().most
    simulated.run(load=2, seconds=2)
    took, _ = simulated.run(load=2, seconds=1)
    assert p95(took) < 3 * p95(unloaded)


def test_once_the_load_is_gone_all_are_let_in_again() -> None:
    simulated = Simulated(ConcurrencyLimit(POLICY))
    simulated.run(load=0.3, seconds=5)
    simulated.run(load=3, seconds=10)
    simulated.run(load=0.5, seconds=10)
    _, shed = simulated.run(load=0.5, seconds=10)
    assert shed < 10


def test_a_burst_that_is_soon_over_turns_nobody_away() -> None:
    simulated = Simulated(ConcurrencyLimit(POLICY))
    for _ in range(5):
        for load, seconds in ((0.1, 10), (3, 0.1)):
            assert simulated.run(load, seconds)[1] == 0
    assert simulated.limit.limit == POLICY.most


def test_bursts_with_nothing_between_them_turn_nobody_away() -> None:
    limit = ConcurrencyLimit(POLICY)
    for turn in range(0, 50, 10):
        assert all(limit.admit(ONE, turn) for _ in range(25))
        for number in range(1, 26):
            limit.end(ONE, number / 50, turn + number / 50)
        assert limit.limit == POLICY.most


def test_as_soon_as_little_is_asked_again_all_are_let_in() -> None:
    simulated = Simulated(ConcurrencyLimit(POLICY))
    simulated.run(load=0.3, seconds=5)
    simulated.run(load=2, seconds=10)
    assert simulated.limit.limit < 10
    simulated.run(load=0.1, seconds=10)
    assert simulated.limit.limit == POLICY.most


def test_what_was_quick_and_is_slow_now_is_let_in_less_and_less() -> None:
    limit = ConcurrencyLimit(POLICY)
    assert limit.admit(ONE, 0), "and goes on all the while: it is never done with all"
    limits = []
    for turn in range(60):
        admitted = sum(limit.admit(ONE, turn) for _ in range(150))
        for _ in range(admitted):
            limit.end(ONE, 0.0005 if turn == 0 else 0.1, turn + 0.5)
        limits.append(limit.limit)
    assert limits[0] == POLICY.most
    lowest = limits.index(POLICY.least)  # from there on that is how long it takes unloaded
    assert limits[:lowest] == sorted(limits[:lowest], reverse=True)


def test_what_takes_no_longer_than_is_noticed_is_never_turned_away() -> None:
    limit = ConcurrencyLimit(ConcurrencyPolicy(most=50, unnoticed=1))
    for turn in range(100):
        assert [limit.admit(ONE, turn) for _ in range(51)] == [True] * 50 + [False]
        for _ in range(50):
            limit.end(ONE, 0.9, turn + 0.9)
    assert limit.limit == 50


def test_who_has_it_all_leaves_the_others_their_part() -> None:
    limit = ConcurrencyLimit(ConcurrencyPolicy(least=6, most=6))
    assert [limit.admit(ONE, 0) for _ in range(7)] == [True] * 6 + [False]
    assert [limit.admit(OTHER, 0) for _ in range(4)] == [True] * 3 + [False], "half"
    assert [limit.admit("third", 0) for _ in range(3)] == [True] * 2 + [False], "a third"
    for _ in range(4):
        limit.end(ONE, 1, 1)
        assert not limit.admit(ONE, 1), "who has more than a third comes down first"
    limit.end(ONE, 1, 1)
    assert limit.admit(ONE, 1), "less than a third"


def test_however_many_ask_for_their_part_there_is_an_end_to_it() -> None:
    limit = ConcurrencyLimit(POLICY)
    for number in range(POLICY.most):
        while limit.admit(f"tenant {number}", 0):
            pass
    assert limit.under_way == 2 * POLICY.most


def test_what_is_slow_by_itself_turns_nobody_away() -> None:
    limit = ConcurrencyLimit(POLICY)
    for turn, took in enumerate([0.01] * 5 + [0.9] * 5):
        assert limit.admit(ONE, turn)
        limit.end(ONE, took, turn + took)
        assert limit.limit == POLICY.most


def test_who_is_alone_has_all_there_is() -> None:
    limit = ConcurrencyLimit(ConcurrencyPolicy(least=6, most=6))
    assert limit.admit(OTHER, 0)
    limit.end(OTHER, 1, 1)
    assert [limit.admit(ONE, 1) for _ in range(7)] == [True] * 6 + [False]


class Calls(RuleBasedStateMachine):
    """Calls of any length, at any pace, of several tenants."""

    def __init__(self) -> None:
        super().__init__()
        self.limit = ConcurrencyLimit(POLICY)
        self.now = 0.0
        self.began: list[tuple[str, float]] = []

    @rule(tenant=TENANTS, count=st.integers(1, 60), seconds=st.floats(0, 0.5))
    def call(self, tenant: str, count: int, seconds: float) -> None:
        self.now += seconds
        for _ in range(count):
            before, own = self.limit.under_way, sum(each == tenant for each, _ in self.began)
            admitted = self.limit.admit(tenant, self.now)
            part = self.limit.limit // len({tenant, *(each for each, _ in self.began)})
            assert admitted == (before < self.limit.limit or (own < part and before < 2 * POLICY.most))
            if admitted:
                self.began.append((tenant, self.now))

    @precondition(lambda self: self.began)
    @rule(count=st.integers(1, 60), seconds=st.floats(0, 0.5), known=st.booleans())
    def end(self, count: int, seconds: float, known: bool) -> None:
        self.now += seconds
        for _ in range(min(count, len(self.began))):
            tenant, began = self.began.pop(0)
            self.limit.end(tenant, self.now - began if known else None, self.now)

    @invariant()
    def the_limit_stays_in_its_range_and_all_that_begins_is_counted(self) -> None:
        assert POLICY.least <= self.limit.limit <= POLICY.most
        assert self.limit.under_way == len(self.began) <= 2 * POLICY.most


Calls.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
test_whatever_comes_the_limit_stays_in_its_range = Calls.TestCase
