"""Commands on the home of `carillon dev`: beside one that runs, and by themselves when none does."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg
import httpx2
import pytest

from infra.embedded_postgres.server import running_url
from tests.support.asking import create, until_finished
from tests.support.graphql_client import http_client
from tests.support.processes import ROOT, embedded
from tests.support.waiting import until

CREATE = ("tokens", "create", "--name", "shop", "--role", "editor")


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """Not pytest's own folder, which is closed to the server's user. Made once, by a `carillon dev`."""
    with TemporaryDirectory(prefix="commands-") as folder:
        yield Path(folder) / "home"


@asynccontextmanager
async def dev(home: Path) -> AsyncIterator[str]:
    async with embedded(home, home.with_name("dev.log")) as (address, _):
        yield address


async def carillon(home: Path, *words: str, **settings: str) -> tuple[int | None, str, str]:
    """Its exit code, and what it says to the standard output and the standard error."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CARILLON_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "api.cli", *words),
        cwd=ROOT,
        env=kept | {"CARILLON_HOME": str(home)} | settings,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complained = await process.communicate()
    return process.returncode, said.decode(), complained.decode()


async def names(home: Path) -> list[str]:
    """Of the tokens there are."""
    code, said, complained = await carillon(home, "tokens", "list")
    assert code == 0, complained
    return [line.split("\t")[1] for line in said.splitlines()[1:]]


def runs(home: Path) -> bool:
    return (home / "postgres/postmaster.pid").exists()


async def test_beside_one_that_runs_they_work_on_its_server_and_leave_it_alone(
    home: Path, tmp_path: Path
) -> None:
    document = "{ viewer { tenant } }"
    hash = hashlib.sha256(document.encode()).hexdigest()
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps({hash: document}))
    async with dev(home) as address, httpx2.AsyncClient(base_url=address) as client:
        code, said, complained = await carillon(home, *CREATE)
        assert (code, said[:4]) == (0, "crl_"), complained
        assert await names(home) == ["shop"]
        code, said, complained = await carillon(home, "documents", "publish", str(manifest))
        assert (code, said) == (0, "Published: 1 of 1; the others were before.\n"), complained

        async def executed() -> bool:
            answer = (await client.post("/graphql", json={"documentId": hash})).json()
            return bool(answer.get("data") == {"viewer": {"tenant": "default"}})

        await until(executed, 10)
    assert not runs(home)


async def test_top_looks_at_one_that_runs_and_sees_its_worker(home: Path) -> None:
    async with dev(home):
        code, said, complained = await carillon(home, "top", "--once")
    assert code == 0, complained
    assert "of 100 slots" in said


async def test_top_looks_once_at_a_home_on_which_nothing_runs_and_holds_up_nobody_who_starts_on_it(
    home: Path,
) -> None:
    async with dev(home):
        pass
    terminal, end = os.openpty()
    process = await in_terminal(end, home, "top")
    try:
        async with asyncio.timeout(20):
            assert await process.wait() == 0, "it does not follow what nobody changes"
        told = os.read(terminal, 65_536).decode()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        os.close(terminal)
    assert "No worker is there" in told
    assert "Nothing runs on this home" in told
    async with dev(home):
        """It starts."""


async def in_terminal(end: int, home: Path, *words: str) -> asyncio.subprocess.Process:
    """`end` is that of the terminal, which is closed here."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CARILLON_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "api.cli", *words),
        cwd=ROOT,
        env=kept | {"CARILLON_HOME": str(home), "TERM": "xterm", "COLUMNS": "120"},
        stdin=end,
        stdout=end,
        stderr=end,
    )
    os.close(end)
    return process


async def test_beside_one_that_runs_a_failed_task_is_a_dead_letter_and_runs_again(home: Path) -> None:
    async with dev(home) as address, http_client(address) as client:
        failing = {"run": {"handler": "fail", "payload": {"message": "Burst", "times": 1}}}
        id = await create(client, "Call the plumber", action=failing, retry={"maxAttempts": 1})
        assert (await until_finished(client, id))["state"] == "FAILED"
        code, said, complained = await carillon(home, "dead-letters", "list")
        assert code == 0, complained
        [letter] = [line.split("\t")[0] for line in said.splitlines()[1:]]
        assert "deadLetters" in complained, "where the others are is told"
        # Neither handlers nor brokers are loaded for it: these there are not.
        handlers = {"CARILLON_HANDLERS": "no_such_module"}
        ended = await carillon(home, "dead-letters", "replay", letter, **handlers)
        assert ended == (0, "Replayed: 1.\n", "")

        async def succeeded() -> bool:
            return bool((await until_finished(client, id))["state"] == "SUCCEEDED")

        await until(succeeded, 20)
        assert (await carillon(home, "dead-letters", "replay", letter))[1] == "Replayed: 0.\n"
        code, _, complained = await carillon(home, "dead-letters", "replay", "--of", "notifier")
        assert code == 1
        assert complained == "There are no dead letters of notifier here: task, outbox are the kinds.\n"


async def test_without_one_they_start_the_server_for_as_long_as_they_need_it(home: Path) -> None:
    async with dev(home):
        pass
    before = await names(home)
    ended = await asyncio.gather(*(carillon(home, *CREATE) for _ in range(3)))
    assert [code for code, _, _ in ended] == [0, 0, 0], ended
    assert await names(home) == [*before, *["shop"] * 3]
    assert not runs(home)


async def test_after_one_that_was_killed_they_work_on_what_it_left(home: Path) -> None:
    async with embedded(home, home.with_name("dev.log")) as (_, killed):
        await carillon(home, *CREATE)
        killed.kill()
        await killed.ended()
        assert "shop" in await names(home)
    assert not runs(home)


async def test_what_another_version_runs_is_not_migrated_under_it(home: Path) -> None:
    async with dev(home):
        connection = await asyncpg.connect(running_url(home))
        ours = await connection.fetchval("select version_num from alembic_version")
        try:
            await connection.execute("update alembic_version set version_num = '0001'")
            code, said, complained = await carillon(home, *CREATE)
            assert (code, said) == (1, "")
            assert complained.startswith("What runs on this home is Carillon of another version")
            assert await connection.fetchval("select version_num from alembic_version") == "0001"
        finally:
            await connection.execute("update alembic_version set version_num = $1", ours)
            await connection.close()


@pytest.mark.parametrize("words", [CREATE, ("documents", "list")])
async def test_where_dev_has_never_run_they_say_what_they_need_and_make_nothing(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    home = tmp_path / "home"
    code, said, complained = await carillon(home, *words)
    assert (code, said) == (2, "")
    assert complained.startswith("Not set: CARILLON_DATABASE_URL")
    assert str(home) in complained
    assert not home.exists()
