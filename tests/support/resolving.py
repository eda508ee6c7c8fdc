"""What the guard makes of the names of our name server: here, or in a process whose system asks that server."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterable

import httpcore2
from typing_extensions import override

from infra.http.destination import Rules
from infra.http.guard import Blocked, Guard, Resolve, Unresolved, system_resolver
from tests.support.dns_server import ANSWERS, SILENT, open_name_server

Outcomes = dict[str, list[str]]


class Noted(httpcore2.AsyncNetworkBackend):
    """Dials nothing: it notes what would have been."""

    def __init__(self) -> None:
        self.dialled: list[str] = []

    @override
    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        self.dialled.append(host)
        return httpcore2.AsyncNetworkStream()


async def outcomes(resolve: Resolve) -> Outcomes:
    """For every name, twice: which address would be dialled, or why none."""
    return {
        name: [await _outcome(resolve, name) for _ in range(2)] for name in (*ANSWERS, SILENT, "unknown.test")
    }


async def _outcome(resolve: Resolve, name: str) -> str:
    network = Noted()
    try:
        await Guard(Rules(), resolve, network).connect_tcp(name, 443)
    except (Blocked, Unresolved) as refusal:
        assert network.dialled == []
        return type(refusal).__name__
    (dialled,) = network.dialled
    return dialled


async def _main(host: str) -> None:
    async with open_name_server(host, 53):
        print(json.dumps(await outcomes(system_resolver())))


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1]))
