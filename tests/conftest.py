"""What every test may ask for: a database, a namespace, servers, and the reason when one is not there."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import AsyncIterator, Generator
from typing import Any, NoReturn

import pytest

from infra.postgres.migrate import migrate
from tests.support import fault_table, node_clients, prometheus, promtool
from tests.support.databases import Databases
from tests.support.experiments import Experiment
from tests.support.services import (
    POSTGRES,
    RABBIT,
    REDIS,
    REQUIRED,
    Service,
    database_name,
    fresh_database,
    fresh_namespace,
    open_postgres,
)
from tests.support.storage import Storage, open_storage
from tests.support.work_units import TOGETHER, WorkUnits

SLOW = (*TOGETHER, "tests/faults", "tests/end_to_end")


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"use_uvloop": True}  # as every process of ours


@pytest.fixture(scope="session")
async def postgres_server() -> AsyncIterator[str]:
    """The URL of a PostgreSQL server on which databases may be made."""
    if REQUIRED:
        demand(POSTGRES)
    async with open_postgres() as url:
        yield url


@pytest.fixture(scope="session")
async def migrated(postgres_server: str) -> AsyncIterator[str]:
    """The name of a database with our tables, to copy."""
    async with fresh_database(postgres_server, fill=migrate) as url:
        yield database_name(url)


@pytest.fixture(scope="session")
async def databases(postgres_server: str, migrated: str) -> AsyncIterator[Databases]:
    lending = Databases(postgres_server, migrated)
    yield lending
    await lending.drop()


@pytest.fixture
async def database_url(databases: Databases, request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """A migrated database of the test's own."""
    untouched = request.node.get_closest_marker("untouched") is not None
    async with databases.lend(untouched=untouched) as url:
        yield url


@pytest.fixture
async def storage(database_url: str) -> AsyncIterator[Storage]:
    """Every repository, on a migrated database of the test's own."""
    async with open_storage(database_url) as opened:
        yield opened


@pytest.fixture
def redis_url() -> str:
    return demand(REDIS)


@pytest.fixture
def amqp_url() -> str:
    return demand(RABBIT)


@pytest.fixture
async def namespace(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """A prefix of the test's own for keys, queues and exchanges; they are removed from the servers it uses."""
    used = {
        service: service.url
        for service, fixture in ((REDIS, "redis_url"), (RABBIT, "amqp_url"))
        if fixture in request.fixturenames or request.node.get_closest_marker(service.marker)
    }
    async with fresh_namespace(redis_url=used.get(REDIS), amqp_url=used.get(RABBIT)) as name:
        yield name


@pytest.fixture
def experiment(request: pytest.FixtureRequest) -> Experiment:
    """For a test with the marker `fault`: counts for its row of the table."""
    row = fault_table.row_of(request.node)
    assert row is not None, "an experiment has the marker `fault`"
    return Experiment(row)


def demand(service: Service) -> str:
    """Its URL. Where it does not answer the test is not run, or fails if services are required."""
    if service.missing is not None:
        give_up(service.missing, required=REQUIRED)
    return service.url


def give_up(reason: str, *, required: bool) -> NoReturn:
    """Skip the test, or fail it where what is missing is required."""
    if required:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def pytest_configure() -> None:
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # or each process of ours would compile everything again


def pytest_addoption(parser: pytest.Parser) -> None:
    fault_table.add_options(parser)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    fault_table.select(config, items)
    if hasattr(config, "workerinput"):  # with others beside it: the files that take longest must not come last
        items.sort(key=lambda item: [not item.nodeid.startswith(slow) for slow in SLOW])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> WorkUnits | None:
    return WorkUnits(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    fault_table.judge(item, report)
    return report


def pytest_runtest_setup(item: pytest.Item) -> None:
    for service in (REDIS, RABBIT):
        if item.get_closest_marker(service.marker):
            demand(service)
    node = item.get_closest_marker("node")
    if node and (reason := node_clients.missing(*node.args)) is not None:
        give_up(reason, required=node_clients.REQUIRED)
    if item.get_closest_marker("promtool") and (reason := promtool.missing()) is not None:
        give_up(reason, required=promtool.REQUIRED)
    if item.get_closest_marker("prometheus") and (reason := prometheus.missing()) is not None:
        give_up(reason, required=promtool.REQUIRED)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    stats = terminalreporter.stats
    skipped = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in stats.get("skipped", ()))
    for reason, count in skipped.items():
        terminalreporter.write_line(f"{count} not run: {reason}", yellow=True)
    reports = [one for some in stats.values() for one in some if isinstance(one, pytest.TestReport)]
    if lines := fault_table.report_table(config, reports):
        terminalreporter.section("under fault")
        for line in lines:
            terminalreporter.write_line(line)
