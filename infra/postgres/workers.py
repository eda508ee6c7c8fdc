"""The leases of live workers, one narrow row each, kept away from the rows of tasks."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from domain.attempts.ports import Beat
from infra.postgres.database import Database

ENTER = "insert into workers (id, name, slots, lease_until) values ($1, $2, $3, now() + $4)"
BEAT = """
with beat as (
    update workers set lease_until = now() + $2, draining = $3
    where id = $1 and lease_until > now()
    returning id
)
select exists (select from beat) as alive,
    array(select id from tasks where state = 'RUNNING' and worker_id = $1 and cancel_requested_at is not null)
        as cancel_requested
"""  # tasks_running
LEAVE = """
delete from workers as w
where id = $1 and not exists (select from tasks where state = 'RUNNING' and worker_id = w.id)
"""


class PostgresWorkers:
    """Implements domain.attempts.ports.Workers."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def enter(self, worker: UUID, name: str, slots: int, lease: timedelta) -> None:
        async with self._database.work("enter_worker") as connection:
            await connection.execute(ENTER, worker, name, slots, lease)

    async def beat(self, worker: UUID, lease: timedelta, *, draining: bool = False) -> Beat:
        async with self._database.work("beat") as connection:
            record = await connection.fetchrow(BEAT, worker, lease, draining)
        assert record is not None, "the statement always answers"
        return Beat(alive=record["alive"], cancel_requested=frozenset(record["cancel_requested"]))

    async def leave(self, worker: UUID) -> None:
        async with self._database.work("leave_worker") as connection:
            await connection.execute(LEAVE, worker)
