"""From due to handed over: the scheduler's side of storage."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import asyncpg

from domain.attempts.ports import Claimed
from domain.errors import Unavailable
from infra.postgres.changes import Changed, versions
from infra.postgres.claiming import BEGIN_LOCKED, CLAIM, COUNT_ROOM, LOOK, NEXT_DUE, TAKE_BACK
from infra.postgres.database import Connection, Database
from infra.postgres.floors import NEVER, Floors, floors_from, margin_for, walked_keys
from infra.postgres.lanes import tend_lanes
from infra.postgres.plain_claiming import CLAIM_PLAIN, NEXT_DUE_PLAIN

MOST_CANDIDATES = 20_000
"""Rows one claim looks at, shared out among the lanes in which something was due at the last, or waits."""
MOST_PARKINGS = 100
"""Claims in a row that find only tasks whose key is held, and set them aside."""


class PostgresDueTasks:
    """Implements domain.attempts.ports.DueTasks. Remembers, between claims, where there is nothing to find.

    `patient` is for looks at everything, which take seconds when a snapshot was held open for long.
    """

    def __init__(self, database: Database, patient: Database, changed: Changed) -> None:
        self._database = database
        self._patient = patient
        self._changed = changed
        self._margin = margin_for(database.limit)
        self._floors = Floors()

    async def room(self) -> int:
        floors = await self._known()
        async with self._database.work("room") as connection:
            room: int = await connection.fetchval(COUNT_ROOM, *floors.arguments(self._margin)[:3])
        return room

    async def claim(self, limit: int) -> Claimed:
        claimed, parked = await self._claim(limit)
        for _ in range(MOST_PARKINGS - 1):
            if claimed.ids or not parked:
                break
            claimed, parked = await self._claim(limit)
        return claimed

    async def _claim(self, limit: int) -> tuple[Claimed, int]:
        """What was claimed, and how many tasks were set aside."""
        floors = await self._known()
        try:
            async with self._database.begun("claim", BEGIN_LOCKED) as connection:
                records = await self._chosen(connection, floors, limit)
                answered = time.monotonic()
        except Unavailable:
            self._floors = Floors()  # much may have come into many lanes: the next shares out among all of them
            raise
        tasks = [record for record in records if record["kind"] == "task"]
        (summary,) = (record for record in records if record["kind"] == "claim")
        self._floors = replace(self._seen(floors, records, summary), keys_after=walked_keys(records))
        await self._changed(versions(tasks))
        tasks.sort(key=lambda task: (task["turn"], task["priority"], task["at"], task["id"]))
        claimed = Claimed(
            [task["id"] for task in tasks],
            summary["room"] - len(tasks),
            summary["workers"],
            traceparents=[task["traceparent"] for task in tasks],
        )
        if summary["idle_for"] is not None:
            passed = timedelta(seconds=time.monotonic() - answered)
            claimed = replace(claimed, idle_for=summary["idle_for"] - passed)
        return claimed, summary["parked"]

    async def _chosen(self, connection: Connection, floors: Floors, limit: int) -> list[asyncpg.Record]:
        of_each = max(1, min(limit, MOST_CANDIDATES // max(1, len(floors.lanes))))
        arguments = floors.arguments(self._margin)
        if floors.plain:
            records = await connection.fetch(CLAIM_PLAIN, *arguments[:8], limit, of_each)
            if any(record["complete"] for record in records):
                return records
        return await connection.fetch(CLAIM, *arguments, limit, of_each)

    def _seen(self, floors: Floors, records: Sequence[asyncpg.Record], summary: asyncpg.Record) -> Floors:
        if not summary["complete"]:  # what is to be set aside still waits below
            return replace(floors, limits=True)
        if summary["room"] == 0:  # no lane was looked at
            return floors
        return floors_from(summary["at"], records, limits=summary["limits"])

    async def take_back(self, ids: Sequence[UUID]) -> None:
        async with self._database.work("take_back") as connection:
            records = await connection.fetch(TAKE_BACK, list(ids))
        await self._changed(versions(records))

    async def next_due_in(self) -> timedelta | None:
        floors = await self._known()
        arguments = floors.arguments(self._margin)
        due_in: timedelta | None
        async with self._database.work("next_due") as connection:
            if not floors.limits:
                ((plain, due_in),) = await connection.fetch(NEXT_DUE_PLAIN, *arguments[:8])
                if plain:
                    return due_in
            due_in = await connection.fetchval(NEXT_DUE, *arguments)
        return due_in

    async def tend(self) -> int:
        """A floor that should be wrong hides a task until this is called again."""
        restored, _ = await tend_lanes(self._database)
        await self._look()
        return restored

    async def _known(self) -> Floors:
        if self._floors.seen_at is NEVER:
            await self._look()
        return self._floors

    async def _look(self) -> None:
        """Not in a claim, which others wait for: without a floor it passes all that a snapshot keeps."""
        async with self._patient.work("look_at_all") as connection:
            records = await connection.fetch(LOOK)
        (summary,) = (record for record in records if record["kind"] == "look")
        self._floors = floors_from(summary["at"], records, limits=True)
