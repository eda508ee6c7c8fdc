"""The commands for dead letters: failed tasks and events, listed, shown, replayed and purged."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from domain.actions.model import Http, Run
from infra.rabbit.bus import RabbitBus
from infra.rabbit.event_wire import failed_message
from infra.rabbit.publisher import Outgoing
from tests.support.buses import an_event, open_rabbit
from tests.support.services import RABBIT, REDIS
from tests.support.storage import Storage, a_task

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.postgres, pytest.mark.redis, pytest.mark.rabbit]


@pytest.fixture
async def bus(namespace: str) -> AsyncIterator[RabbitBus]:
    async with open_rabbit(namespace) as opened:
        yield opened


class Commands:
    def __init__(self, storage: Storage, namespace: str) -> None:
        self._settings = {
            "CARILLON_DATABASE_URL": storage.url,
            "CARILLON_REDIS_URL": REDIS.url,
            "CARILLON_AMQP_URL": RABBIT.url,
            "CARILLON_NAMESPACE": namespace,
            "CARILLON_TENANT": "acme",
        }

    async def run(self, *arguments: str, answer: bytes = b"") -> tuple[int | None, str, str]:
        """Its exit code, and what it says to the standard output and the standard error."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CARILLON_")}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "api.cli", "dead-letters", *arguments),
            cwd=ROOT,
            env=kept | self._settings,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        said, complained = await process.communicate(answer)
        return process.returncode, said.decode(), complained.decode()

    async def ids(self) -> set[str]:
        code, said, complained = await self.run("list")
        assert code == 0, complained
        return {line.split("\t")[0] for line in said.splitlines()[1:]}


async def test_all_kinds_are_listed_shown_replayed_and_purged(
    storage: Storage, bus: RabbitBus, namespace: str
) -> None:
    commands, event = Commands(storage, namespace), an_event(title="Poison\x1b[2J")
    [id] = await storage.added(a_task())
    await storage.execute("update tasks set state = 'FAILED', finished_at = now() where id = $1", id)
    await storage.execute("update outbox set partition = -1")
    await bus.events.send([Outgoing(bus.names.dead, "notifier", failed_message(event, 5), mandatory=True)])
    found = {kind: each for each in await commands.ids() for kind in [each.split(":")[0]]}
    assert set(found) == {"task", "notifier", "outbox"}
    assert (found["task"], found["notifier"]) == (f"task:{id}", f"notifier:{event.event_id}")

    code, said, _ = await commands.run("show", found["notifier"])
    assert (code, json.loads(said)["body"]["title"]) == (0, "Poison\x1b[2J")
    assert "\x1b" not in said

    assert (await commands.run("replay", found["task"], found["outbox"]))[:2] == (0, "Replayed: 2.\n")
    assert (await commands.run("replay", found["task"], found["outbox"]))[:2] == (0, "Replayed: 0.\n")
    assert (await storage.task(id)).state == "SCHEDULED"

    code, _, asked = await commands.run("purge", "--of", "notifier", answer=b"n\n")
    assert (code, "Delete all of notifier for good?" in asked) == (1, True)
    assert await commands.ids() == {found["notifier"]}
    assert (await commands.run("purge", "--of", "notifier", "--yes"))[:2] == (0, "Purged: 1.\n")
    assert await commands.ids() == set()


async def test_a_list_says_what_each_was_to_do(storage: Storage, bus: RabbitBus, namespace: str) -> None:
    commands = Commands(storage, namespace)
    await storage.added(
        a_task(title="Sweep\tthe yard", action=Run(handler="echo", payload={"a": 1})),
        a_task(title="Call", action=Http(url="https://example.org/?key=hunter2")),
    )
    await storage.execute("update tasks set state = 'FAILED', finished_at = now()")
    _, said, _ = await commands.run("list")
    head, *rows = [line.split("\t") for line in said.splitlines()]
    assert head == ["id", "tenant", "at", "what", "title", "action"]
    assert {tuple(row[4:]) for row in rows if row[0].startswith("task:")} == {
        ("Sweep?the yard", "RUN echo"),
        ("Call", "HTTP"),
    }
    assert "hunter2" not in said


@pytest.mark.parametrize("unknown", [("--of", "tasks"), ("tasks:0192",)])
async def test_a_kind_there_is_not_is_refused_before_anything_is_asked(
    storage: Storage, namespace: str, unknown: tuple[str, ...]
) -> None:
    told = "There are no dead letters of tasks here: task, notifier, outbox are the kinds.\n"
    assert await Commands(storage, namespace).run("purge", *unknown, answer=b"y\n") == (1, "", told)


async def test_which_ones_has_to_be_said(storage: Storage, namespace: str) -> None:
    commands = Commands(storage, namespace)
    for wrong in (["replay"], ["purge", "--yes"], ["replay", "--of", "task", "x"]):
        code, _, told = await commands.run(*wrong)
        assert (code, told) == (2, "Say which: either ids, or --of a kind.\n")
    assert (await commands.run("show", "x"))[0::2] == (1, "There is no dead letter x.\n")
