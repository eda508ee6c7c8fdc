"""A host that many webhooks go to is down: it is left alone, others are not kept waiting, and none is lost."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from tests.support.asking import create_many, row_id
from tests.support.experiments import Experiment
from tests.support.graphql_client import http_client
from tests.support.installation import KINDS, SHORT_LEASES, open_installation
from tests.support.waiting import until
from tests.support.webhook_receiver import Receiver, receiving, status

pytestmark = [pytest.mark.postgres, pytest.mark.redis, pytest.mark.rabbit]

DOWN = status("503 Service Unavailable")
UP = status("200 OK")
SETTINGS = SHORT_LEASES | {
    "CARILLON_HTTP_ALLOW_INSECURE": "true",
    "CARILLON_HTTP_ALLOWED_NETWORKS": "127.0.0.1/32",
    "CARILLON_WORKER_SLOTS": "50",
}
STORM = 600
SLOTS = 50
OTHERS = 40
DOWN_SECONDS = 8.0
NONE_WAITS = "select count(*) = 0 from tasks where state in ('SCHEDULED', 'RETRYING')"
OPEN = "select count(*) from attempts where error_type = 'HostDown'"
LONGEST = "select max(finished_at - due_at) from attempts where task_id = any($1)"


@pytest.mark.long
@pytest.mark.fault(40, "a host of 600 webhooks down for 8 s, another one well")
async def test_a_host_that_is_down_is_left_alone_and_keeps_no_other_waiting(
    postgres_server: str, migrated: str, tmp_path: Path, experiment: Experiment
) -> None:
    answers = [DOWN]

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(answers[-1])
        answered.append((answers[-1], time.monotonic()))
        await writer.drain()

    answered: list[tuple[bytes, float]] = []
    async with (
        open_installation(postgres_server, migrated, tmp_path, *KINDS, **SETTINGS) as installation,
        receiving(answer) as down,
        receiving(UP) as well,
        http_client(installation.api) as client,
    ):
        storm = await create_many(client, [to(down)] * STORM)
        experiment.accept(storm)
        experiment.broken()
        began = time.monotonic()
        await until(lambda: installation.value(f"select ({OPEN}) >= $1", STORM // 2), 20)
        others = await create_many(client, [to(well)] * OTHERS)
        experiment.accept(others)
        await until(lambda: well.connections == OTHERS, 10)
        await asyncio.sleep(max(0, DOWN_SECONDS - (time.monotonic() - began)))
        dialled = down.connections
        answers.append(UP)
        await until(lambda: installation.value(NONE_WAITS), 90)
        await experiment.check(installation)
        experiment.recovered()
        assert dialled <= 2 * SLOTS, "those under way when it was found to be down, and few more"
        assert await installation.value(LONGEST, [row_id(id) for id in others]) < timedelta(seconds=3)
        came = [at for what, at in answered if what == UP]
        assert len(came) == STORM, "each once"
        each_second = Counter(int(at - came[0]) for at in came)
        assert max(each_second.values()) < STORM / 3, "not all at once"


def to(receiver: Receiver) -> dict[str, object]:
    return {"title": "Tell them", "action": {"http": {"url": receiver.url, "body": {}}}}
