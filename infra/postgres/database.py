"""Connections to PostgreSQL: bounded in number and in time, and a fault is told as Unavailable."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from functools import cache
from typing import Any, TypeAlias

import asyncpg
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from domain.errors import TenantBusy, Unavailable, Unprepared
from infra.postgres.reading import Reading
from infra.postgres.shares import ShareMetrics, Shares
from infra.postgres.tenants import ROLE_MISSING, SETTINGS, TenantConnection, act_for
from infra.telemetry.spans import note_span
from infra.telemetry.spells import Spell

# Quoted: they are generic for the type checker alone.
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

log = logging.getLogger(__name__)

# The database is not as this version needs it: not migrated yet, or too little is granted. It stays so until
# somebody puts that right, and then all goes on: whoever waits for it waits as for a server that is gone.
REFUSALS = (
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedColumnError,
    asyncpg.UndefinedFunctionError,
    asyncpg.InsufficientPrivilegeError,
)
# PostgreSQL is there, and did not do this piece of work: it took too long, or met others.
BROKEN_OFF = (
    asyncpg.QueryCanceledError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.InvalidCachedStatementError,  # it was migrated a moment ago: what is prepared is of before
)
# What a server that is gone, going, full or read-only answers with. All of it passes.
OUTAGES = (
    *REFUSALS,
    *BROKEN_OFF,
    OSError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what a connection cut between two messages may raise
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InvalidAuthorizationSpecificationError,
)


def unavailable(fault: BaseException) -> Unavailable:
    """What one of the OUTAGES is told as."""
    return Unprepared("PostgreSQL") if isinstance(fault, REFUSALS) else Unavailable("PostgreSQL")


_NOTES = {"db.system.name": "postgresql"}


class DatabaseMetrics:
    """Shared by the databases of a process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.seconds = Histogram(
            "carillon_sql_seconds",
            "Time a piece of work held a connection, by its name.",
            ["work"],
            registry=registry,
            buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2),
        )
        self.seconds_of = cache(self._begun)
        """By the name of the work: there are as many as there are places that name theirs."""
        self.failures = Counter(
            "carillon_sql_failures",
            "Work that met an outage of PostgreSQL, or took too long.",
            ["work"],
            registry=registry,
        )
        self.refusals = Counter(
            "carillon_sql_refusals",
            "Work that PostgreSQL refuses, as the database is not migrated, or too little is granted.",
            ["work"],
            registry=registry,
        )
        self._in_use = Gauge(
            "carillon_sql_connections_in_use",
            "Connections that work is done over.",
            ["pool"],
            registry=registry,
        )
        self._allowed = Gauge(
            "carillon_sql_connections_allowed",
            "Connections that there may be at most.",
            ["pool"],
            registry=registry,
        )
        self.shares = ShareMetrics(registry)

    def _begun(self, work: str) -> Histogram:
        """What went wrong is counted from 0 on: the first time, too, is then seen as an increase."""
        self.failures.labels(work)
        self.refusals.labels(work)
        return self.seconds.labels(work)

    def watch(self, name: str, pool: Pool) -> None:
        self._in_use.labels(name).set_function(lambda: pool.get_size() - pool.get_idle_size())
        self._allowed.labels(name).set(pool.get_max_size())


class Database:
    """Pools of connections. Each piece of work has a name, for its figures.

    What is done for a tenant has connections of its own, on which the rows of no other tenant are there, and
    each tenant has its share of them.
    """

    def __init__(
        self,
        everyones: Pool,
        tenants: Pool,
        limit: float,
        metrics: DatabaseMetrics,
        *,
        reading: Reading | None,
        name: str,
    ) -> None:
        self._everyones = everyones
        self._tenants = tenants
        self.shares = Shares(tenants.get_max_size(), metrics.shares)
        self.limit = limit
        """Seconds a piece of work may last."""
        self._metrics = metrics
        self._reading = reading
        self._name = name
        self._down = False
        self._breaking_off = Spell(
            log,
            begins="PostgreSQL answers, but some work on it comes to nothing",
            ended="work on PostgreSQL comes to its end again",
        )
        self._refused: dict[str, str] = {}
        """What was last said of each piece of work that is refused."""

    def work(self, name: str, tenant: str | None = None) -> AbstractAsyncContextManager[Connection]:
        """A connection for a short while. Raises Unavailable when PostgreSQL cannot do it in time.

        Without a tenant it is the engine's, and bound to none. With one, raises TenantBusy when that time was
        too short since the tenant's other work had its share of the connections.
        """
        deadline = asyncio.get_running_loop().time() + self.limit
        if tenant is None:
            return self._within(name, None, deadline)
        return self._shared(name, tenant, deadline)

    @asynccontextmanager
    async def _shared(self, name: str, tenant: str, deadline: float) -> AsyncIterator[Connection]:
        try:
            async with (
                self.shares.one(tenant, deadline) as waited,
                self._within(name, tenant, deadline, told_late=not waited) as connection,
            ):
                yield connection
        except TenantBusy as fault:
            if self._down:
                raise Unavailable("PostgreSQL") from fault
            raise

    @asynccontextmanager
    async def _within(
        self, name: str, tenant: str | None, deadline: float, *, told_late: bool = True
    ) -> AsyncIterator[Connection]:
        """Being late is told as an outage, or with TimeoutError where it waited for its tenant's other work."""
        began = time.perf_counter()
        pool = self._everyones if tenant is None else self._tenants
        try:
            async with asyncio.timeout_at(deadline):
                connection = await _acquired(pool)
                try:
                    if tenant is not None and await act_for(connection, tenant):
                        self._note_answer()
                    yield connection
                except (TimeoutError, asyncio.CancelledError):
                    # It may be half-way through a statement that will never end: nobody may get it next.
                    connection.terminate()
                    raise
                finally:
                    await pool.release(connection)
        except (*OUTAGES, TimeoutError) as fault:
            note_span(name, time.perf_counter() - began, "client", notes=_NOTES, error=type(fault).__name__)
            if isinstance(fault, TimeoutError) and not told_late:
                raise
            self._note_failure(name, tenant, fault, began)
            raise unavailable(fault) from fault
        seconds = time.perf_counter() - began
        note_span(name, seconds, "client", notes=_NOTES)
        self._note_success(name, seconds)
        self._note_answer()

    @asynccontextmanager
    async def read(self, name: str, tenant: str | None = None) -> AsyncIterator[Connection]:
        """As `work`, for what somebody waits to read: refused at once while PostgreSQL is known to be gone."""
        guarded = nullcontext() if self._reading is None else self._reading.guarded()
        with guarded:
            async with self.work(name, tenant) as connection:
                yield connection

    @asynccontextmanager
    async def transaction(self, name: str, tenant: str | None = None) -> AsyncIterator[Connection]:
        """The same, in one transaction: committed when left normally, else rolled back."""
        async with self.begun(name, "begin", tenant) as connection:
            yield connection

    @asynccontextmanager
    async def begun(self, name: str, begin: str, tenant: str | None = None) -> AsyncIterator[Connection]:
        """The same, begun by these commands, in one round trip with their `begin`."""
        async with self.work(name, tenant) as connection:
            try:
                await connection.execute(begin)
                yield connection
                await connection.execute("commit")
            except Exception:  # whatever it is, nobody may get the connection with its locks next
                await connection.execute("rollback")
                raise

    def _note_answer(self) -> None:
        if self._reading is not None:
            self._reading.answered()

    def _note_failure(self, name: str, tenant: str | None, fault: BaseException, began: float) -> None:
        kind = type(fault).__name__
        if isinstance(fault, REFUSALS):
            self._note_refusal(name, f"{kind}: {fault}")
            return
        self._metrics.failures.labels(name).inc()
        if isinstance(fault, BROKEN_OFF):
            self._note_answer()
        if isinstance(fault, BROKEN_OFF) or (isinstance(fault, TimeoutError) and self._answered_since(began)):
            self._breaking_off.goes_on(work=name, tenant=tenant, fault=kind)
        elif not self._down:
            self._down = True
            about = {"work": name, "pool": self._name}
            log.error("PostgreSQL does not answer as it should: %s: %s", kind, fault, extra=about)

    def _answered_since(self, began: float) -> bool:
        """Others were answered meanwhile: one piece of work that is late says nothing of PostgreSQL."""
        return self._reading is not None and self._reading.answered_since(began)

    def _note_refusal(self, name: str, said: str) -> None:
        """Once for each reason, however much work it stops, until all of that work is done again."""
        self._metrics.refusals.labels(name).inc()
        if said not in self._refused.values():
            log.error(
                "the database is not as this version needs it: %s; "
                "carillon migrate, as the owner of the tables, makes them and their grants",
                said,
                extra={"work": name},
            )
        self._refused[name] = said

    def _note_success(self, name: str, seconds: float) -> None:
        self._metrics.seconds_of(name).observe(seconds)
        if log.isEnabledFor(logging.DEBUG):
            log.debug("sql", extra={"work": name, "milliseconds": round(seconds * 1000, 2)})
        if self._down:
            self._down = False
            log.info("PostgreSQL answers again", extra={"pool": self._name})
        said = self._refused.pop(name, None)
        if said is not None and said not in self._refused.values():
            log.info("the database is as needed again: no more %s", said)


CLOSE_LIMIT = 2.0
"""Seconds in which the connections of a pool say goodbye, however long a statement may last."""


@asynccontextmanager
async def open_database(
    url: str,
    *,
    size: int,
    limit: float,
    metrics: DatabaseMetrics,
    settings: Mapping[str, str] | None = None,
    name: str = "main",
    reading: Reading | None = None,
) -> AsyncIterator[Database]:
    """Connects when it is first used: a process may start before its server does.

    `size` is how many there may be of those for tenants, and of the others. `settings` are asked of the server
    for them, beside those of every connection. `name` is what its pools are called in figures.
    """
    asked = connection_settings(limit) | dict(settings or {})
    async with (
        _open_pool(url, size, limit, asked, asyncpg.Connection) as everyones,
        _open_pool(url, size, limit, asked | SETTINGS, TenantConnection) as tenants,
    ):
        metrics.watch(name, everyones)
        metrics.watch(f"{name}_tenants", tenants)
        yield Database(everyones, tenants, limit, metrics, reading=reading, name=name)


@asynccontextmanager
async def _open_pool(
    url: str, size: int, limit: float, settings: dict[str, str], kind: type[asyncpg.Connection[asyncpg.Record]]
) -> AsyncIterator[Pool]:
    pool = await asyncpg.create_pool(
        url,
        min_size=0,
        max_size=size,
        timeout=limit,
        reset=_leave_as_it_is,
        server_settings=settings,
        connection_class=kind,
    )
    try:
        yield pool
    finally:
        try:
            async with asyncio.timeout(min(limit, CLOSE_LIMIT)):
                await pool.close()
        except (TimeoutError, *OUTAGES):
            pool.terminate()


async def _acquired(pool: Pool) -> asyncpg.pool.PoolConnectionProxy[asyncpg.Record]:
    try:
        return await pool.acquire()
    except ROLE_MISSING as fault:
        raise asyncpg.InsufficientPrivilegeError(f"the role of tenants cannot be taken ({fault})") from fault


ENGINE_SETTINGS = {
    # To plan one of the statements takes longer than to run it.
    "plan_cache_mode": "force_generic_plan",
    # It does not mark what it finds dead: the next claim would pass all of it again.
    "enable_bitmapscan": "off",
    # Nor is an index walked that is not in the order wanted, and all that waits sorted, to take a few of it.
    "enable_sort": "off",
    "enable_incremental_sort": "off",
}
"""Of the connections over which tasks are claimed, started and ended."""


EARLIER = 0.9


def connection_settings(limit: float) -> dict[str, str]:
    """What each connection asks of the server; `limit` is how long, in seconds, we wait for a statement.

    The server ends it a little earlier, and says so: that it says nothing then means that it is gone.
    """
    return {
        "application_name": "carillon",
        "timezone": "UTC",
        "jit": "off",  # our statements are short
        # What nobody waits for any more ends as well: a statement, and a transaction whose holder is cut off.
        "statement_timeout": f"{limit * EARLIER * 1000:.0f}",
        "idle_in_transaction_session_timeout": f"{limit * 1000:.0f}",
        # A host that vanishes must not keep its locks for the two hours of the system's default.
        "tcp_keepalives_idle": "10",
        "tcp_keepalives_interval": "5",
        "tcp_keepalives_count": "3",
    }


def columns(rows: Iterable[tuple[Any, ...]]) -> list[list[Any]]:
    """The rows as a statement takes them that unnests an array for each column. There is a row at least."""
    return [list(column) for column in zip(*rows, strict=True)]


async def _leave_as_it_is(_: Connection) -> None:
    """Nothing of ours outlives its transaction but the tenant, which is set for each piece of work."""
