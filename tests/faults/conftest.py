"""A database, and an engine on it, for the histories of the machine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.support.engine import Engine, open_engine
from tests.support.services import fresh_database


@pytest.fixture(scope="package")
async def machine_database(postgres_server: str, migrated: str) -> AsyncIterator[str]:
    async with fresh_database(postgres_server, migrated) as url:
        yield url


@pytest.fixture
def engine(machine_database: str) -> Iterator[Engine]:
    """For tests that are not asynchronous."""
    with open_engine(machine_database) as opened:
        yield opened
