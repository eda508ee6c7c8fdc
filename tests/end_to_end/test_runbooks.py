"""What the pages of the alerts have one run can be run."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aio_pika
import pytest

from infra.rabbit.event_wire import failed_message
from tests.support.buses import an_event
from tests.support.installation import Installation, open_installation
from tests.support.runbooks import PAGES, blocks

pytestmark = [pytest.mark.postgres, pytest.mark.redis, pytest.mark.rabbit]

ROOT = Path(__file__).parents[2]
TOOLS = {tool for tool in ("psql", "redis-cli", "curl") if shutil.which(tool) is None}
SECONDS = 30


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
