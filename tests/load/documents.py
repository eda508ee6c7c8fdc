"""What a frontend's ten documents cost, by their ids, by Apollo's hashes and as text, cold and warm.

Run with `python -m tests.load.documents`; `--short` leaves out the rows of single documents. Method: one API
on the real servers in the mode `apq`, on a database of its own for each way of sending. It holds tasks with
three attempts each, as many notifications, and 20 schedules; nothing runs. All clients send one document
after the other, each request of a mutation about another task. GET has the five queries alone.

cold: the first time each client sends each document to a process that was just started, with the keys of
its namespace removed from Redis, after one other request; several such starts are taken together. What is
registered as APQ then is sent twice, which counts as one. warm: afterwards, from the third time on.

CPU is that of the API process. The clients share one other process, and the machine. Prints a table.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.load.cpu import process_seconds
from tests.load.figures import parts
from tests.load.frontend import DOCUMENTS, QUERIES, Subject, check, variables_of
from tests.load.sending import METHODS, WAYS, Sender
from tests.load.setting import installed
from tests.load.stock import published, stocked
from tests.support.graphql_client import http_client
from tests.support.installation import Installation
from tests.support.services import REDIS, remove_keys

CLIENTS = (1, 8, 32)
WARMING = 2
"""Times each client sends each document before it counts as warm: plans are made at the second."""


@dataclass(slots=True)
class Measured:
    """Of one document, or of several."""

    took: list[float] = field(default_factory=list)
    """Milliseconds of each request."""
    seconds: float = 0
    cpu: float = 0

    def add(self, other: Measured) -> None:
        self.took += other.took
        self.seconds += other.seconds
        self.cpu += other.cpu

    def row(self) -> str:
        count, times = len(self.took), parts(self.took)
        shown = "".join(f"{times[name]:>8.1f}" for name in ("p50", "p95", "p99"))
        return f"{count / self.seconds:>8.0f}{shown}{self.cpu / count * 1000:>8.2f}"


Figures = dict[str, Measured]


@dataclass(frozen=True, slots=True)
class Run:
    installation: Installation
    method: str
    way: str
    subjects: Iterator[Subject]

    async def measured(self, clients: int, requests: int) -> Figures:
        """So many requests of each document, by all clients together."""
        taken = [next(self.subjects) for _ in range(requests)]
        [api] = self.installation.of("api")
        figures: Figures = {}
        async with http_client(api.address) as client:
            sender = Sender(client.http, self.method, self.way)
            for name in QUERIES if self.method == "GET" else DOCUMENTS:
                figures[name] = measured = Measured()
                cpu, began = process_seconds(api.pid), time.perf_counter()
                shares = (taken[number::clients] for number in range(clients))
                await asyncio.gather(*(_follow(sender, name, share, measured.took) for share in shares))
                measured.seconds = time.perf_counter() - began
                measured.cpu = process_seconds(api.pid) - cpu
        return figures


async def main() -> None:
    options = _options()
    print(f"{'':<5}{'':<11}{'clients':>7} {'':<5}{'document':<14}{'per s':>7}", end="")
    print(f"{'p50 ms':>8}{'p95':>8}{'p99':>8}{'CPU ms':>8}")
    for method in METHODS:
        for way in WAYS:
            async with installed("api", CARILLON_DOCUMENTS="apq") as installation:
                await _of_way(installation, method, way, options)


async def _of_way(installation: Installation, method: str, way: str, options: argparse.Namespace) -> None:
    rounds = sum((options.starts + WARMING) * each + max(options.requests, each) for each in CLIENTS)
    run = Run(installation, method, way, iter(await stocked(installation, rounds)))
    if way == "documentId":
        await published(installation)
    for clients in CLIENTS:
        cold: Figures = {}
        for _ in range(options.starts):
            await _start_anew(installation)
            _add(cold, await run.measured(clients, clients))
        _show(f"{method:<5}{way:<11}{clients:>7} cold ", cold, short=options.short)
        await run.measured(clients, clients * WARMING)
        warm = await run.measured(clients, max(options.requests, clients))
        _show(f"{method:<5}{way:<11}{clients:>7} warm ", warm, short=options.short)


async def _start_anew(installation: Installation) -> None:
    for member in installation.of("api"):
        await member.process.stop()
    await remove_keys(REDIS.url, installation.namespace)
    await installation.start("api")
    async with http_client(installation.api) as client:
        await client.execute("{ queues { name } }")


async def _follow(sender: Sender, name: str, subjects: list[Subject], took: list[float]) -> None:
    for subject in subjects:
        variables: dict[str, Any] = variables_of(name, subject)
        began = time.perf_counter()
        data = await sender.send(name, variables)
        took.append((time.perf_counter() - began) * 1000)
        check(data)


def _add(figures: Figures, more: Figures) -> None:
    for name, measured in more.items():
        figures.setdefault(name, Measured()).add(measured)


def _show(labels: str, figures: Figures, *, short: bool) -> None:
    whole = Measured()
    for measured in figures.values():
        whole.add(measured)
    rows = {"all": whole} if short else {**figures, "all": whole}
    for name, measured in rows.items():
        print(f"{labels}{name:<14}{measured.row()}", flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="all documents together, no rows of their own")
    parser.add_argument("--requests", type=int, default=160, help="of each document, by all clients")
    parser.add_argument("--starts", type=int, default=3, help="of the process, for the cold figures")
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(main())
