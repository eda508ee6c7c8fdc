"""Notifications are told without gap or repeat, while 500 a second are written and every part is restarted."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from schema.paging import stream_cursor
from tests.support.engine_fakes import an_event
from tests.support.experiments import Experiment
from tests.support.installation import Installation, Proxies, open_behind_proxies
from tests.support.resuming import Resuming
from tests.support.waiting import until

pytestmark = [pytest.mark.postgres, pytest.mark.redis, pytest.mark.rabbit]

MEMBERS = ("api", "api", "relay", "notifier")
RATE = 500
"""Facts that people are told of, written in a second."""
BATCHES = 10
"""In which they are written."""
BETWEEN = 1.0
"""Seconds from the end of one fault to the next."""
CATCHING_UP = 90.0
"""Seconds, on a busy machine."""
OWNERS = ("ann", "bob", None)
WRITE = """insert into outbox (partition, event)
    select outbox_partition((e->>'task_id')::uuid), e from unnest($1::jsonb[]) as e"""
CUT_OFF = """select count(pg_terminate_backend(pid)) from pg_stat_activity
    where datname = current_database() and application_name = 'carillon'"""
STORED = "select seq, owner from notifications order by seq"


@dataclass
class Writer:
    """Writes the facts as the engine would, with no task behind them."""

    installation: Installation
    written: int = 0
    done: bool = False

    async def write(self) -> None:
        """Until it is done: cancelled, it would not know what it has written."""
        began = time.monotonic()
        while not self.done:
            wanted = int((time.monotonic() - began) * RATE)
            for _ in range(self.written, wanted, RATE // BATCHES):
                await self._write(RATE // BATCHES)
            await asyncio.sleep(1 / BATCHES)

    async def _write(self, count: int) -> None:
        events = [
            an_event(tenant="default", owner=OWNERS[number % len(OWNERS)]).to_wire() for number in range(count)
        ]
        await self.installation.database.execute(WRITE, [json.dumps(event) for event in events])
        self.written += count


@pytest.mark.fault(41, "500 notifications a second, followed while every part is restarted and cut off")
@pytest.mark.parametrize("rounds", [1, pytest.param(6, marks=pytest.mark.long)])
async def test_every_subscriber_is_told_everything_once_and_in_order(
    postgres_server: str, migrated: str, tmp_path: Path, experiment: Experiment, rounds: int
) -> None:
    async with open_behind_proxies(postgres_server, migrated, tmp_path, *MEMBERS) as (installation, proxies):
        async with following(installation) as followers:
            async with writing(installation) as writer:
                experiment.broken()
                for _ in range(rounds):
                    await break_everything(installation, proxies)
            for follower in followers:
                await until(lambda: len(follower.cursors) >= share_of(follower, writer.written), CATCHING_UP)  # noqa: B023  awaited here
            experiment.recovered()
        rows = await installation.database.fetch(STORED)
        assert [row["seq"] for row in rows] == list(range(1, writer.written + 1))
        for follower in followers:
            theirs = [stream_cursor(row["seq"]) for row in rows if follower.owner in (None, row["owner"])]
            assert follower.cursors == theirs, (follower.over, follower.owner)
            assert len(set(follower.visits)) >= len(installation.of("api"))
            assert len(follower.visits) > 2 * rounds


def share_of(follower: Resuming, written: int) -> int:
    """Of each batch; the batches are alike."""
    size = RATE // BATCHES
    mine = sum(follower.owner in (None, OWNERS[number % len(OWNERS)]) for number in range(size))
    return written // size * mine


async def break_everything(installation: Installation, proxies: Proxies) -> None:
    """One part after the other; an API at a time, so that there is one to come back to."""
    for kind in ("relay", "notifier", "api"):
        await installation.kill(installation.of(kind)[0])
        await asyncio.sleep(BETWEEN / 2)  # for some to wait
        await installation.start(kind)
        await asyncio.sleep(BETWEEN)
    assert await installation.value(CUT_OFF) > 0
    await asyncio.sleep(BETWEEN)
    proxies.rabbit.cut()
    proxies.redis.cut()
    await asyncio.sleep(BETWEEN)
    assert await installation.of("api")[0].process.stop() == 0
    await installation.start("api")
    await asyncio.sleep(BETWEEN)


@asynccontextmanager
async def writing(installation: Installation) -> AsyncIterator[Writer]:
    writer = Writer(installation)
    async with asyncio.TaskGroup() as group:
        group.create_task(writer.write())
        began = time.monotonic()
        yield writer
        # A busy machine may have held it up: it catches up while nothing is broken.
        await until(lambda: writer.written > 0.9 * RATE * (time.monotonic() - began), CATCHING_UP)
        writer.done = True


@asynccontextmanager
async def following(installation: Installation) -> AsyncIterator[list[Resuming]]:
    def apis() -> list[str]:
        return [member.address for member in installation.of("api")]

    followers = [Resuming(over, owner, apis) for over in ("websocket", "sse") for owner in (None, "ann", None)]
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(follower.follow_for_ever()) for follower in followers]
        yield followers
        for each in running:
            each.cancel()
