"""Under a steady load, with what ended removed after a few seconds: nothing grows, and nothing is lost."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import astuple, dataclass
from pathlib import Path

import pytest

from infra.postgres.migrate import migrate
from tests.support.asking import create_many, run
from tests.support.experiments import Experiment
from tests.support.graphql_client import HttpClient, http_client
from tests.support.installation import KINDS, Installation, open_installation
from tests.support.own_postgres import own_postgres
from tests.support.services import database_name, fresh_database

pytestmark = [pytest.mark.postgres, pytest.mark.redis, pytest.mark.rabbit]

SECONDS = 30
KEPT = str(3 / 86_400)
"""Three seconds, in days."""
EACH_TENTH = 5
"""Tasks made every tenth of a second."""
SETTINGS = {
    "CARILLON_RETAIN_SUCCEEDED_DAYS": KEPT,
    "CARILLON_RETAIN_NOTIFICATIONS_DAYS": "1",
    "CARILLON_PRUNE_INTERVAL": "0.5",
}
SWEEP_OFTEN = "alter system set autovacuum_naptime = 1; select pg_reload_conf()"
TASKS = "select count(*) from tasks"
BYTES = """select sum(pg_total_relation_size(oid))::bigint from pg_class
    where relkind = 'r' and relname in ('tasks', 'task_words', 'outbox', 'workers', 'lanes')"""


@pytest.mark.long
@pytest.mark.fault(29, "50 tasks a second for 30 s, kept for 3 s once they ended")
async def test_what_is_stored_and_held_in_memory_stops_growing(tmp_path: Path, experiment: Experiment) -> None:
    async with (
        own_postgres() as (_, url),
        fresh_database(url, fill=migrate) as template,
        open_installation(url, database_name(template), tmp_path, *KINDS, **SETTINGS) as installation,
        http_client(installation.api) as client,
    ):
        for statement in SWEEP_OFTEN.split("; "):
            await installation.value(statement)
        samples = [await Sample.of(installation)]
        async with load(client, experiment):
            for _ in range(SECONDS):
                await asyncio.sleep(1)
                samples.append(await Sample.of(installation))
        await experiment.check(installation, removed=True)
        assert experiment.row.repeated == 0
    third = SECONDS // 3
    before, last = (Sample.most(some) for some in (samples[third:-third], samples[-third:]))
    assert last.tasks < SECONDS * 10 * EACH_TENTH / 3, "a few seconds' worth"
    assert last.bytes_stored < 1.3 * before.bytes_stored, "unbounded, it would have half as much again"
    assert last.memory < 1.1 * before.memory


@asynccontextmanager
async def load(client: HttpClient, experiment: Experiment) -> AsyncIterator[None]:
    async def make() -> None:
        loop = asyncio.get_running_loop()
        at = loop.time()
        while True:
            task = {"title": "Water the plants", "action": run("work", seconds=0)}
            experiment.accept(await create_many(client, [task] * EACH_TENTH))
            at += 0.1
            await asyncio.sleep(at - loop.time())

    async with asyncio.TaskGroup() as group:
        making = group.create_task(make())
        yield
        making.cancel()


@dataclass(frozen=True, slots=True)
class Sample:
    tasks: int
    bytes_stored: int
    """Of the tables that are written all the time, with their indexes."""
    memory: int
    """Bytes that all processes hold."""

    @staticmethod
    async def of(installation: Installation) -> Sample:
        memory = sum(resident(member.pid) for member in installation.members)
        return Sample(await installation.value(TASKS), await installation.value(BYTES), memory)

    @staticmethod
    def most(samples: list[Sample]) -> Sample:
        columns = zip(*(astuple(sample) for sample in samples), strict=True)
        return Sample(*(max(column) for column in columns))


def resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
