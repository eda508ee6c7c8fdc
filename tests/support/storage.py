"""Every repository on one database, and tasks to put there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from prometheus_client import CollectorRegistry

from domain.actions.model import Notify
from domain.attempts.model import Started
from domain.attempts.retry import RetryPolicy
from domain.contracts.tasks import TaskChangedV1
from domain.notifications.model import Draft, NotificationKind
from domain.tasks.model import Task
from infra.background import background
from infra.cache.ports import TaskVersion
from infra.encryption.headers import HeaderSeals
from infra.encryption.keys import KeyRing, new_key, read_keys
from infra.postgres.access_tokens import PostgresAccessTokens
from infra.postgres.activity import PostgresActivity
from infra.postgres.attempts import PostgresAttempts
from infra.postgres.audit_log import PostgresAuditLog
from infra.postgres.bulk import PostgresBulkTasks
from infra.postgres.database import ENGINE_SETTINGS, Database, DatabaseMetrics, open_database
from infra.postgres.documents import PostgresDocuments
from infra.postgres.due_tasks import PostgresDueTasks
from infra.postgres.firing import PostgresFiring
from infra.postgres.notifications import PostgresNotifications
from infra.postgres.outbox import PostgresOutbox
from infra.postgres.queues import PostgresQueues
from infra.postgres.rescue import PostgresRescue
from infra.postgres.retention import PostgresRetention
from infra.postgres.schedules import PostgresSchedules
from infra.postgres.tasks import PostgresTasks
from infra.postgres.webhook_secrets import PostgresWebhookSecrets
from infra.postgres.workers import PostgresWorkers
from infra.recurrence.reading import ReadRecurrences
from infra.system import SystemClock, TimeOrderedIds

LEASE = timedelta(seconds=30)
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

KEYS = read_keys(new_key("tests"))
ids = TimeOrderedIds()
clock = SystemClock()
recurrences = ReadRecurrences()


def a_task(**changes: Any) -> Task:
    """A reminder due at once, of the tenant `acme`."""
    now = clock.now()
    task = Task(
        id=ids.next(),
        tenant="acme",
        title="Water the plants",
        scheduled_at=now,
        action=Notify(body="The ferns too"),
        timeout=timedelta(seconds=60),
        retry=RetryPolicy(),
        created_at=now,
        updated_at=now,
        traceparent=TRACEPARENT,
        fingerprint=b"one",
    )
    return replace(task, **changes)


def due_in(seconds: float, **changes: Any) -> Task:
    return a_task(scheduled_at=clock.now() + timedelta(seconds=seconds), **changes)


def a_draft(**changes: Any) -> Draft:
    """A notification to be, of the tenant `acme`, that a reminder is due."""
    id = ids.next()
    fields: dict[str, Any] = {
        "id": id,
        "event_id": f"{id}:1",
        "tenant": "acme",
        "kind": NotificationKind.TASK_DUE,
        "title": "Water the plants",
        "body": None,
        "owner": None,
        "task_id": None,
        "traceparent": TRACEPARENT,
    }
    return Draft(**(fields | changes))


@dataclass(frozen=True, slots=True)
class Storage:
    url: str
    database: Database
    engine: Database
    tasks: PostgresTasks
    bulk_tasks: PostgresBulkTasks
    queues: PostgresQueues
    due_tasks: PostgresDueTasks
    attempts: PostgresAttempts
    activity: PostgresActivity
    workers: PostgresWorkers
    rescue: PostgresRescue
    retention: PostgresRetention
    outbox: PostgresOutbox
    notifications: PostgresNotifications
    schedules: PostgresSchedules
    firing: PostgresFiring
    webhook_secrets: PostgresWebhookSecrets
    access_tokens: PostgresAccessTokens
    audit_log: PostgresAuditLog
    documents: PostgresDocuments
    changed: list[TaskVersion]
    """What the engine's writes told of."""

    async def added(self, *tasks: Task) -> list[UUID]:
        by_tenant: dict[str, list[Task]] = {}
        for task in tasks:
            by_tenant.setdefault(task.tenant, []).append(task)
        added = {tenant: iter(await self.tasks.add(mine)) for tenant, mine in by_tenant.items()}
        return [next(added[task.tenant]).task.id for task in tasks]

    async def claimed(self, limit: int) -> list[UUID]:
        return list((await self.due_tasks.claim(limit)).ids)

    async def a_worker(self, *, slots: int = 10, lease: timedelta = LEASE) -> UUID:
        worker = ids.next()
        await self.workers.enter(worker, f"worker-{worker}", slots, lease)
        return worker

    async def started(self, worker: UUID, *tasks: Task) -> list[Started]:
        """Added, claimed and started, in the order given."""
        added = await self.added(*tasks)
        await self.claimed(len(tasks))
        started = {one.task_id: one for one in await self.attempts.start(worker, added)}
        return [started[id] for id in added]

    async def task(self, id: UUID, tenant: str = "acme") -> Task:
        (task,) = await self.tasks.find(tenant, [id])
        assert task is not None
        return task

    async def event_kinds(self, id: UUID) -> list[str]:
        """Of one task, as the outbox holds them."""
        async with self.outbox.lead() as lead:
            await lead.acquire()
            return [
                one.event.kind.value
                for one in await lead.oldest(10_000)
                if isinstance(one.event, TaskChangedV1) and one.event.task_id == id
            ]

    async def execute(self, statement: str, *arguments: Any) -> None:
        """For what no repository offers: making a lease lapse, breaking a row."""
        async with self.database.work("test") as connection:
            await connection.execute(statement, *arguments)

    async def lapse(self, worker: UUID) -> None:
        await self.execute("update workers set lease_until = now() - interval '1 s' where id = $1", worker)


@asynccontextmanager
async def open_storage(url: str, keys: KeyRing = KEYS) -> AsyncIterator[Storage]:
    told: list[TaskVersion] = []

    async def changed(versions: Sequence[TaskVersion]) -> None:
        told.extend(versions)

    metrics = DatabaseMetrics(CollectorRegistry())
    async with (
        open_database(url, size=10, limit=5, metrics=metrics) as database,
        open_database(url, size=10, limit=5, metrics=metrics, settings=ENGINE_SETTINGS) as engine,
        background() as writers,
    ):
        yield Storage(
            url=url,
            database=database,
            engine=engine,
            bulk_tasks=PostgresBulkTasks(database, changed),
            tasks=PostgresTasks(database, HeaderSeals(keys)),
            queues=PostgresQueues(database),
            due_tasks=PostgresDueTasks(engine, engine, changed),
            attempts=PostgresAttempts(engine, changed),
            activity=PostgresActivity(database),
            workers=PostgresWorkers(database),
            rescue=PostgresRescue(database, changed),
            retention=PostgresRetention(database, changed),
            outbox=PostgresOutbox(url, database, 5),
            notifications=PostgresNotifications(database),
            schedules=PostgresSchedules(database, HeaderSeals(keys)),
            firing=PostgresFiring(database, recurrences, ids, changed),
            webhook_secrets=PostgresWebhookSecrets(database, keys),
            access_tokens=PostgresAccessTokens(database),
            audit_log=PostgresAuditLog(database, CollectorRegistry(), writers),
            documents=PostgresDocuments(database),
            changed=told,
        )
