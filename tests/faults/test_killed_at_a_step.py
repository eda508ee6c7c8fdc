"""Every process killed right before and right after each of the steps that others rely on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.asking import CREATE_SCHEDULE, PAUSE_SCHEDULE, create_many, run
from tests.support.experiments import Experiment
from tests.support.graphql_client import http_client
from tests.support.installation import KINDS, SHORT_LEASES, Installation, Member, open_installation
from tests.support.waiting import until

pytestmark = [pytest.mark.postgres, pytest.mark.redis, pytest.mark.rabbit]

TASKS = 20
RETURN_SECONDS = 20.0
"""Leases of 3 seconds, hand-overs repeated after 3, and what a busy machine adds."""

STEPS = [
    ("scheduler", "before due_tasks.claim"),
    ("scheduler", "after due_tasks.claim"),
    ("scheduler", "after hand_over.send"),
    ("worker", "before attempts.start"),
    ("worker", "after attempts.start"),
    ("worker", "before attempts.finish"),
    ("worker", "after attempts.finish"),
    ("relay", "before events.publish"),
    ("relay", "before outbox.oldest"),
    ("relay", "after outbox.oldest"),
    ("notifier", "before notifications.add"),
    ("notifier", "after notifications.add"),
]
SHORT = {("scheduler", "after due_tasks.claim"), ("worker", "after attempts.finish")}


EACH_SECOND = {
    "name": "Each second",
    "recurrence": {"every": "PT1S"},
    "misfirePolicy": "FIRE_ALL",
    "overlapPolicy": "ALLOW",
    "task": {"title": "Tick", "action": run("work", seconds=0)},
}


@pytest.fixture(scope="module")
async def installation(
    postgres_server: str, migrated: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Installation]:
    folder = tmp_path_factory.mktemp("killed-at-a-step")
    async with open_installation(postgres_server, migrated, folder, *KINDS, **SHORT_LEASES) as opened:
        yield opened


@pytest.mark.fault(4, "killed at a step; leases of 3 s")
@pytest.mark.parametrize(
    ("kind", "step"),
    [pytest.param(*each, id=each[1], marks=() if each in SHORT else pytest.mark.long) for each in STEPS],
)
async def test_nothing_is_lost_or_doubled(
    installation: Installation, experiment: Experiment, tmp_path: Path, kind: str, step: str
) -> None:
    victim, armed = await replaced(installation, kind, step, tmp_path)
    async with http_client(installation.api) as client:
        armed.touch()
        task = {"title": "Once", "action": run("work", seconds=0.2)}
        experiment.accept(await create_many(client, [task] * TASKS))
    assert await victim.process.ended() == -9
    experiment.broken()
    await installation.start(kind)
    await experiment.check(installation)
    assert experiment.recovered() < RETURN_SECONDS


@pytest.mark.fault(4, "killed at the firing of a schedule; leases of 3 s")
@pytest.mark.parametrize(
    "step", [pytest.param("before firing.fire", marks=pytest.mark.long), "after firing.fire"]
)
async def test_each_fire_time_makes_one_task(
    installation: Installation, experiment: Experiment, tmp_path: Path, step: str
) -> None:
    victim, armed = await replaced(installation, "scheduler", step, tmp_path)
    async with http_client(installation.api) as client:
        armed.touch()
        made = (await client.execute(CREATE_SCHEDULE, input=EACH_SECOND))["createSchedule"]
        assert await victim.process.ended() == -9
        experiment.broken()
        await installation.start("scheduler")
        await until(lambda: fired(installation, 5), 30)
        experiment.recovered()
        await client.execute(PAUSE_SCHEDULE, id=made["schedule"]["id"])
    await experiment.accept_fired(installation)
    await experiment.check(installation)
    assert experiment.row.repeated == 0
    await installation.value("update tasks set schedule_id = null")  # the next one counts its own


async def fired(installation: Installation, times: int) -> bool:
    query = "select count(*) >= $1 from tasks where schedule_id is not null"
    return bool(await installation.value(query, times))


async def replaced(installation: Installation, kind: str, step: str, folder: Path) -> tuple[Member, Path]:
    """The one of this kind that there is, which kills itself at the step once the file exists."""
    (whole,) = installation.of(kind)
    await whole.process.stop()
    armed = folder / "armed"
    breaking = {"STEP": step, "ARMED": str(armed)}
    return await installation.start_one(kind, module="tests.support.breaking", **breaking), armed
