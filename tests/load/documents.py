"""What a frontend's documents cost by their ids, by Apollo's hashes, and as text.

Run with `python -m tests.load.documents`. Method: one API on the real servers in the mode `apq`, on a
database of its own, started anew for each way of naming. Each client sends the ten documents in turn by
POST: it makes a task, reads, changes and ends it, and reads lists; nothing runs, so that there are no
notifications. `cold` is the first turn of one client after the start, of ten requests, so that its CPU (in
ticks of 10 ms) is coarse. CPU is that of the API alone. The clients share one other process and the
machine. Prints a table.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from typing import Any

from prometheus_client import CollectorRegistry

from domain.documents.model import Publication, hash_of
from infra.postgres.database import DatabaseMetrics, open_database
from infra.postgres.documents import PostgresDocuments
from tests.load.cpu import cpu_seconds
from tests.load.figures import spread
from tests.load.frontend import DOCUMENTS, turn
from tests.load.setting import installed
from tests.support.graphql_client import HttpClient, data_of, http_client
from tests.support.installation import Installation

WAYS = ("documentId", "apq", "text")


class Sender:
    """Sends documents in one way, and notes how long each took, in milliseconds."""

    def __init__(self, client: HttpClient, way: str) -> None:
        self._client = client
        self._way = way
        self.took: list[float] = []

    async def send(self, name: str, variables: dict[str, Any]) -> dict[str, Any]:
        began = time.perf_counter()
        body = await self._post(_named(self._way, DOCUMENTS[name]) | {"variables": variables})
        if (body.get("errors") or [{}])[0].get("message") == "PersistedQueryNotFound":
            again = _named(self._way, DOCUMENTS[name]) | {"query": DOCUMENTS[name], "variables": variables}
            body = await self._post(again)
        self.took.append((time.perf_counter() - began) * 1000)
        return data_of(body)

    async def _post(self, body: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = (await self._client.http.post("/graphql", json=body)).json()
        return answer


async def main() -> None:
    options = _options()
    print(f"{'way':<11}{'clients':>8}{'requests/s':>12}{'CPU ms':>8}  ms")
    for way in WAYS:
        async with installed("api", CARILLON_DOCUMENTS="apq") as installation:
            if way == "documentId":
                await _publish(installation)
            await _measured(installation, way, 1, 1, "cold")
            for clients in (1, 8, 32):
                await _measured(installation, way, clients, max(options.turns // clients, 1), str(clients))


async def _measured(installation: Installation, way: str, clients: int, turns: int, label: str) -> None:
    async with http_client(installation.api) as client:
        sender = Sender(client, way)
        before, began = await cpu_seconds(installation), time.monotonic()

        async def follow() -> None:
            for _ in range(turns):
                await turn(sender.send)

        await asyncio.gather(*(follow() for _ in range(clients)))
        seconds, after = time.monotonic() - began, await cpu_seconds(installation)
    count = len(sender.took)
    cpu = (after["api"] - before["api"]) / count * 1000
    print(f"{way:<11}{label:>8}{count / seconds:>12.0f}{cpu:>8.2f}  {spread(sender.took)}", flush=True)


def _named(way: str, text: str) -> dict[str, Any]:
    match way:
        case "documentId":
            return {"documentId": f"sha256:{hash_of(text)}"}
        case "apq":
            return {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": hash_of(text)}}}
        case _:
            return {"query": text}


async def _publish(installation: Installation) -> None:
    """For those that are named by their ids alone: published, the hashes of Apollo would find them too."""
    url = installation.environment["CARILLON_DATABASE_URL"]
    async with open_database(url, size=1, limit=5, metrics=DatabaseMetrics(CollectorRegistry())) as database:
        texts = DOCUMENTS.values()
        made = [Publication(hash=hash_of(text), text=text, name=None, kind="query") for text in texts]
        await PostgresDocuments(database).publish(made)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=192, help="of ten requests each, by all clients")
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(main())
