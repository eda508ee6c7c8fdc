"""Where a load is measured: an installation of its own on the real servers, gone at the end."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from infra.postgres.migrate import migrate
from tests.support.installation import Installation, open_installation
from tests.support.services import database_name, fresh_database, open_postgres

EVERYTHING = ("api", "scheduler", "worker", "relay", "notifier")
DEFAULTS = {
    "CARILLON_HANDLERS": "examples.handlers,tests.load.handlers,tests.support.ledger_handlers",
    "CARILLON_OPERATION_RATE": "1000000",  # one tenant sends all there is
    "CARILLON_OPERATION_BURST": "1000000",
    "CARILLON_DATABASE_POOL": "10",  # as an installation has it; tests are content with less
}


@asynccontextmanager
async def installed(*members: str, **settings: str) -> AsyncIterator[Installation]:
    """These members, by default one of each, on a fresh database, namespace and folder."""
    async with open_postgres() as server, fresh_database(server, fill=migrate) as template:
        with tempfile.TemporaryDirectory(prefix="carillon-load-") as folder:
            async with open_installation(
                server,
                database_name(template),
                Path(folder),
                *(members or EVERYTHING),
                **DEFAULTS | settings,
            ) as installation:
                yield installation
