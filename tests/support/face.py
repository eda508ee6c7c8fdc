"""The GraphQL face over stand-ins: asks it, and looks at what it asked of the stores."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, TypeVar
from uuid import UUID

from domain.actions.model import Call, Http, Notify, Outcome, Run
from domain.actions.ports import HandlerInfo
from domain.attempts.activity import LogLine
from domain.attempts.model import Attempt, AttemptState, Progress
from domain.attempts.retry import RetryPolicy
from domain.budgets.ports import Rates
from domain.contracts.tasks import TaskChangedV1, TaskEventKind
from domain.dead_letters.service import Settling
from domain.errors import ForbiddenUrl, Invalid, UnknownHandler
from domain.live.ports import Signal, SignalWatch
from domain.notifications.model import Notification, NotificationKind
from domain.resilience.backlogs import BacklogLimits, Backlogs
from domain.tasks.model import Task
from domain.tasks.service import TaskService
from domain.tenancy.model import Caller
from infra.budgets.leased import LeasedBudgets
from infra.budgets.memory import MemoryBuckets
from infra.http.destination import Rules
from infra.recurrence.reading import ReadRecurrences
from schema.build import build_schema
from schema.context import Context, Contexts
from schema.operations import OperationRequest, Operations, Result
from tests.support.stored_dead_letters import StoredDeadLetters
from tests.support.stores import (
    StoredActivity,
    StoredAttempts,
    StoredAuditLog,
    StoredBulkTasks,
    StoredNotifications,
    StoredQueues,
    StoredSchedules,
    StoredTasks,
    StoredWebhookSecrets,
)

Item = TypeVar("Item")

NOW = datetime(2030, 1, 31, 8, tzinfo=UTC)
TENANT = "acme"
RATES = Rates(limit=1_000_000, refill_per_second=100_000)
LIMITS = BacklogLimits(tenant_tasks=100, tasks=1_000, seconds=5)
CALLER = Caller(tenant=TENANT)
TRACEPARENT = f"00-{'a' * 32}-{'b' * 16}-01"
POLL = timedelta(seconds=1)


@dataclass
class StillClock:
    time: datetime = NOW

    def now(self) -> datetime:
        return self.time


@dataclass
class CountedIds:
    last: int = 0

    def next(self) -> UUID:
        self.last += 1
        return UUID(int=self.last)


@dataclass
class NotedSignals:
    sent: list[Signal] = field(default_factory=list)

    def send(self, signal: Signal, key: str = "") -> None:
        self.sent.append(signal)

    @asynccontextmanager
    async def watch(self, *signals: Signal) -> AsyncIterator[SignalWatch]:
        raise NotImplementedError
        yield


class EchoAlone:
    """One handler, `echo(value)`."""

    def all(self) -> Sequence[HandlerInfo]:
        return [HandlerInfo(name="echo", description="Gives it back.", payload_schema={"type": "object"})]

    def check(self, run: Run) -> None:
        if run.handler != "echo":
            raise UnknownHandler(path=("handler",))
        if set(run.payload) != {"value"}:
            raise Invalid("It needs a value.", ("payload", "value"))


class ExampleAlone:
    """Webhooks go to example.com."""

    async def check(self, http: Http) -> None:
        if not http.url.startswith("https://example.com/"):
            raise ForbiddenUrl(path=("url",))

    async def send(self, http: Http, call: Call) -> Outcome:
        raise NotImplementedError


@dataclass
class TaskStream:
    """Gives watchers what is in `events`, raising what is an exception; then nothing more comes."""

    events: list[TaskChangedV1 | Exception] = field(default_factory=list)
    watching: int = 0

    def publish(self, event: TaskChangedV1) -> None:
        self.events.append(event)

    @asynccontextmanager
    async def watch(self, tenant: str) -> AsyncIterator[AsyncIterator[TaskChangedV1]]:
        self.watching += 1
        try:
            yield _given([each for each in self.events if isinstance(each, Exception) or each.tenant == tenant])
        finally:
            self.watching -= 1


@dataclass
class NotificationStream:
    """The same for notifications; `asked` is what it was asked for last."""

    events: list[Notification | Exception] = field(default_factory=list)
    asked: tuple[int | None, str | None] | None = None

    @asynccontextmanager
    async def follow(
        self, tenant: str, *, after: int | None, owner: str | None = None
    ) -> AsyncIterator[AsyncIterator[Notification]]:
        self.asked = (after, owner)
        yield _given(
            [
                each
                for each in self.events
                if isinstance(each, Exception) or (each.tenant == tenant and owner in (None, each.owner))
            ]
        )


@dataclass
class ActivityStream:
    """The same for what tasks do; `asked` is what it was asked for last."""

    events: list[LogLine | Progress | TaskChangedV1 | Exception] = field(default_factory=list)
    asked: tuple[UUID, str | None] | None = None
    following: int = 0

    @asynccontextmanager
    async def follow(
        self, tenant: str, task_id: UUID, *, owner: str | None = None
    ) -> AsyncIterator[AsyncIterator[LogLine | Progress | TaskChangedV1]]:
        self.asked = (task_id, owner)
        self.following += 1
        try:
            yield _given(self.events)
        finally:
            self.following -= 1


async def _given(items: Sequence[Item | Exception]) -> AsyncGenerator[Item, None]:
    for item in items:
        if isinstance(item, Exception):
            raise item
        yield item


@cache
def operations() -> Operations:
    return Operations(build_schema())


@dataclass
class Face:
    """The services the schema is given, and a client's way to it."""

    clock: StillClock = field(default_factory=StillClock)
    ids: CountedIds = field(default_factory=CountedIds)
    signals: NotedSignals = field(default_factory=NotedSignals)
    handlers: EchoAlone = field(default_factory=EchoAlone)
    webhooks: ExampleAlone = field(default_factory=ExampleAlone)
    task_feed: TaskStream = field(default_factory=TaskStream)
    notification_feed: NotificationStream = field(default_factory=NotificationStream)
    activity_feed: ActivityStream = field(default_factory=ActivityStream)
    recurrences: ReadRecurrences = field(default_factory=ReadRecurrences)
    origins: Rules = field(default_factory=Rules)
    budgets: LeasedBudgets = field(default_factory=lambda: LeasedBudgets(MemoryBuckets(RATES), RATES))
    backpressure: Backlogs = field(default_factory=lambda: Backlogs(LIMITS))
    most_bytes: int = 10_000_000
    calls: list[str] = field(default_factory=list)
    settled: list[tuple[Settling, str, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tasks = StoredTasks(self.clock, self.calls)
        self.bulk_tasks = StoredBulkTasks(self.tasks)
        self.queues = StoredQueues(self.calls)
        self.attempts = StoredAttempts(self.calls)
        self.activity = StoredActivity(self.calls)
        self.schedules = StoredSchedules(self.clock, self.calls)
        self.notifications = StoredNotifications(self.clock, self.calls)
        self.webhook_secrets = StoredWebhookSecrets(self.clock, self.calls)
        self.audit_log = StoredAuditLog(self.clock)
        self.dead_letters = {"notifier": StoredDeadLetters(self.calls)}

    def count_settled(self, how: Settling, of: str, number: int) -> None:
        self.settled.append((how, of, number))

    def context(self, caller: Caller = CALLER) -> Context:
        return Contexts(self, poll_interval=POLL, most_bytes=self.most_bytes).new(caller, TRACEPARENT)

    @property
    def service(self) -> TaskService:
        return self.context().tasks

    async def run(self, query: str, caller: Caller = CALLER, /, **variables: Any) -> Result:
        return await operations().execute(OperationRequest(query, variables), self.context(caller))

    async def ask(self, query: str, caller: Caller = CALLER, /, **variables: Any) -> dict[str, Any]:
        """The data of an answer that has no errors."""
        result = await self.run(query, caller, **variables)
        assert "errors" not in result.body, result.body["errors"]
        data: dict[str, Any] = result.body["data"]
        return data

    async def error(self, query: str, caller: Caller = CALLER, /, **variables: Any) -> dict[str, Any]:
        """The one error of an answer."""
        result = await self.run(query, caller, **variables)
        [error] = result.body["errors"]
        assert isinstance(error, dict)
        return error

    async def follow(
        self, query: str, caller: Caller = CALLER, /, *, most: int | None = None, **variables: Any
    ) -> list[dict[str, Any]]:
        """Every response of a subscription, to its end, or so many of them."""
        request = OperationRequest(query, variables)
        stream = await operations().subscribe(request, lambda: self.context(caller))
        if isinstance(stream, Result):
            return [stream.body]
        async with aclosing(stream):
            bodies: list[dict[str, Any]] = []
            async for body in stream:
                bodies.append(body)
                if len(bodies) == most:
                    break
            return bodies

    def keep(self, **fields: Any) -> Task:
        """A stored task."""
        task = Task(
            **{
                "id": self.ids.next(),
                "tenant": TENANT,
                "title": "Water the plants",
                "scheduled_at": NOW,
                "action": Notify(),
                "timeout": timedelta(seconds=60),
                "retry": RetryPolicy(),
                "created_at": NOW,
                "updated_at": NOW,
                "traceparent": TRACEPARENT,
                **fields,
            }
        )
        self.tasks.rows[task.id] = task
        return task

    def keep_attempt(self, task: Task, number: int, **fields: Any) -> Attempt:
        attempt = Attempt(
            task_id=task.id,
            number=number,
            due_at=NOW,
            **{
                "state": AttemptState.SUCCEEDED,
                "started_at": NOW + timedelta(milliseconds=3),
                "finished_at": NOW + timedelta(seconds=1),
                "worker": "w1",
                **fields,
            },
        )
        self.attempts.rows.append(attempt)
        return attempt

    def keep_notification(self, task: Task | None = None, **fields: Any) -> Notification:
        notification = told(self.ids.next(), len(self.notifications.rows) + 1, task, **fields)
        self.notifications.rows.append(notification)
        return notification


def told(id: UUID, seq: int, task: Task | None = None, **fields: Any) -> Notification:
    return Notification(
        id=id,
        seq=seq,
        **{
            "tenant": TENANT,
            "kind": NotificationKind.TASK_DUE,
            "title": task.title if task else "Gone",
            "body": None,
            "owner": task.owner if task else None,
            "task_id": task.id if task else None,
            "created_at": NOW,
            "traceparent": TRACEPARENT,
            **fields,
        },
    )


def event_of(task: Task, kind: TaskEventKind, **fields: Any) -> TaskChangedV1:
    return TaskChangedV1(
        kind=kind,
        **{
            "tenant": task.tenant,
            "task_id": task.id,
            "version": task.version,
            "state": task.state.value,
            "attempt": task.attempt,
            "at": NOW,
            "scheduled_at": task.scheduled_at,
            "title": task.title,
            "owner": task.owner,
            "queue": task.queue,
            "labels": task.labels,
            "action_kind": task.action.kind.value,
            "body": None,
            "error_type": None,
            "error_message": None,
            "traceparent": TRACEPARENT,
            **fields,
        },
    )
