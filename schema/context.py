"""What resolvers may reach: made anew for each operation, and for each event of a subscription."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

import strawberry

from domain.actions.ports import Handlers, Webhooks
from domain.attempts.ports import Activity, ActivityFeed, Attempts
from domain.audit.ports import AuditLog
from domain.budgets.ports import Budgets
from domain.clock import Clock, Ids
from domain.dead_letters.ports import DeadLetters
from domain.dead_letters.service import DeadLetterService, Settling
from domain.live.ports import Signals, TaskFeed
from domain.notifications.ports import NotificationFeed, Notifications
from domain.notifications.service import NotificationService
from domain.queues.ports import Queues
from domain.queues.service import QueueService
from domain.resilience.backlogs import Backpressure
from domain.schedules.ports import Recurrences, Schedules
from domain.schedules.service import ScheduleService
from domain.tasks.bulk import BulkService, BulkTasks
from domain.tasks.ports import Tasks
from domain.tasks.service import TaskService
from domain.tenancy.model import Caller
from domain.webhooks.ports import Origins, WebhookSecrets
from domain.webhooks.service import WebhookSecretService
from schema.fire_times import FireTimes, Turns
from schema.loaders import Loaders
from schema.queue_readings import QueueReadings
from schema.tally import Tally


class Services(Protocol):
    """The part of a process's services that answering operations takes."""

    @property
    def clock(self) -> Clock: ...
    @property
    def ids(self) -> Ids: ...
    @property
    def tasks(self) -> Tasks: ...
    @property
    def bulk_tasks(self) -> BulkTasks: ...
    @property
    def attempts(self) -> Attempts: ...
    @property
    def schedules(self) -> Schedules: ...
    @property
    def activity(self) -> Activity: ...
    @property
    def queues(self) -> Queues: ...
    @property
    def notifications(self) -> Notifications: ...
    @property
    def signals(self) -> Signals: ...
    @property
    def task_feed(self) -> TaskFeed: ...
    @property
    def notification_feed(self) -> NotificationFeed: ...
    @property
    def activity_feed(self) -> ActivityFeed: ...
    @property
    def handlers(self) -> Handlers: ...
    @property
    def webhooks(self) -> Webhooks: ...
    @property
    def webhook_secrets(self) -> WebhookSecrets: ...
    @property
    def origins(self) -> Origins: ...
    @property
    def recurrences(self) -> Recurrences: ...
    @property
    def budgets(self) -> Budgets: ...
    @property
    def backpressure(self) -> Backpressure: ...
    @property
    def audit_log(self) -> AuditLog: ...
    @property
    def dead_letters(self) -> Mapping[str, DeadLetters]: ...
    @property
    def count_settled(self) -> Callable[[Settling, str, int], None]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    caller: Caller
    traceparent: str
    loaders: Loaders
    tally: Tally
    """What is read for the answer counts there."""
    fire_times: FireTimes
    tasks: TaskService
    schedules: ScheduleService
    bulk: BulkService
    queues: QueueService
    queue_readings: QueueReadings
    notifications: NotificationService
    webhook_secrets: WebhookSecretService
    dead_letters: DeadLetterService
    task_feed: TaskFeed
    activity_feed: ActivityFeed
    handlers: Handlers
    recurrences: Recurrences
    budgets: Budgets
    backpressure: Backpressure
    audit_log: AuditLog
    clock: Clock
    ids: Ids
    resolving: Callable[[str], AbstractContextManager[object]] = nullcontext
    """What is resolved is resolved within this, given the name of its field."""
    resume_after: str | None = None
    """The cursor of the last event that the client saw, where it says so beside the operation."""

    def acting(self) -> Caller:
        """The caller, about to change something; what was read so far is forgotten.

        Every mutation begins with it.
        """
        self.loaders.forget()
        return self.caller


class Contexts:
    """Makes contexts over the services of a process.

    `poll_interval` is how long a scheduler may sleep without being signalled. `most_bytes` is how
    large an answer may be. Each root field is resolved within `resolving`.
    """

    def __init__(
        self,
        services: Services,
        *,
        poll_interval: timedelta,
        most_bytes: int,
        resolving: Callable[[str], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self._services = services
        self._turns = Turns()
        self._most_bytes = most_bytes
        self._resolving = resolving
        self._tasks = TaskService(
            tasks=services.tasks,
            handlers=services.handlers,
            webhooks=services.webhooks,
            signals=services.signals,
            clock=services.clock,
            ids=services.ids,
            poll_interval=poll_interval,
        )
        self._schedules = ScheduleService(
            schedules=services.schedules,
            recurrences=services.recurrences,
            handlers=services.handlers,
            webhooks=services.webhooks,
            signals=services.signals,
            clock=services.clock,
            ids=services.ids,
        )
        self._bulk = BulkService(services.bulk_tasks, services.signals)
        self._queues = QueueService(services.queues, services.signals)
        self._queue_readings = QueueReadings(services.queues)
        self._notifications = NotificationService(services.notifications, services.notification_feed)
        self._webhook_secrets = WebhookSecretService(services.webhook_secrets, services.origins, services.ids)
        self._dead_letters = DeadLetterService(services.dead_letters, services.count_settled)

    def new(self, caller: Caller, traceparent: str) -> Context:
        services = self._services
        tally = Tally(self._most_bytes)
        return Context(
            caller=caller,
            traceparent=traceparent,
            tally=tally,
            loaders=Loaders(
                caller,
                tally,
                tasks=services.tasks,
                attempts=services.attempts,
                activity=services.activity,
                schedules=services.schedules,
                notifications=services.notifications,
                queues=services.queues,
            ),
            fire_times=FireTimes(caller.tenant, services.recurrences, services.clock, self._turns),
            tasks=self._tasks,
            schedules=self._schedules,
            bulk=self._bulk,
            queues=self._queues,
            queue_readings=self._queue_readings,
            notifications=self._notifications,
            webhook_secrets=self._webhook_secrets,
            dead_letters=self._dead_letters,
            task_feed=services.task_feed,
            activity_feed=services.activity_feed,
            handlers=services.handlers,
            recurrences=services.recurrences,
            budgets=services.budgets,
            backpressure=services.backpressure,
            audit_log=services.audit_log,
            clock=services.clock,
            ids=services.ids,
            resolving=self._resolving,
        )


class Ask(strawberry.Info[Context, None]):
    """What a resolver is told of the operation."""

    reading: frozenset[str] | None = None
    """The attributes of tasks that are read of what it answers; None when that is not known."""
