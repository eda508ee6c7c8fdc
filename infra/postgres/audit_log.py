"""The audit log in PostgreSQL: entries are written by as few statements as those who act at once allow."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
from prometheus_client import CollectorRegistry, Counter

from domain.audit.model import AuditEntry, Begun, Ended, Outcome
from domain.errors import Unavailable
from domain.paging import Page, PageRequest, page_of
from domain.tenancy.model import Role
from infra.background import Background, background
from infra.postgres.database import Database, columns
from infra.together import Together

log = logging.getLogger(__name__)

SETTINGS = {"synchronous_commit": "off"}
"""An entry is in the log of PostgreSQL before the change it is of, and so is on disk when that is."""

GATHER = 0.05
"""Seconds in which ends gather before they are written together."""
RETRY = 1.0
BATCH = 1_000
"""Entries, or ends, of one statement."""
MAX_WAITING = 10_000
"""Ends that may wait for PostgreSQL; further ones are not noted."""

BEGIN = """
insert into audit_log (tenant, id, at, operation, credential, role, owner, trace_id)
select b.tenant, b.id, now(), b.operation, b.credential, b.role, b.owner, b.trace_id
from unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])
    as b(tenant, id, operation, credential, role, owner, trace_id)
"""
END = """
update audit_log as a set outcome = e.outcome, code = e.code, ids = e.ids, count = e.count
from unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::int[])
    as e(tenant, id, outcome, code, ids, count)
where a.tenant = e.tenant and a.id = e.id
"""  # audit_log_pkey
PAGE = """
select id, at, operation, credential, role, owner, trace_id, outcome, code, ids, count
from audit_log where {} order by id {} limit {}
"""  # audit_log_pkey


class PostgresAuditLog:
    """Implements domain.audit.ports.AuditLog."""

    def __init__(self, database: Database, registry: CollectorRegistry, writers: Background) -> None:
        self._database = database
        self._not_noted = Counter(
            "carillon_audit_ends_not_noted",
            "Mutations whose end the audit log does not tell: too many waited for PostgreSQL.",
            registry=registry,
        )
        self._begun: Together[None, tuple[Any, ...], None] = Together(self._begin, writers, most=BATCH)
        self._ends: list[tuple[Any, ...]] = []
        self._some = asyncio.Event()
        self._dropping = False

    async def begin(self, begun: Begun) -> None:
        caller = begun.caller
        row = (
            caller.tenant,
            begun.id,
            begun.operation,
            caller.credential,
            caller.role.value,
            caller.owner,
            begun.trace_id,
        )
        await self._begun.ask(None, row)

    async def _begin(self, _: None, rows: Sequence[tuple[Any, ...]]) -> list[None]:
        """Of all tenants: a statement fails for reasons that all of them share."""
        async with self._database.work("audit_begin") as connection:
            await connection.execute(BEGIN, *columns(rows))
        return [None] * len(rows)

    def end(self, begun: Begun, ended: Ended) -> None:
        if len(self._ends) >= MAX_WAITING:
            self._drop(1)
            return
        ids = json.dumps(ended.ids)
        self._ends.append((begun.caller.tenant, begun.id, ended.outcome.value, ended.code, ids, ended.count))
        self._some.set()

    def end_no_more(self) -> None:
        """What still waits is given up: its process ends."""
        if self._ends:
            self._drop(len(self._ends))
            self._ends.clear()

    def _drop(self, count: int) -> None:
        if not self._dropping:
            self._dropping = True
            log.warning("ends of mutations are not noted in the audit log")
        self._not_noted.inc(count)

    async def end_once(self) -> int:
        """How many ends were written. Raises Unavailable; they are kept then."""
        rows = self._ends[:BATCH]
        if rows:
            async with self._database.work("audit_end") as connection:
                await connection.execute(END, *columns(rows))
            del self._ends[: len(rows)]
            self._dropping = False
        if not self._ends:
            self._some.clear()
        return len(rows)

    async def end_forever(self) -> None:
        while True:
            await self._some.wait()
            await asyncio.sleep(GATHER)
            try:
                await self.end_once()
            except Unavailable:
                await asyncio.sleep(RETRY)

    async def page(self, tenant: str, request: PageRequest[UUID]) -> Page[AuditEntry]:
        where, arguments = ["tenant = $1"], [tenant, request.after or request.before]
        if arguments[1] is None:
            arguments.pop()
        else:
            where.append("id > $2" if request.backwards else "id < $2")
        order = "asc" if request.backwards else "desc"
        statement = PAGE.format(" and ".join(where), order, request.size + 1)
        async with self._database.read("audit_log", tenant) as connection:
            records = await connection.fetch(statement, *arguments)
        return page_of([_entry(record) for record in records], request)


@asynccontextmanager
async def open_audit_log(database: Database, registry: CollectorRegistry) -> AsyncIterator[PostgresAuditLog]:
    async with background() as tasks:
        audit_log = PostgresAuditLog(database, registry, tasks)
        tasks.start(audit_log.end_forever(), "audit")
        yield audit_log
    try:
        while await audit_log.end_once():
            pass
    except Unavailable:
        audit_log.end_no_more()


def _entry(record: asyncpg.Record) -> AuditEntry:
    outcome = record["outcome"]
    ended = None
    if outcome is not None:
        ids = tuple(json.loads(record["ids"]))
        ended = Ended(outcome=Outcome(outcome), code=record["code"], ids=ids, count=record["count"])
    return AuditEntry(
        id=record["id"],
        at=record["at"],
        operation=record["operation"],
        credential=record["credential"],
        role=Role(record["role"]),
        owner=record["owner"],
        trace_id=record["trace_id"],
        ended=ended,
    )
