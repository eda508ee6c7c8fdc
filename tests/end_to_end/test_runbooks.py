"""What the pages of the alerts have one run can be run."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aio_pika
import pytest

from infra.rabbit.event_wire import failed_message
from tests.support.asking import create, due, row_id
from tests.support.buses import an_event
from tests.support.graphql_client import http_client
from tests.support.installation import Installation, open_installation
from tests.support.runbooks import PAGES, blocks

pytestmark = [pytest.mark.postgres, pytest.mark.redis, pytest.mark.rabbit]

ROOT = Path(__file__).parents[2]
TOOLS = {tool for tool in ("psql", "redis-cli", "curl") if shutil.which(tool) is None}
SECONDS = 30
CANCELS = {"CarillonWebhooksPutOff": 10 * 60, "CarillonOverloaded": 0}
"""Seconds from now until when what is to be cancelled is due."""
CANCELLED = "select array(select id from tasks where id = any($1) and state = 'CANCELLED')"
INSTANT = re.compile(r'(?<=dueBefore: ")[^"]+')
QUEUE = re.compile(r'(?<=queues: \[")[^"]+')


@pytest.fixture(scope="module")
async def installation(
    postgres_server: str, migrated: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Installation]:
    async with open_installation(
        postgres_server, migrated, tmp_path_factory.mktemp("runbooks"), "api"
    ) as opened:
        yield opened


async def run(command: str, installation: Installation) -> str:
    shell = await asyncio.create_subprocess_exec(
        "sh",
        "-euc",
        command.replace("bin/carillon", f"{sys.executable} -m api.cli"),
        cwd=ROOT,
        env=dict(os.environ) | installation.environment | {"API": installation.api, "PSQLRC": os.devnull},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(SECONDS):
        said, _ = await shell.communicate()
    assert shell.returncode == 0, said.decode()
    return said.decode()


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "sh")], ids=lambda page: page.stem)
async def test_its_commands_work(page: Path, installation: Installation) -> None:
    for command in blocks(page, "sh"):
        if missing := [tool for tool in TOOLS if tool in command]:
            pytest.skip(f"needs {' and '.join(missing)}")
        assert "ERROR" not in await run(command, installation)


async def test_dead_letters_are_given_back_by_what_their_page_says(installation: Installation) -> None:
    names = [f"{installation.namespace}.{queue}" for queue in ("notifier.dead", "notifier")]
    async with await aio_pika.connect(installation.environment["CARILLON_AMQP_URL"]) as connection:
        channel = await connection.channel()

        async def waiting() -> list[int | None]:
            queues = [await channel.declare_queue(name, passive=True) for name in names]
            return [queue.declaration_result.message_count for queue in queues]

        for number in range(3):
            message = failed_message(an_event(), number)
            await channel.default_exchange.publish(message, names[0])
        assert await waiting() == [3, 0]
        [command] = blocks(ROOT / "docs/runbooks/CarillonDeadLetters.md", "sh")
        await run(command, installation)
        assert await waiting() == [0, 3]


@pytest.mark.parametrize("name", CANCELS)
async def test_what_is_cancelled_is_what_waits_for_now_in_the_queue_that_is_named(
    name: str, installation: Installation
) -> None:
    [text] = blocks(ROOT / f"docs/runbooks/{name}.md", "graphql")
    [queue] = QUEUE.findall(text)
    told = INSTANT.sub(due(CANCELS[name]), text)
    async with http_client(installation.api) as client:
        aimed = await create(client, "Aimed at", queue=queue, scheduledAt=due(CANCELS[name] - 30))
        reminder = await create(client, "In years", queue=queue, scheduledAt="2050-01-01T00:00:00Z")
        other = await create(client, "Of another queue", queue="other", scheduledAt=due(-30))
        ids = [row_id(each) for each in (aimed, reminder, other)]
        await installation.database.execute(
            "update tasks set state = 'RETRYING', attempt = 1 where id = any($1)", ids
        )
        counted = {"count": 1, "errors": []}
        assert await client.execute(text) == {"cancelTasks": counted | {"count": 0}}, (
            "as it stands: of the past"
        )
        assert await client.execute(told) == {"cancelTasks": counted}
        assert await installation.value(CANCELLED, ids) == [], "it is looked at first"
        assert await client.execute(told.replace("dryRun: true", "dryRun: false")) == {"cancelTasks": counted}
        assert await installation.value(CANCELLED, ids) == [row_id(aimed)]


def test_every_page_that_has_tasks_cancelled_takes_as_many_as_may_be_and_looks_first() -> None:
    texts = {page.stem: text for page in PAGES for text in blocks(page, "graphql") if "cancelTasks" in text}
    assert texts.keys() == CANCELS.keys()
    for name, text in texts.items():
        assert "limit: 10000" in text, name
        assert "dryRun: true" in text, name
