"""A blocked event loop is noticed while it is blocked, and what blocks it is named."""

from __future__ import annotations

import time

import pytest
from prometheus_client import CollectorRegistry

from infra.telemetry.watchdog import watched_loop
from tests.support.engine_fakes import logged
from tests.support.waiting import until

LIMIT = 0.05


def a_handler_that_blocks(registry: CollectorRegistry) -> None:
    """For longer than it takes to be noticed."""
    before, deadline = registry.get_sample_value("carillon_loop_blocked_total"), time.monotonic() + 30
    while registry.get_sample_value("carillon_loop_blocked_total") == before:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    time.sleep(5 * LIMIT)


async def test_it_names_what_blocks_the_loop_once_and_says_when_that_is_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    registry = CollectorRegistry()
    with watched_loop(registry, limit=LIMIT):
        a_handler_that_blocks(registry)
        await until(lambda: logged(caplog.records, "the event loop goes on"))
    # A busy machine may have held up the loop another time.
    blocked = [record for record in caplog.records if record.getMessage() == "the event loop is blocked"]
    assert sum("a_handler_that_blocks" in vars(each)["blocked_by"] for each in blocked) == 1
    assert registry.get_sample_value("carillon_loop_blocked_total") == len(blocked)


async def test_how_late_the_loop_is_is_measured_while_it_goes_on() -> None:
    registry = CollectorRegistry()

    def measured(most: str) -> float:
        return registry.get_sample_value("carillon_loop_lag_seconds_bucket", {"le": most}) or 0

    with watched_loop(registry, limit=1):
        await until(lambda: measured("+Inf") >= 2)
        before = measured("+Inf") - measured("0.05")

        def is_seen_late() -> bool:
            time.sleep(0.4)  # what makes it late, and not yet blocked
            return measured("+Inf") - measured("0.05") > before

        await until(is_seen_late)
