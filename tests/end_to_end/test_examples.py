"""The clients in `examples` and the commands of docs/curl.md work with a whole Carillon, as written."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from tests.support.asking import create, due, until_told
from tests.support.browser import Browser, chromium, needs_chromium
from tests.support.graphql_client import HttpClient
from tests.support.installation import KINDS, Installation, open_installation
from tests.support.node_clients import run_in
from tests.support.processes import ROOT
from tests.support.serving import serving
from tests.support.tcp_proxy import TcpProxy, open_proxy
from tests.support.waiting import until

pytestmark = [pytest.mark.postgres, pytest.mark.redis, pytest.mark.rabbit]

PAGE = "examples/browser"
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
async def page() -> AsyncIterator[str]:
    """Where the folder of the page for browsers is served; it is built later, where it is used."""
    folder = StaticFiles(directory=ROOT / PAGE / "public", html=True)
    async with serving(Starlette(routes=[Mount("/", folder)])) as address:
        yield address


@pytest.fixture(scope="module")
async def installation(
    postgres_server: str, migrated: str, tmp_path_factory: pytest.TempPathFactory, page: str
) -> AsyncIterator[Installation]:
    settings = {
        "CARILLON_AUTHENTICATION": "required",
        "CARILLON_DOCUMENTS": "trusted",
        "CARILLON_ALLOWED_ORIGINS": page,
    }
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


@pytest.fixture(scope="module")
async def published(installation: Installation) -> None:
    """The page is built, and its documents are published."""
    await run_in(PAGE, "npm", "run", "build")
    await installation.command("documents", "publish", str(ROOT / PAGE / "src/gql/persisted-documents.json"))


@dataclass
class Visit:
    """Someone before the page."""

    browser: Browser
    page: str
    api: TcpProxy
    owner: HttpClient
    """Who calls with the same rights, but not from the page, and not through its proxy."""

    async def sign_in(self, token: str) -> None:
        await self.browser.open(self.page, until="document.querySelector('form')")
        await self.browser.evaluate("sessionStorage.clear()")  # of who was here before
        await self.browser.open(self.page, until="document.querySelector('.sign-in')")
        await self.browser.fill("Where Carillon is", self.api.url)
        await self.browser.fill("Access token", token)
        await self.browser.press("Connect")

    async def until_task(self, title: str, state: str) -> None:
        is_it = (
            f"row => row.innerText.includes({title!r}) && row.querySelector('.state')?.innerText === {state!r}"
        )
        await self.browser.until(f"Array.from(document.querySelectorAll('.tasks li')).some({is_it})")


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
async def editor(installation: Installation) -> str:
    """The token of an end user."""
    return await installation.token("--role", "editor", "--owner", "alice")


@pytest.fixture
async def visit(
    *, installation: Installation, published: None, page: str, browser: Browser, editor: str, client: HttpClient
) -> AsyncIterator[Visit]:
    browser.events.clear()
    async with open_proxy(installation.api) as proxy:
        visit = Visit(browser, page, proxy, client)
        await visit.sign_in(editor)
        await browser.until_shown("Live", "alice, editor")
        yield visit


@needs_chromium
@pytest.mark.node(PAGE)
async def test_the_page_makes_cancels_and_runs_tasks_and_tells_what_becomes_of_them(visit: Visit) -> None:
    browser = visit.browser
    await browser.fill("Title", "Water the plants")
    await browser.fill("Due", "2099-01-31T09:30")
    await browser.fill("What it says", "The ferns too")
    await browser.press("Create")
    await visit.until_task("Water the plants", "scheduled")
    await browser.press("Cancel: Water the plants")
    await visit.until_task("Water the plants", "cancelled")
    await browser.press("Run again: Water the plants")
    await visit.until_task("Water the plants", "succeeded")
    await browser.until_shown("Notifications", "Due", "Water the plants", "The ferns too", "Happening now")

    await create(visit.owner, "Of another client", owner="alice", scheduledAt=due(3600))
    await visit.until_task("Of another client", "scheduled")
    await browser.press("Run now: Of another client")
    await visit.until_task("Of another client", "succeeded")
    assert browser.errors == []
    assert browser.asked == {urlsplit(visit.page).netloc, urlsplit(visit.api.url).netloc}
    assert not texts_sent(browser), "documents are named, and never sent"


def texts_sent(browser: Browser) -> list[str]:
    posted = [params["request"].get("postData", "") for params in browser.of("Network.requestWillBeSent")]
    said = [params["response"]["payloadData"] for params in browser.of("Network.webSocketFrameSent")]
    assert any("sha256Hash" in text for text in posted)
    assert any("sha256Hash" in text for text in said)
    return [text for text in posted + said if re.search(r'"query":"[^"]', text)]


@needs_chromium
@pytest.mark.node(PAGE)
async def test_the_page_shows_what_was_refused_where_it_can_be_put_right(
    visit: Visit, installation: Installation
) -> None:
    browser = visit.browser
    await browser.press("Create")
    await browser.until("document.querySelector('[aria-invalid]')")
    described = "document.querySelector('[aria-invalid]').getAttribute('aria-describedby')"
    assert "(INVALID)" in await browser.evaluate(f"document.getElementById({described}).innerText")
    await browser.fill("What it does", "count_to")
    await browser.fill("Title", "Count")
    await browser.fill("Payload", '{"n": "three", "delay": 0}')
    await browser.press("Create")
    await browser.until_shown("Payload", "valid integer", "(INVALID)", "Create")
    await browser.fill("Payload", '{"n": ')
    await browser.press("Create")
    await browser.until_shown("This is not JSON")
    await browser.fill("Payload", '{"n": 3, "delay": 0}')
    await browser.press("Create")
    await visit.until_task("Count", "succeeded")

    await visit.sign_in(await installation.token("--role", "viewer", "--owner", "alice"))
    await visit.until_task("Count", "succeeded")
    await browser.press("Run again: Count")
    await browser.until_shown("(FORBIDDEN)")
    await browser.press("Sign out")
    await browser.until("document.querySelector('.sign-in')")
    await visit.sign_in("crl_nonsense")
    await browser.until_shown("This token is not valid")


@needs_chromium
@pytest.mark.node(PAGE)
async def test_the_page_goes_on_where_it_was_cut_off(visit: Visit) -> None:
    browser = visit.browser
    await until_told(visit.owner, await create(visit.owner, "Before", owner="alice"))
    await browser.until_shown("Notifications", "Before", "Happening now")
    await visit.api.refuse()
    await browser.until_shown("Connecting …")
    titles = [f"Meanwhile {number}" for number in range(1, 4)]
    for title in titles:
        await until_told(visit.owner, await create(visit.owner, title, owner="alice"))
    await visit.api.accept()
    await browser.until_shown("Live", "Notifications", *reversed(titles), "Before")
    for title in titles:
        await visit.until_task(title, "succeeded")
    told = await browser.evaluate("document.querySelector('[role=log]').innerText")
    assert [told.count(title) for title in (*titles, "Before")] == [1, 1, 1, 1]


@needs_chromium
@pytest.mark.node(PAGE)
async def test_the_page_can_be_used_on_a_phone_and_by_those_who_cannot_see_it(
    visit: Visit, tmp_path: Path
) -> None:
    browser = visit.browser
    audit = (ROOT / PAGE / "node_modules/axe-core/axe.min.js").read_text()
    failing = {"run": {"handler": "fail", "payload": {"message": "The pipe has burst", "times": 9}}}
    await create(visit.owner, "Call the plumber", owner="alice", action=failing, retry={"maxAttempts": 1})
    await visit.until_task("Call the plumber", "failed")
    await create(visit.owner, "Donaudampfschifffahrtsgesellschaft" * 5, owner="alice", scheduledAt=due(3600))
    await browser.until_shown("Donaudampfschifffahrtsgesellschaft" * 5)
    await browser.press("Create")
    await browser.until("document.querySelector('[aria-invalid]')")
    for width, scheme in ((1280, "light"), (1280, "dark"), (375, "light"), (320, "dark")):
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        await browser.call("Emulation.setDeviceMetricsOverride", **size)
        theme = {"name": "prefers-color-scheme", "value": scheme}
        await browser.call("Emulation.setEmulatedMedia", features=[theme])
        wide = (
            f"Array.from(document.querySelectorAll('*')).filter(e => e.getBoundingClientRect().right > {width})"
        )
        assert await browser.evaluate(f"{wide}.map(e => e.outerHTML)") == []
        found = await browser.evaluate(
            f"{audit}; axe.run().then(({{violations}}) => JSON.stringify(violations))"
        )
        assert json.loads(found) == []
        (tmp_path / f"{width}-{scheme}.png").write_bytes(await browser.picture())
