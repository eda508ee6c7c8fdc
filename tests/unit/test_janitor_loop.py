"""The old of each table is looked for by itself: in parts while there is more, then now and again."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from domain.errors import Unavailable
from domain.retention.ports import AttemptDays
from jobs.janitor import BATCH, Table, prune_once, run_janitor
from jobs.metrics import JobMetrics
from jobs.stop import Stop
from tests.support.engine_fakes import FakeRetention, logged, sample, services_of, settings_of
from tests.support.waiting import until


async def test_each_is_removed_at_its_own_age() -> None:
    retention = FakeRetention()
    settings = settings_of(
        retain_succeeded_days=1,
        retain_cancelled_days=2,
        retain_failed_days=3,
        retain_attempts_days=4,
        retain_notifications_days=0.5,
        retain_audit_log_days=5,
    )
    services = services_of(settings=settings, retention=retention)
    metrics = JobMetrics(services.metrics)
    for table in Table:
        await prune_once(services, table, metrics)
    assert dict(retention.calls) == {
        "SUCCEEDED": timedelta(days=1),
        "CANCELLED": timedelta(days=2),
        "FAILED": timedelta(days=3),
        "attempts": timedelta(days=4),
        "notifications": timedelta(hours=12),
        "audit_log": timedelta(days=5),
    }


async def test_what_was_removed_is_counted() -> None:
    retention = FakeRetention()
    services = services_of(retention=retention)
    metrics = JobMetrics(services.metrics)
    retention.old = {"SUCCEEDED": [3], "FAILED": [4], "notifications": [5], "audit_log": [6]}
    retention.days = AttemptDays(made=1, moved=0, removed=2, put_off=1)
    assert [await prune_once(services, table, metrics) for table in Table] == [7, 2, 5, 6]
    for table, removed in zip(Table, (7, 2, 5, 6), strict=True):
        assert sample(services, "carillon_pruned_total", table=table.value) == removed
        assert sample(services, "carillon_pruned_at_seconds", table=table.value) > 0
    assert sample(services, "carillon_attempt_days_put_off_total") == 1


async def test_attempts_that_had_no_day_are_told_of(caplog: pytest.LogCaptureFixture) -> None:
    retention = FakeRetention()
    services = services_of(retention=retention)
    retention.days = AttemptDays(made=1, moved=12, removed=0, put_off=0)
    await prune_once(services, Table.ATTEMPTS, JobMetrics(services.metrics))
    assert sample(services, "carillon_attempts_kept_aside_total") == 12
    assert logged(caplog.records, "attempts had no day") == 1


async def test_it_goes_on_while_there_may_be_more_and_then_waits() -> None:
    retention, stop = FakeRetention(), Stop()
    services = services_of(settings=settings_of(prune_interval=3_600), retention=retention)
    metrics = JobMetrics(services.metrics)
    retention.old = {"notifications": [BATCH, BATCH, 7, BATCH]}
    async with asyncio.TaskGroup() as group:
        group.create_task(run_janitor(services, Table.NOTIFICATIONS, stop, metrics))
        await until(lambda: len(retention.calls) == 3)
        stop.ask()
    assert sample(services, "carillon_pruned_total", table="notifications") == 2 * BATCH + 7


async def test_it_outlives_faults_and_one_table_does_not_hold_up_another() -> None:
    retention, stop = FakeRetention(), Stop()
    services = services_of(settings=settings_of(prune_interval=0.001), retention=retention)
    metrics = JobMetrics(services.metrics)
    retention.faults.plan("attempts", Unavailable("PostgreSQL"), ValueError("a bug"))
    async with asyncio.TaskGroup() as group:
        for table in Table:
            group.create_task(run_janitor(services, table, stop, metrics))
        await until(lambda: all(retention.faults.count(what) >= 4 for what in ("attempts", "notifications")))
        stop.ask()
    assert sample(services, "carillon_loop_errors_total", loop="janitor of attempts") == 2
    assert sample(services, "carillon_loop_errors_total", loop="janitor of notifications") == 0
