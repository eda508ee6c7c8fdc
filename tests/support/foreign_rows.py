"""One of everything in PostgreSQL, asked for over the GraphQL face by those it is not for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from domain.audit.model import Begun
from domain.contracts.tasks import TaskEventKind
from domain.live.ports import Signal
from domain.tasks.model import Task
from domain.tenancy.model import Caller
from infra.bootstrap import ApiServices, open_api_services
from infra.settings import Settings
from schema.build import build_schema
from schema.context import Context, Contexts
from schema.ids import attempt_id, dead_letter_id, notification_id, schedule_id, task_id, webhook_secret_id
from schema.operations import OperationRequest, Operations, Result
from schema.paging import stream_cursor
from tests.support.face import TRACEPARENT, event_of
from tests.support.schedules import TEMPLATE, Garden
from tests.support.storage import Storage, a_draft, a_task, ids

TENANT = "acme"
LISTENING = 0.7
"""Seconds for what is not for them to come; a signal brings what is within a tenth of that."""
EVERYTHING = """select json_build_object(
    'tasks', (select json_agg(t order by id) from tasks as t where tenant = $1),
    'schedules', (select json_agg(s order by id) from schedules as s where tenant = $1),
    'attempts', (select json_agg(a order by task_id, number) from attempts as a where tenant = $1),
    'queues', (select json_agg(q order by name) from queues as q where tenant = $1),
    'webhook_secrets', (select json_agg(w order by id) from webhook_secrets as w where tenant = $1),
    'set_aside', (select json_agg(o order by seq) from outbox as o where partition = -1),
    'read', (select json_agg(read_at order by seq) from notifications where tenant = $1))::text"""

SET_ASIDE = """insert into outbox (partition, event)
    select -1, event from outbox where event->>'tenant' = $1 limit 1 returning seq"""
LINE = """insert into task_log (task_id, fence, number, attempt, at, message)
    select $1, 1, coalesce(max(number), 0) + 1, 1, now(), 'It goes on.' from task_log where task_id = $1"""

Bodies = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Asked:
    """A running API's face, and what there is in its database."""

    services: ApiServices
    storage: Storage
    operations: Operations
    task: Task
    ids: dict[str, str]
    """Of one of each kind."""

    async def stored(self) -> Any:
        """All that callers can change."""
        async with self.storage.database.work("test") as connection:
            return await connection.fetchval(EVERYTHING, TENANT)

    async def answer(self, query: str, caller: Caller, id: str = "") -> dict[str, Any]:
        return (await self.operations.execute(_request(query, id), self._context(caller))).body

    async def follow(self, asked: Sequence[tuple[str, str]], caller: Caller) -> list[Bodies]:
        """What each of these (a subscription and an id) is told while something happens to all there is."""
        told: list[Bodies] = [[] for _ in asked]
        async with asyncio.TaskGroup() as group:
            running = [
                group.create_task(self._hear(_request(query, id), caller, bodies))
                for (query, id), bodies in zip(asked, told, strict=True)
            ]
            await asyncio.sleep(LISTENING)
            await self._happen()
            await asyncio.sleep(LISTENING)
            for each in running:
                each.cancel()
        return told

    async def _happen(self) -> None:
        task = replace(self.task, version=self.task.version + ids.next().int % 10**9)
        self.services.task_feed.publish(event_of(task, TaskEventKind.UPDATED, schedule_id=task.schedule_id))
        await self.storage.notifications.add([a_draft(owner=task.owner, task_id=task.id)])
        self.services.signals.send(Signal.NOTIFICATIONS, TENANT)
        await self.storage.execute(LINE, task.id)
        self.services.signals.send(Signal.ACTIVITY, str(task.id))

    async def _hear(self, request: OperationRequest, caller: Caller, bodies: Bodies) -> None:
        stream = await self.operations.subscribe(request, lambda: self._context(caller))
        if isinstance(stream, Result):
            bodies.append(stream.body)
            return
        async with aclosing(stream):
            async for body in stream:
                bodies.append(body)

    def _context(self, caller: Caller) -> Context:
        return Contexts(self.services, poll_interval=timedelta(seconds=1), most_bytes=100_000).new(
            caller, TRACEPARENT
        )


def _request(query: str, id: str) -> OperationRequest:
    return OperationRequest(
        query.replace("$id", json.dumps(id)).replace("$place", json.dumps(stream_cursor(1)))
    )


@asynccontextmanager
async def open_foreign_rows(storage: Storage, owner: str | None) -> AsyncIterator[Asked]:
    """A tenant with one of everything, of this owner."""
    settings = Settings.model_validate({"database_url": storage.url})
    schedule = await Garden(storage).add(tenant=TENANT, task=replace(TEMPLATE, owner=owner))
    worker = await storage.a_worker()
    (started,) = await storage.started(worker, a_task(owner=owner, key="theirs"))
    await storage.added(a_task(owner=owner))
    await storage.execute(
        "insert into attempts select $1, 9, $2, 'FAILED', now(), now(), now(), 'w'", started.task_id, TENANT
    )
    await storage.execute("update tasks set schedule_id = $1 where key is null", schedule.id)
    draft = a_draft(owner=owner, task_id=started.task_id)
    await storage.notifications.add([draft])
    secret = ids.next()
    await storage.webhook_secrets.add(TENANT, secret, None, 9)
    await storage.audit_log.begin(
        Begun(id=ids.next(), caller=Caller(tenant=TENANT), operation="cancelTask", trace_id="a")
    )
    async with storage.database.work("test") as connection:
        set_aside = await connection.fetchval(SET_ASIDE, TENANT)
    async with open_api_services(settings) as services:
        task = await storage.task(started.task_id)
        yield Asked(
            services=services,
            storage=storage,
            operations=Operations(build_schema()),
            task=replace(task, schedule_id=schedule.id),
            ids={
                "task": task_id(task.id),
                "schedule": schedule_id(schedule.id),
                "notification": notification_id(draft.id),
                "attempt": attempt_id(task.id, 9),
                "secret": webhook_secret_id(secret),
                "dead letter": dead_letter_id(f"outbox:{set_aside}"),
            },
        )
