"""The composition root: settings in, services out. The only module that picks adapters."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from domain.actions.ports import HandlerRunner, Handlers, Webhooks
from domain.attempts.ports import Attempts, DueTasks, Rescue, Workers
from domain.clock import Clock, Ids
from domain.live.outbox import Outbox
from domain.live.ports import Events, Signals, TaskFeed
from domain.notifications.ports import NotificationFeed, Notifications
from domain.tasks.ports import Tasks
from infra.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything a process may use, open until its `open_services` is left."""

    settings: Settings
    clock: Clock
    ids: Ids
    metrics: CollectorRegistry
    tasks: Tasks
    due_tasks: DueTasks
    attempts: Attempts
    workers: Workers
    rescue: Rescue
    outbox: Outbox
    notifications: Notifications
    signals: Signals
    events: Events
    task_feed: TaskFeed
    notification_feed: NotificationFeed
    handlers: Handlers
    handler_runner: HandlerRunner
    webhooks: Webhooks
