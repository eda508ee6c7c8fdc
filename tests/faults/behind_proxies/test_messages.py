"""What RabbitMQ may do to hand-overs: lose them all, tell them thrice, late and in another order."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel

from infra.live.hand_over import message_for, queue_name
from tests.faults.behind_proxies.conftest import Behind
from tests.support.asking import create_many, row_id, run
from tests.support.experiments import Experiment
from tests.support.installation import Installation
from tests.support.services import RABBIT
from tests.support.waiting import until

pytestmark = [pytest.mark.postgres, pytest.mark.redis, pytest.mark.rabbit]

TASKS = 60
WITHIN = 25.0
"""Hand-overs are repeated after 3 seconds here; the rest is the machine's."""


@asynccontextmanager
async def channel_to(installation: Installation) -> AsyncIterator[tuple[AbstractChannel, str]]:
    """And the name of the queue of hand-overs."""
    async with await aio_pika.connect(RABBIT.url) as connection:
        yield await connection.channel(), queue_name(installation.namespace)


async def deliver(installation: Installation, ids: Sequence[UUID]) -> None:
    """One hand-over for each, as a scheduler would send it."""
    async with channel_to(installation) as (channel, queue):
        for id in ids:
            message = aio_pika.Message(message_for(queue, [id]).encode())
            await channel.default_exchange.publish(message, queue)


@pytest.mark.fault(12, "every hand-over lost in RabbitMQ; repeated after 3 s")
@pytest.mark.parametrize("how", ["queue purged", "queue deleted"])
async def test_hand_overs_that_are_lost_are_repeated(behind: Behind, experiment: Experiment, how: str) -> None:
    installation = behind.installation
    workers = installation.of("worker")
    for worker in workers:
        worker.process.running.send_signal(signal.SIGSTOP)
    task = {"title": "Handed over", "action": run("work", seconds=0)}
    experiment.accept(await create_many(behind.clients[0], [task] * TASKS))
    queued = "select count(*) = $1 from tasks where state = 'QUEUED'"
    await until(lambda: installation.value(queued, TASKS), 10)
    for worker in workers:  # what was on its way to them goes back to the queue
        await installation.kill(worker)
    async with channel_to(installation) as (channel, queue):

        async def nobody_takes_them() -> bool:
            told = (await channel.declare_queue(queue, passive=True)).declaration_result
            return told.consumer_count == 0 and bool(told.message_count)

        await until(nobody_takes_them, 10)
        if how == "queue purged":
            lost = (await (await channel.get_queue(queue)).purge()).message_count
        else:
            lost = (await channel.queue_delete(queue)).message_count
        assert lost
    experiment.broken()
    await installation.start("worker", "worker")
    await experiment.check(installation)
    assert experiment.recovered() < WITHIN


@pytest.mark.fault(13, "every hand-over delivered four times")
async def test_what_is_delivered_again_is_run_once(behind: Behind, experiment: Experiment) -> None:
    task = {"title": "Once", "action": run("work", seconds=0.5)}
    ids = [row_id(id) for id in await create_many(behind.clients[0], [task] * TASKS)]
    experiment.accepted += ids
    experiment.row.tasks = len(ids)
    for _ in range(3):
        await deliver(behind.installation, ids)
    await experiment.check(behind.installation)
    assert experiment.row.repeated == 0


@pytest.mark.fault(14, "hand-overs delivered backwards, long after their tasks are done")
async def test_what_is_delivered_late_and_in_disorder_runs_nothing(
    behind: Behind, experiment: Experiment
) -> None:
    installation = behind.installation
    task = {"title": "Once", "action": run("work", seconds=0)}
    made = await create_many(behind.clients[0], [task] * TASKS)
    experiment.accept(made)
    await installation.quiet()
    await deliver(installation, [row_id(id) for id in reversed(made)])
    after = await create_many(behind.clients[0], [task])
    experiment.accept(after)
    await experiment.check(installation)
    assert experiment.row.repeated == 0
