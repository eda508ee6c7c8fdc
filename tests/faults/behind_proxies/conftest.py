"""One installation behind proxies, for all tests that take a server away from it and give it back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx2
import pytest

from tests.support.graphql_client import HttpClient, Json, http_client
from tests.support.installation import SHORT_LEASES, Installation, Proxies, open_behind_proxies
from tests.support.waiting import until

MEMBERS = ("api", "api", "worker", "worker", "scheduler", "relay", "notifier")
RETURN_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Behind:
    """The installation, and what stands between it and its servers."""

    installation: Installation
    proxies: Proxies
    clients: tuple[HttpClient, HttpClient]
    """Of its two APIs."""

    async def readiness(self, api: int = 0) -> tuple[int, Json]:
        """The status of the answer, and the answer."""
        answer = await self.clients[api].http.get("/health/readiness")
        return answer.status_code, answer.json()

    async def until_ready(self) -> None:
        """Every API says that it reaches every server, and every process trusts Redis."""
        for api in range(len(self.clients)):

            async def is_ready() -> bool:
                return bool((await self.readiness(api))[1]["status"] == "ready")  # noqa: B023  awaited here

            await until(is_ready, RETURN_SECONDS)
        await until(self._redis_is_used, RETURN_SECONDS)

    def _redis_is_used(self) -> bool:
        said = self.installation.said()
        return said.count("Redis is stepped around") == said.count("Redis is used again")


@pytest.fixture(scope="package")
async def installed(
    postgres_server: str, migrated: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Behind]:
    folder = tmp_path_factory.mktemp("behind-proxies")
    async with open_behind_proxies(postgres_server, migrated, folder, *MEMBERS, **SHORT_LEASES) as opened:
        installation, proxies = opened
        first, second = (member.address for member in installation.of("api"))
        async with http_client(first) as one, http_client(second) as other:
            yield Behind(installation, proxies, (one, other))


@pytest.fixture
async def behind(installed: Behind) -> AsyncIterator[Behind]:
    """Whole and quiet; afterwards too, by itself, with all of its processes alive."""
    await installed.until_ready()
    yield installed
    await installed.proxies.accept()
    await installed.until_ready()
    await installed.installation.quiet()
    running = [member.kind for member in installed.installation.members if member.runs]
    assert sorted(running) == sorted(MEMBERS)
    assert (await installed.clients[0].http.get("/health/liveness")).status_code == httpx2.codes.OK
