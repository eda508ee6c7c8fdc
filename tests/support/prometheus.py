"""Prometheus and its exporters, on ports of their own, as deploy/prometheus has them."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import yaml

from tests.support.processes import end, free_port
from tests.support.promtool import FOLDER, RULES
from tests.support.waiting import until

PROGRAMS = (
    "prometheus",
    "prometheus-node-exporter",
    "prometheus-postgres-exporter",
    "prometheus-redis-exporter",
)
"""On Debian and Ubuntu packages have the same names."""
RABBIT_FIGURES = Path(__file__).parent / "rabbitmq_figures.txt"
"""What the plugin of RabbitMQ 3.10 told, in so far as a panel may ask for it."""
RABBIT_PORT = 15692
EVERY = "2s"
START_SECONDS = 20.0
STOP_SECONDS = 10.0

Targets = Mapping[str, str]
"""Where what each job scrapes is, without a scheme."""


def missing() -> str | None:
    """Why it cannot be run, and what to do; None when it can."""
    absent = [program for program in PROGRAMS if shutil.which(program) is None]
    if absent:
        return f"not all of Prometheus is here (on Debian and Ubuntu: apt-get install {' '.join(absent)})"
    return None


class Prometheus:
    def __init__(self, http: httpx2.AsyncClient) -> None:
        self._http = http

    async def ready(self) -> bool:
        try:
            return (await self._http.get("/-/ready")).status_code == httpx2.codes.OK
        except httpx2.TransportError:
            return False

    async def values(self, expression: str) -> list[float]:
        """Of every series that the expression gives now."""
        answer = (await self._http.get("/api/v1/query", params={"query": expression})).json()
        assert answer["status"] == "success", answer
        return [float(one["value"][1]) for one in answer["data"]["result"]]

    async def names(self) -> list[str]:
        """Of every figure it was ever told."""
        answer = (await self._http.get("/api/v1/label/__name__/values")).json()
        names: list[str] = answer["data"]
        return names


@asynccontextmanager
async def open_prometheus(folder: Path, targets: Targets) -> AsyncIterator[Prometheus]:
    """It scrapes every job of our configuration at the place given for it, and evaluates our rules."""
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(_configuration(targets)))
    port = free_port()
    words = (
        "prometheus",
        f"--config.file={file}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    )
    async with (
        _running(folder, *words),
        httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10, trust_env=False) as http,
    ):
        prometheus = Prometheus(http)
        await until(prometheus.ready, START_SECONDS)
        yield prometheus


def _configuration(targets: Targets) -> dict[str, Any]:
    whole = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    jobs = [job["job_name"] for job in whole["scrape_configs"]]
    assert sorted(jobs) == sorted(targets)
    return {
        "global": {"scrape_interval": EVERY, "scrape_timeout": EVERY, "evaluation_interval": "1s"},
        "rule_files": [str(file) for file in RULES],
        "scrape_configs": [{"job_name": job, "static_configs": [{"targets": [targets[job]]}]} for job in jobs],
    }


@asynccontextmanager
async def open_exporters(
    folder: Path, *, postgres: str, redis: str, rabbit_host: str
) -> AsyncIterator[Targets]:
    """Of these servers, and of this machine. RabbitMQ's own, or its record where the plugin does not answer."""
    places = {job: f"127.0.0.1:{free_port()}" for job in ("node", "postgres", "redis")}
    listening = {job: f"--web.listen-address={place}" for job, place in places.items()}
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(_running(folder, "prometheus-node-exporter", listening["node"]))
        await stack.enter_async_context(
            _running(
                folder,
                "prometheus-postgres-exporter",
                listening["postgres"],
                DATA_SOURCE_NAME=f"{postgres}?sslmode=disable",
            )
        )
        await stack.enter_async_context(
            _running(folder, "prometheus-redis-exporter", listening["redis"], f"--redis.addr={redis}")
        )
        rabbit = f"{rabbit_host}:{RABBIT_PORT}"
        if not await _answers(rabbit):
            rabbit = await stack.enter_async_context(_record_served())
        yield {**places, "rabbitmq": rabbit}


async def _answers(place: str) -> bool:
    try:
        async with httpx2.AsyncClient(timeout=2, trust_env=False) as http:
            return (await http.get(f"http://{place}/metrics")).status_code == httpx2.codes.OK
    except httpx2.TransportError:
        return False


@asynccontextmanager
async def _record_served() -> AsyncIterator[str]:
    body = RABBIT_FIGURES.read_bytes()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n\r\n"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


@asynccontextmanager
async def _running(folder: Path, *words: str, **environment: str) -> AsyncIterator[None]:
    with (folder / f"{words[0]}.log").open("ab") as log:
        running = await asyncio.create_subprocess_exec(
            *words, cwd=folder, env=dict(os.environ) | environment, stdout=log, stderr=log
        )
    try:
        yield
    finally:
        await end(running, STOP_SECONDS)
