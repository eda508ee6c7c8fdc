"""The janitor: removes what is older than is kept, and makes the days that attempts are kept by."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from enum import StrEnum

from domain.tasks.states import TaskState
from infra.bootstrap import Services
from infra.settings import Settings
from jobs.metrics import JobMetrics
from jobs.outage import Outage
from jobs.stop import Stop

log = logging.getLogger(__name__)

BATCH = 500
PAUSE = 0.05
"""Seconds between two batches: others come first."""


class Table(StrEnum):
    TASKS = "tasks"
    ATTEMPTS = "attempts"
    NOTIFICATIONS = "notifications"
    AUDIT_LOG = "audit_log"


async def prune_once(services: Services, table: Table, metrics: JobMetrics) -> int:
    """How many were removed; BATCH or more when there may be others. Raises Unavailable."""
    removed = await _PRUNE[table](services, metrics)
    metrics.pruned_at.labels(table.value).set_to_current_time()
    return removed


async def run_janitor(services: Services, table: Table, stop: Stop, metrics: JobMetrics) -> None:
    """One loop for each table: none waits for, or fails with, another. Several janitors do no harm."""
    outage = Outage(f"janitor of {table.value}", stop, metrics)
    while not stop.asked:
        # A part may take half a minute: whoever stops does not wait for it, and it is undone.
        async with outage.survived(), stop.interrupts():
            removed = await prune_once(services, table, metrics)
            outage.over()
            await asyncio.sleep(PAUSE if removed >= BATCH else services.settings.prune_interval)


async def _prune_tasks(services: Services, metrics: JobMetrics) -> int:
    total = 0
    for state, days in _kept(services.settings).items():
        removed = await services.retention.prune_tasks(state, timedelta(days=days), BATCH)
        metrics.pruned.labels(Table.TASKS.value).inc(removed)
        total += removed
    return total


async def _prune_attempts(services: Services, metrics: JobMetrics) -> int:
    days = await services.retention.prune_attempts(timedelta(days=services.settings.retain_attempts_days))
    metrics.pruned.labels(Table.ATTEMPTS.value).inc(days.removed)
    metrics.attempt_days_put_off.inc(days.put_off)
    if days.moved:
        metrics.attempts_kept_aside.inc(days.moved)
        log.warning("attempts had no day to be kept in", extra={"attempts": days.moved})
    return days.removed


async def _prune_notifications(services: Services, metrics: JobMetrics) -> int:
    older_than = timedelta(days=services.settings.retain_notifications_days)
    removed = await services.retention.prune_notifications(older_than, BATCH)
    metrics.pruned.labels(Table.NOTIFICATIONS.value).inc(removed)
    return removed


async def _prune_audit_log(services: Services, metrics: JobMetrics) -> int:
    older_than = timedelta(days=services.settings.retain_audit_log_days)
    removed = await services.retention.prune_audit_log(older_than, BATCH)
    metrics.pruned.labels(Table.AUDIT_LOG.value).inc(removed)
    return removed


def _kept(settings: Settings) -> dict[TaskState, float]:
    return {
        TaskState.SUCCEEDED: settings.retain_succeeded_days,
        TaskState.CANCELLED: settings.retain_cancelled_days,
        TaskState.FAILED: settings.retain_failed_days,
    }


_PRUNE = {
    Table.TASKS: _prune_tasks,
    Table.ATTEMPTS: _prune_attempts,
    Table.NOTIFICATIONS: _prune_notifications,
    Table.AUDIT_LOG: _prune_audit_log,
}
