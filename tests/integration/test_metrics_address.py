"""Where a process other than the API serves its figures, and what it says when it cannot."""

from __future__ import annotations

import socket
from contextlib import closing
from pathlib import Path
from urllib.request import urlopen

import pytest
from prometheus_client import CollectorRegistry

from infra.bootstrap import CannotStart
from infra.settings import Settings
from jobs.metrics_page import metrics_page
from tests.support.processes import free_port, process

NOWHERE = {
    "CARILLON_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing",
    "CARILLON_REDIS_URL": "redis://127.0.0.1:1",
    "CARILLON_AMQP_URL": "amqp://nobody:nothing@127.0.0.1:1/",
}


def test_only_this_machine_reads_figures_unless_it_is_said_otherwise() -> None:
    port = free_port()
    with metrics_page(CollectorRegistry(), Settings(metrics_port=port)):
        assert "process_cpu_seconds_total" in read(port)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", port), timeout=5)
    with metrics_page(CollectorRegistry(), Settings(metrics_host="0.0.0.0", metrics_port=port)):
        socket.create_connection(("127.0.0.2", port), timeout=5).close()


def test_without_a_port_nothing_is_served() -> None:
    with metrics_page(CollectorRegistry(), Settings()):
        pass


@pytest.mark.parametrize("host", ["no-such-host.invalid", "203.0.113.1"])
def test_a_host_that_is_not_here_is_told_plainly(host: str) -> None:
    settings = Settings(metrics_host=host, metrics_port=free_port())
    with (
        pytest.raises(CannotStart, match=f"^Cannot listen on {host}, port .*CARILLON_METRICS_HOST"),
        metrics_page(CollectorRegistry(), settings),
    ):
        pass


async def test_a_taken_port_is_told_in_one_line(tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        settings = NOWHERE | {"CARILLON_METRICS_PORT": str(port), "CARILLON_LOG_FORMAT": "console"}
        async with process("relay", log=tmp_path / "log", environment=settings) as relay:
            assert await relay.ended() == 1
    said = relay.said()
    assert "Traceback" not in said
    (line,) = (line for line in said.splitlines() if f"port {port}" in line)
    assert f"Cannot listen on 127.0.0.1, port {port}: it is in use." in line
    assert "CARILLON_METRICS_PORT" in line


def read(port: int) -> str:
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        text: str = answer.read().decode()
    return text
