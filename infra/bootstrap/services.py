"""What a process has, by the ports of the domain."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

import dramatiq
from prometheus_client import CollectorRegistry

from domain.actions.ports import HandlerRunner, Handlers, Webhooks
from domain.attempts.ports import Activity, ActivityFeed, Attempts, DueTasks, Rescue, Workers
from domain.audit.ports import AuditLog
from domain.budgets.ports import Budgets
from domain.clock import Clock, Ids
from domain.contracts.events import Event
from domain.dead_letters.ports import DeadLetters
from domain.dead_letters.service import Settling
from domain.documents.known import KnownDocuments
from domain.documents.ports import Documents, RegisteredDocuments
from domain.live.outbox import Outbox
from domain.live.ports import Events, HandOver, Signals, TaskFeed
from domain.notifications.ports import NotificationFeed, Notifications
from domain.queues.ports import Queues
from domain.resilience.backlogs import Backpressure
from domain.retention.ports import Retention
from domain.schedules.ports import Firing, Recurrences, Schedules
from domain.tasks.bulk import BulkTasks
from domain.tasks.ports import Tasks
from domain.tenancy.ports import AccessTokens, Callers
from domain.webhooks.ports import Origins, WebhookSecrets
from infra.breakers import BreakerBoard
from infra.settings import Settings

Check = Callable[[], Awaitable[None]]
"""Raises when what it looks at does not answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything a process may use, open until its `open_services` is left."""

    settings: Settings
    clock: Clock
    ids: Ids
    metrics: CollectorRegistry
    health: Mapping[str, Check]
    """By the name of the dependency."""
    breakers: BreakerBoard
    gauges: Callable[[], Awaitable[None]]
    """Brings the figures that are read from storage up to date."""
    tasks: Tasks
    bulk_tasks: BulkTasks
    queues: Queues
    due_tasks: DueTasks
    attempts: Attempts
    activity: Activity
    open_backpressure: Callable[[], AbstractAsyncContextManager[Backpressure]]
    open_workers: Callable[[], AbstractAsyncContextManager[Workers]]
    """The leases of workers, over a connection of its own: they are renewed on another loop."""
    rescue: Rescue
    retention: Retention
    outbox: Outbox
    forget: Callable[[Sequence[Event]], Awaitable[None]]
    """Makes the cache forget what is older than these events."""
    notifications: Notifications
    signals: Signals
    events: Events
    hand_over: HandOver
    broker: dramatiq.Broker
    handlers: Handlers
    handler_runner: HandlerRunner
    webhooks: Webhooks
    webhook_secrets: WebhookSecrets
    access_tokens: AccessTokens
    audit_log: AuditLog
    dead_letters: Mapping[str, DeadLetters]
    """Events that were set aside, by their kinds."""
    count_settled: Callable[[Settling, str, int], None]
    documents: Documents
    registered_documents: RegisteredDocuments
    origins: Origins
    recurrences: Recurrences
    schedules: Schedules
    firing: Firing


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiServices(Services):
    """And what only those who serve subscribers use."""

    task_feed: TaskFeed
    notification_feed: NotificationFeed
    activity_feed: ActivityFeed
    callers: Callers
    budgets: Budgets
    operation_rates: Budgets
    """A point for each operation."""
    backpressure: Backpressure
    known_documents: KnownDocuments
