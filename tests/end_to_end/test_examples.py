"""The clients in `examples` and the commands of docs/curl.md work with a whole Carillon, as written."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from tests.support.asking import create, until_told
from tests.support.graphql_client import HttpClient
from tests.support.installation import KINDS, Installation, open_installation
from tests.support.processes import ROOT
from tests.support.tcp_proxy import open_proxy
from tests.support.waiting import until

pytestmark = [pytest.mark.postgres, pytest.mark.redis, pytest.mark.rabbit]

DEADLINE = 30
HEAR = "Do you hear?"
TIME_IS_UP = 28
"""What curl exits with when its --max-time is over."""
COMMANDS = re.findall(
    r"^```sh\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?",
    (ROOT / "docs/curl.md").read_text(),
    re.MULTILINE | re.DOTALL,
)


@pytest.fixture(scope="module")
async def installation(
    postgres_server: str, migrated: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Installation]:
    settings = {"CARILLON_AUTHENTICATION": "required", "CARILLON_DOCUMENTS": "trusted"}
    folder = tmp_path_factory.mktemp("examples")
    async with open_installation(postgres_server, migrated, folder, *KINDS, **settings) as installation:
        yield installation


@pytest.fixture(scope="module")
async def token(installation: Installation) -> str:
    return await installation.token("--role", "admin")


@pytest.fixture
async def client(installation: Installation, token: str) -> AsyncIterator[HttpClient]:
    headers = {"authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(base_url=installation.api, headers=headers) as http:
        yield HttpClient(http)


@asynccontextmanager
async def running(*words: str, folder: Path, **variables: str) -> AsyncIterator[Process]:
    """A command of a user's, with its standard output and errors in one; ended when left."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **variables}
    process = await asyncio.create_subprocess_exec(
        *words, cwd=folder, env=environment, stdin=PIPE, stdout=PIPE, stderr=STDOUT
    )
    try:
        async with asyncio.timeout(DEADLINE):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def next_title(process: Process) -> str:
    """Of the next reminder it tells."""
    assert process.stdout
    said = []
    async for line in process.stdout:
        said.append(line.decode())
        if said[-1].startswith("TASK_DUE "):
            return said[-1].removeprefix("TASK_DUE ").rstrip()
    raise AssertionError(f"it ended: {''.join(said)}")


def python_client(*words: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "examples.client", *words)


async def test_the_client_in_python_follows_its_task_to_the_end(
    installation: Installation, token: str, tmp_path: Path
) -> None:
    caller = {"CARILLON_ADDRESS": installation.api, "CARILLON_TOKEN": token}
    words = python_client("run", "Count", "count_to", '{"n": 3, "delay": 0.2}')
    async with running(*words, folder=tmp_path, **caller) as process:
        said = (await process.communicate())[0].decode()
    assert said.splitlines()[-1] == "SUCCEEDED 3"
    assert "done\n" in said
    assert process.returncode == 0

    words = python_client("run", "Count", "count_to", '{"n": "three", "delay": 0}')
    async with running(*words, folder=tmp_path, **caller) as process:
        said = (await process.communicate())[0].decode()
    assert "INVALID at input.action.run.payload.n" in said
    assert process.returncode == 1


async def test_the_client_in_python_is_told_once_what_came_while_it_was_cut_off_and_while_it_did_not_run(
    installation: Installation, token: str, client: HttpClient, tmp_path: Path
) -> None:
    place = tmp_path / "place"
    words = python_client("notifications", "--place", str(place))
    await until_told(client, await create(client, "To begin with"))
    async with open_proxy(installation.api) as proxy:
        caller = {"CARILLON_ADDRESS": proxy.url, "CARILLON_TOKEN": token}
        async with running(*words, folder=tmp_path, **caller) as process:
            await until(lambda: proxy.open_connections, DEADLINE)
            await until_heard(client, process)
            await proxy.refuse()
            told = [await until_told(client, await create(client, title)) for title in ("One", "Two")]
            await proxy.accept()
            while (title := await next_title(process)) == HEAR:
                pass  # asked more than once
            assert (title, await next_title(process)) == ("One", "Two")
            last = told[-1]["notifications"]["nodes"][0]["cursor"]
            await until(lambda: place.read_text() == last, DEADLINE)
        await until_told(client, await create(client, "Three"))
        async with running(*words, folder=tmp_path, **caller) as process:
            assert await next_title(process) == "Three"


async def until_heard(client: HttpClient, process: Process) -> None:
    """It does not say when it has begun to listen: what it is told first says that it has."""
    async with asyncio.TaskGroup() as group:
        heard = group.create_task(next_title(process))
        while not heard.done():
            await until_told(client, await create(client, HEAR))
            await asyncio.wait([heard], timeout=0.5)


async def test_each_command_for_curl_does_what_is_said(
    installation: Installation, token: str, client: HttpClient, tmp_path: Path
) -> None:
    assert len(COMMANDS) > 10
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/carillon").write_text(f'#!/bin/sh\nexec {sys.executable} -m api.cli "$@"\n')
    (tmp_path / "bin/carillon").chmod(0o755)
    await until_told(client, await create(client, "To begin with"))
    variables = installation.environment | {"CARILLON_ADDRESS": installation.api, "CARILLON_TOKEN": token}
    async with running("bash", folder=tmp_path, **variables) as shell:
        for command, expected in COMMANDS:
            said, code = await tell(shell, command)
            assert code in {0, TIME_IS_UP}, f"{command}\n{said}"
            assert not expected or is_as(expected, said), f"{command}\n{said}\nand not:\n{expected}"


async def tell(shell: Process, command: str) -> tuple[str, int]:
    """What the command says, and its exit code."""
    assert shell.stdin
    assert shell.stdout
    shell.stdin.write(f"{command}\nprintf '\\n== %s\\n' $?\n".encode())
    said = ""
    while not (ended := re.fullmatch(r"== (\d+)\n", line := (await shell.stdout.readline()).decode())):
        assert line, said
        said += line
    return said, int(ended[1])


def is_as(expected: str, said: str) -> bool:
    """With anything where `...` is, and whatever space."""
    pieces = ("".join(piece.split()) for piece in expected.split("..."))
    return re.fullmatch(".*".join(map(re.escape, pieces)), "".join(said.split())) is not None


@pytest.mark.parametrize(
    ("said", "same"), [("a 1 b\n c", True), ("a  2 b c", True), ("a 1 c", False), ("a 1 b c d", False)]
)
def test_what_is_said_is_held_against_the_page(said: str, *, same: bool) -> None:
    assert is_as("a ... b c\n", said) is same
