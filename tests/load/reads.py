"""How fast tasks are read over HTTP: `python -m tests.load.reads`.

Method: an API on the real servers with everything on that an installation has (authentication by a token,
row-level security, limits, budgets, metrics), on a database of its own with 2,000 tasks. 32 connections
each send the same request as soon as the last is answered: a page of 20 with 8 fields, cursors and
`pageInfo`, and one task with the 8 fields, each by the `documentId` of a published document as POST; then
both again as GET with the `If-None-Match` of the answer they had, which is still good. Each for some
seconds after a second of warming up, in turns; of the rounds the one that took the API the least CPU. The
client's own CPU is not counted, but it shares the machine. Prints one line for each.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from urllib.parse import urlencode

import uvloop
from prometheus_client import CollectorRegistry
from typing_extensions import override

from domain.documents.model import Publication, hash_of
from domain.tenancy.model import Role
from domain.tenancy.service import TokenService
from infra.postgres.access_tokens import PostgresAccessTokens
from infra.postgres.database import Database, DatabaseMetrics, open_database
from infra.postgres.documents import PostgresDocuments
from infra.system import SystemClock, TimeOrderedIds, random_bytes
from tests.load.asking import HEAD_END, answer, ask, http_request
from tests.load.cpu import cpu_seconds
from tests.load.making import make
from tests.load.setting import installed
from tests.support.graphql_client import http_client
from tests.support.installation import Installation

TENANT, TASKS, CONNECTIONS = "acme", 2_000, 32
FIELDS = "id title state scheduledAt queue priority attempt version"
LIST = f"""query($first: Int) {{ tasks(first: $first) {{
  edges {{ cursor node {{ {FIELDS} }} }} pageInfo {{ hasNextPage endCursor }} }} }}"""
ONE = f"query($id: ID) {{ task(id: $id) {{ {FIELDS} }} }}"


class Load(NamedTuple):
    name: str
    request: bytes
    status: int = 200


class Figures(NamedTuple):
    rate: float
    """Requests in a second."""
    cpu: Mapping[str, float]
    """Microseconds for each request, by what used them."""

    @override
    def __str__(self) -> str:
        parts = " ".join(f"{name} {used:.0f}" for name, used in self.cpu.items() if used >= 1)
        return f"{self.rate:.0f}/s, CPU us {sum(self.cpu.values()):.0f} ({parts})"


async def main() -> None:
    options = _options()
    async with installed("api", CARILLON_AUTHENTICATION="required", CARILLON_TENANT=TENANT) as installation:
        loads = await prepared(installation)
        best: dict[str, Figures] = {}
        for _ in range(options.rounds):
            for load in loads:
                figures = await measured(installation, load, options.seconds)
                if load.name not in best or figures.cpu["api"] < best[load.name].cpu["api"]:
                    best[load.name] = figures
        for name, figures in best.items():
            print(f"{name}: {figures}", flush=True)


async def prepared(installation: Installation) -> list[Load]:
    """With tasks, documents and a token in place."""
    api = installation.api
    async with _database(installation) as database:
        tokens = TokenService(PostgresAccessTokens(database), SystemClock(), TimeOrderedIds(), random_bytes)
        issued = await tokens.create(tenant=TENANT, name="load", role=Role.ADMIN, owner=None, lifetime=None)
        made = [Publication(hash=hash_of(text), text=text, name=None, kind="query") for text in (LIST, ONE)]
        await PostgresDocuments(database).publish(made)
    headers = {"Authorization": f"Bearer {issued.text}", "Accept": "application/json"}
    async with http_client(api) as client:
        client.http.headers.update(headers)
        due = datetime.now(UTC) + timedelta(days=1)
        await make(client, "notify", [due + timedelta(seconds=number) for number in range(TASKS)])
        page = await client.execute("{ tasks(first: 7) { nodes { id } } }")
    await installation.database.execute("vacuum (analyze) tasks")
    loads = []
    asked = (("list of 20", LIST, {"first": 20}), ("one by id", ONE, {"id": page["tasks"]["nodes"][6]["id"]}))
    for name, text, variables in asked:
        id = f"sha256:{hash_of(text)}"
        body = json.dumps({"documentId": id, "variables": variables}).encode()
        loads.append(Load(name, http_request(api, "/graphql", headers, body)))
        query = urlencode({"documentId": id, "variables": json.dumps(variables)})
        asking = headers | {"GraphQL-Require-Preflight": "1"}
        first = await answer(api, http_request(api, f"/graphql?{query}", asking))
        asking |= {"If-None-Match": _header(first, b"etag")}
        loads.append(Load(f"{name}, unchanged", http_request(api, f"/graphql?{query}", asking), 304))
    return loads


async def measured(installation: Installation, load: Load, seconds: float) -> Figures:
    await ask(installation.api, load.request, connections=CONNECTIONS, seconds=1, status=load.status)
    before, began = await cpu_seconds(installation), time.monotonic()
    count = await ask(
        installation.api, load.request, connections=CONNECTIONS, seconds=seconds, status=load.status
    )
    took, after = time.monotonic() - began, await cpu_seconds(installation)
    used = {name: (after[name] - before[name]) / count * 1_000_000 for name in ("api", "postgres", "redis")}
    return Figures(count / took, used)


@asynccontextmanager
async def _database(installation: Installation) -> AsyncIterator[Database]:
    url = installation.environment["CARILLON_DATABASE_URL"]
    async with open_database(url, size=1, limit=5, metrics=DatabaseMetrics(CollectorRegistry())) as database:
        yield database


def _header(answered: bytes, name: bytes) -> str:
    lines = answered.partition(HEAD_END)[0].split(b"\r\n")
    return next(line[len(name) + 2 :] for line in lines if line.lower().startswith(name + b": ")).decode()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4, help="of each load in each round")
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    uvloop.run(main())
