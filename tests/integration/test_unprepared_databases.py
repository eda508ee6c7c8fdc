"""A database that is not migrated, or not there, is told plainly and can be put right."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from domain.errors import Unavailable
from infra.bootstrap import CannotStart, migrate_database
from infra.postgres.database import DatabaseMetrics, open_database
from infra.postgres.figures import PostgresFigures
from infra.settings import Settings
from tests.support.services import fresh_database

pytestmark = pytest.mark.postgres


async def test_without_its_tables_a_database_is_not_ready_and_says_what_to_do(
    postgres_server: str, caplog: pytest.LogCaptureFixture
) -> None:
    metrics = DatabaseMetrics(CollectorRegistry())
    async with (
        fresh_database(postgres_server) as url,
        open_database(url, size=1, limit=5, metrics=metrics) as database,
    ):
        with pytest.raises(Unavailable):
            await PostgresFigures(database).ping()
        assert "carillon migrate" in caplog.text
        await migrate_database(Settings.model_validate({"database_url": url}))
        await PostgresFigures(database).ping()


async def test_a_database_that_is_not_there_cannot_be_migrated_and_is_named(postgres_server: str) -> None:
    async with fresh_database(postgres_server) as url:
        gone = url
    with pytest.raises(CannotStart, match=gone.rpartition("/")[2].partition("?")[0]):
        await migrate_database(Settings.model_validate({"database_url": gone}))
