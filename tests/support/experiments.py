"""What every experiment must leave behind, whatever was broken in between: invariants, checked in one place.

I1 nothing that was accepted is lost. I2 each attempt ends once, and each task has one outcome. I3 a schedule of
every second made one task for each, from its first to its last. I4 whatever ran more often than once is
explained. I5 nothing holds a slot. I6 nothing is left on its way.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

import asyncpg

from tests.support.asking import row_id
from tests.support.fault_table import Row
from tests.support.installation import Installation
from tests.support.waiting import until

ENDED = "select id, state::text, attempt, fence, version from tasks where id = any($1)"
REMEMBERED = """select distinct on (task_id)
        task_id as id, state::text, number as attempt, number as fence, number as version
    from attempts where task_id = any($1) order by task_id, number desc"""
"""What attempts tell of their tasks, when these may have been removed already."""
ATTEMPTS = (
    "select task_id, number, state::text, worker from attempts where task_id = any($1) order by task_id, number"
)
TOLD = "select task_id, count(*) from notifications where task_id = any($1) group by task_id"
HELD = """select count(*) from tasks as t where t.worker_id is not null
    and (t.state <> 'RUNNING' or not exists (select from workers as w where w.id = t.worker_id))"""
GONE = "select count(*) from workers where lease_until <= now()"
ON_THEIR_WAY = "select count(*) from tasks where state in ('QUEUED', 'RUNNING')"

FIRED = "select id, fire_time from tasks where schedule_id is not null order by fire_time"


@dataclass(slots=True)
class Experiment:
    """Counts what an experiment did and found; its row in the table says so, also when it fails."""

    row: Row
    accepted: list[UUID] = field(default_factory=list)
    _broken_at: float | None = None

    def accept(self, ids: Iterable[str]) -> None:
        """Tasks that a client was told are stored."""
        self.accepted += map(row_id, ids)
        self.row.tasks = len(self.accepted)

    def broken(self) -> None:
        """From here on the time until `recovered` counts."""
        self._broken_at = time.monotonic()

    def recovered(self) -> float:
        """Seconds since it was broken; the longest of several is kept."""
        assert self._broken_at is not None, "say first when it was broken"
        seconds = time.monotonic() - self._broken_at
        self.row.recovered = max(seconds, self.row.recovered or 0)
        return seconds

    async def accept_fired(self, installation: Installation) -> None:
        """I3, for the one schedule there is, which fires every second; its tasks count from here on."""
        rows = await installation.database.fetch(FIRED)
        times = [row["fire_time"] for row in rows]
        assert times, "it has not fired"
        assert times == [times[0] + timedelta(seconds=number) for number in range(len(times))]
        self.accepted += [row["id"] for row in rows]
        self.row.tasks = len(self.accepted)

    async def check(
        self,
        installation: Installation,
        *,
        end: str | None = "SUCCEEDED",
        handed_back: Iterable[UUID] = (),
        seconds: float = 60,
        removed: bool = False,
    ) -> None:
        """The invariants, once all is quiet.

        `handed_back`: tasks a stopping worker may have given back.
        `end`: how all of them ended; None when they may have ended differently.
        `removed`: some may be older than what ended is kept.
        """
        await installation.quiet(seconds)
        tasks = await installation.database.fetch(REMEMBERED if removed else ENDED, self.accepted)
        self._none_is_lost(tasks, end)
        await self._each_ended_once(installation, tasks)
        await self._repetitions_are_explained(installation, frozenset(handed_back))
        await until(lambda: self._nothing_is_held(installation), 20)
        await until(lambda: told_once(installation, self.accepted), 20)

    def _none_is_lost(self, tasks: list[asyncpg.Record], end: str | None) -> None:
        """I1."""
        ended = {row["id"]: row["state"] for row in tasks}
        self.row.lost = sum(ended.get(id) not in {"SUCCEEDED", "FAILED", "CANCELLED"} for id in self.accepted)
        assert self.row.lost == 0, f"{self.row.lost} tasks are lost"
        assert end is None or Counter(ended.values()) == Counter({end: len(set(self.accepted))})

    async def _each_ended_once(self, installation: Installation, tasks: list[asyncpg.Record]) -> None:
        """I2. An attempt's number is its key in storage: here, that there is none too few and none too many."""
        history = await self._history(installation)
        for task in tasks:
            attempts = history.get(task["id"], {})
            assert sorted(attempts) == list(range(1, task["attempt"] + 1)), task
            ends = [number for number, state in attempts.items() if state in {"SUCCEEDED", "CANCELLED"}]
            assert ends in ([], [task["attempt"]]), f"one outcome, and it is the last: {task} {attempts}"
            assert task["fence"] >= task["attempt"], task

    async def _repetitions_are_explained(
        self, installation: Installation, handed_back: frozenset[UUID]
    ) -> None:
        """I4: what a handler began a second time, it began as a later attempt, with a higher fence, after one
        that was lost or failed; or its worker stopped and gave it back."""
        history = await self._history(installation)
        begun: dict[UUID, list[tuple[int, int]]] = {}
        for entry in installation.ledger.noted("started", *self.accepted):
            begun.setdefault(entry.task, []).append((entry.attempt, entry.fence))
        self.row.repeated = sum(len(each) - 1 for each in begun.values())
        for task, each in begun.items():
            assert len({fence for _, fence in each}) == len(each), f"a fence was given twice: {task} {each}"
            by_fence = sorted(each, key=lambda one: one[1])
            numbers = [number for number, _ in by_fence]
            assert numbers == sorted(numbers), f"numbers and fences disagree: {task} {each}"
            if task not in handed_back:
                assert len(set(numbers)) == len(numbers), f"an attempt was begun twice: {task} {each}"
            for number in numbers[:-1]:
                if number != numbers[-1]:
                    assert history[task][number] in {"LOST", "FAILED", "TIMED_OUT", "SNOOZED"}, (
                        task,
                        history[task],
                    )

    async def _nothing_is_held(self, installation: Installation) -> bool:
        """I5 and I6."""
        counts = [await installation.value(query) for query in (HELD, GONE, ON_THEIR_WAY)]
        return counts == [0, 0, 0] and not await installation.value("select count(*) from outbox")

    async def _history(self, installation: Installation) -> dict[UUID, dict[int, str]]:
        found: dict[UUID, dict[int, str]] = {}
        for row in await installation.database.fetch(ATTEMPTS, self.accepted):
            found.setdefault(row["task_id"], {})[row["number"]] = row["state"]
        return found


async def told_once(installation: Installation, tasks: list[UUID]) -> bool:
    """Each has its one notification. Raises AssertionError for a second."""
    told = {row["task_id"]: row["count"] for row in await installation.database.fetch(TOLD, tasks)}
    assert set(told.values()) <= {1}, "people were told twice"
    return len(told) == len(set(tasks))
