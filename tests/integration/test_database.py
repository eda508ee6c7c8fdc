"""A piece of work on PostgreSQL that its holder has stopped doing ends, and is told as an outage."""

from __future__ import annotations

import time
from urllib.parse import urlsplit

import pytest
from prometheus_client import CollectorRegistry

from domain.errors import Unavailable
from infra.bootstrap import open_services
from infra.postgres.database import DatabaseMetrics, open_database
from infra.settings import Settings
from tests.support.processes import free_port
from tests.support.tcp_proxy import open_proxy

pytestmark = pytest.mark.postgres

LOCK = "select pg_advisory_xact_lock(1)"


def metrics() -> DatabaseMetrics:
    return DatabaseMetrics(CollectorRegistry())


async def test_a_transaction_whose_holder_was_stopped_for_too_long_is_an_outage(database_url: str) -> None:
    async with open_database(database_url, size=1, limit=5, metrics=metrics()) as database:
        with pytest.raises(Unavailable):
            async with database.transaction("test") as connection:
                await connection.execute("set local idle_in_transaction_session_timeout = '20ms'")
                time.sleep(0.3)  # noqa: ASYNC251  as when the machine was asleep
                await connection.execute("select")


async def test_connections_in_use_are_told_beside_how_many_there_may_be(database_url: str) -> None:
    registry = CollectorRegistry()

    def told(figure: str, pool: str) -> float | None:
        return registry.get_sample_value(f"carillon_sql_connections_{figure}", {"pool": pool})

    figures = DatabaseMetrics(registry)
    async with open_database(database_url, size=3, limit=5, metrics=figures, name="engine") as database:
        assert (told("in_use", "engine"), told("allowed", "engine")) == (0, 3)
        async with database.work("test"), database.work("test"), database.work("test", "acme"):
            assert (told("in_use", "engine"), told("in_use", "engine_tenants")) == (2, 1)
        assert told("in_use", "engine") == told("in_use", "engine_tenants") == 0


async def test_what_a_cut_off_process_has_locked_is_free_once_its_work_should_have_ended(
    database_url: str,
) -> None:
    async with (
        open_proxy(database_url) as proxy,
        open_database(proxy.url, size=1, limit=0.5, metrics=metrics()) as cut_off,
        open_database(database_url, size=1, limit=5, metrics=metrics()) as database,
    ):
        with pytest.raises(Unavailable):
            async with cut_off.transaction("test") as connection:
                await connection.execute(LOCK)
                proxy.hang()
                await connection.execute("select")
        async with database.transaction("test") as connection:
            await connection.execute(LOCK)


async def test_which_connections_met_an_outage_and_its_end_is_logged(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with (
        open_proxy(database_url) as proxy,
        open_database(proxy.url, size=1, limit=5, metrics=metrics(), name="main") as one,
        open_database(proxy.url, size=1, limit=5, metrics=metrics(), name="engine") as other,
    ):
        await proxy.refuse()
        for each in (one, other):
            with pytest.raises(Unavailable):
                async with each.work("test"):
                    pass
        await proxy.accept()
        for each in (one, other):
            async with each.work("test") as connection:
                await connection.execute("select")
    told = [vars(record) for record in caplog.records if record.name == "infra.postgres.database"]
    assert [(each["levelname"], each["pool"]) for each in told] == [
        ("ERROR", "main"),
        ("ERROR", "engine"),
        ("INFO", "main"),
        ("INFO", "engine"),
    ]


async def test_of_several_hosts_the_one_that_takes_writes_is_used(database_url: str) -> None:
    async with open_proxy(database_url) as proxy:
        place = urlsplit(proxy.url)
        user, at, host = place.netloc.rpartition("@")
        hosts = f"{user}{at}127.0.0.1:{free_port()},{host}"
        url = place._replace(netloc=hosts, query="target_session_attrs=read-write").geturl()
        settings = Settings.model_validate({"database_url": url})
        async with open_services(settings) as services:
            await services.health["postgres"]()
