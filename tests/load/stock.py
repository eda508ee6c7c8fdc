"""What a frontend finds when it asks: tasks with attempts, notifications, schedules, published documents."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from prometheus_client import CollectorRegistry

from domain.documents.model import Publication, hash_of
from infra.postgres.database import DatabaseMetrics, open_database
from infra.postgres.documents import PostgresDocuments
from schema.ids import notification_id, task_id
from tests.load.frontend import DOCUMENTS, Subject
from tests.support.graphql_client import http_client
from tests.support.installation import Installation

AT_ONCE = 500
SCHEDULES = 20
CREATE = (
    "mutation ($input: CreateTasksInput!) { createTasks(input: $input) { createdCount errors { message } } }"
)
SCHEDULE = "mutation ($input: CreateScheduleInput!) { createSchedule(input: $input) { errors { message } } }"
ATTEMPTS = """
insert into attempts (task_id, number, tenant, state, due_at, started_at, finished_at, worker)
select id, number, tenant, 'FAILED', now(), now(), now(), 'worker-1'
from tasks, generate_series(1, 3) as number
"""
NOTIFICATIONS = """
insert into notifications (tenant, seq, id, event_id, kind, title, task_id, traceparent)
select tenant, row_number() over (), gen_random_uuid(), id || ':1', 'TASK_DUE', title, id, traceparent
from tasks
"""
STREAM = """
insert into notification_streams (tenant, last_seq) select tenant, max(seq) from notifications group by tenant
"""
SUBJECTS = "select t.id as task, n.id as notification from notifications n join tasks t on t.id = n.task_id"


async def stocked(installation: Installation, count: int) -> list[Subject]:
    """So many waiting tasks, each with three attempts and an unread notification."""
    due = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    task = {"title": "load", "action": {"notify": {}}, "scheduledAt": due}
    schedule = {"name": "load", "recurrence": {"cron": "0 9 * * *"}, "task": {"title": "load"}}
    async with http_client(installation.api) as client:
        for made in range(0, count, AT_ONCE):
            await client.execute(CREATE, input={"tasks": [task] * min(AT_ONCE, count - made)})
        for number in range(SCHEDULES):
            await client.execute(SCHEDULE, input=schedule | {"name": f"load {number}"})
    for statement in (ATTEMPTS, NOTIFICATIONS, STREAM, "analyze"):
        await installation.database.execute(statement)
    found = await installation.database.fetch(SUBJECTS)
    return [Subject(task_id(each["task"]), notification_id(each["notification"])) for each in found]


async def published(installation: Installation) -> None:
    """For those that are named by their ids alone: published, the hashes of Apollo would find them too."""
    url = installation.environment["CARILLON_DATABASE_URL"]
    async with open_database(url, size=1, limit=5, metrics=DatabaseMetrics(CollectorRegistry())) as database:
        texts = DOCUMENTS.values()
        made = [Publication(hash=hash_of(text), text=text, name=None, kind="query") for text in texts]
        await PostgresDocuments(database).publish(made)
