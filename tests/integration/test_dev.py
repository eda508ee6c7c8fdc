"""`carillon dev`: the whole of Carillon by one command, and gone again by Ctrl-C."""

from __future__ import annotations

import json
import shlex
import signal
from pathlib import Path

import httpx2

from tests.support.processes import embedded, free_port, process
from tests.support.waiting import until


async def test_it_prints_a_task_that_works_as_it_stands_and_stops_by_ctrl_c(tmp_path: Path) -> None:
    async with embedded(tmp_path / "home", tmp_path / "log") as (address, dev):
        assert f"{address}/graphql" in dev.said()
        assert str(tmp_path / "home") in dev.said()
        command = next(line for line in dev.said().splitlines() if line.strip().startswith("curl"))
        _, url, *_, body = shlex.split(command)
        async with httpx2.AsyncClient() as client:
            answer = await client.post(url, json=json.loads(body))
        assert answer.json()["data"]["createTask"]["errors"] == []
        dev.running.send_signal(signal.SIGINT)
        assert await dev.ended() == 0
        assert dev.said().count("dev is stopping") == 1
        assert "Traceback" not in dev.said()


async def test_a_second_one_on_the_same_home_says_so_and_leaves_the_first_alone(tmp_path: Path) -> None:
    home = tmp_path / "home"
    async with embedded(home, tmp_path / "log") as (address, _):
        settings = {"CARILLON_HOME": str(home)}
        second = process("dev", "--port", str(free_port()), log=tmp_path / "second.log", environment=settings)
        async with second as other:
            assert await other.ended() == 1
        assert other.said().startswith("Carillon is already running on this home: ")
        assert other.said().count("\n") == 1
        async with httpx2.AsyncClient() as client:
            assert (await client.get(f"{address}/health/readiness")).json()["status"] == "ready"


async def test_a_stop_while_it_starts_is_clean_too(tmp_path: Path) -> None:
    home = tmp_path / "home"
    async with embedded(home, tmp_path / "log") as (_, dev):
        pass
    assert dev.running.returncode == 0
    server_file = home / "postgres" / "postmaster.pid"
    assert not server_file.exists()
    settings, log = {"CARILLON_HOME": str(home)}, tmp_path / "second.log"
    async with process("dev", "--port", str(free_port()), log=log, environment=settings) as dev:
        await until(server_file.exists, seconds=30)
        assert await dev.stop() == 0
        assert "Traceback" not in dev.said()
    assert not server_file.exists()
