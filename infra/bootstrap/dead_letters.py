"""The dead letters of an installation for a command, with nothing opened that it does not need."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager

from prometheus_client import CollectorRegistry

from domain.dead_letters.failed_tasks import KIND as TASK
from domain.dead_letters.failed_tasks import FailedTasks
from domain.dead_letters.ports import DeadLetters
from domain.dead_letters.service import DeadLetterService
from infra.bootstrap.databases import one_connection
from infra.bootstrap.loading import load_keys
from infra.breakers import BreakerBoard
from infra.encryption.headers import HeaderSeals
from infra.live.dead_letter_metrics import DeadLetterMetrics
from infra.live.delivery import DURABLE_CONSUMERS
from infra.postgres.set_aside import KIND as OUTBOX
from infra.postgres.set_aside import PostgresSetAside
from infra.postgres.tasks import PostgresTasks
from infra.rabbit.bus import open_rabbit_bus
from infra.settings import Settings


def dead_letter_kinds(settings: Settings) -> tuple[str, ...]:
    """Those there are with these settings, in the order of `open_dead_letters`."""
    consumers = () if settings.amqp_url is None else tuple(DURABLE_CONSUMERS)
    return (TASK, *consumers, OUTBOX)


@asynccontextmanager
async def open_dead_letters(
    settings: Settings, tenant: str, kinds: Collection[str] | None = None
) -> AsyncIterator[DeadLetterService]:
    """The failed tasks of the tenant, and everyone's events. RabbitMQ is connected to for its `kinds` alone.

    Without RabbitMQ its kinds are not there: `carillon dev` keeps them in its process. The cache is told of
    changed tasks by the relay. Raises CannotStart, also in place of Unavailable.
    """
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(one_connection(settings))
        tasks = PostgresTasks(database, HeaderSeals(load_keys(settings)))
        found: dict[str, DeadLetters] = {TASK: FailedTasks(tasks, tenant)}
        registry = CollectorRegistry()
        if settings.amqp_url is not None and (kinds is None or not {TASK, OUTBOX}.issuperset(kinds)):
            breaker = BreakerBoard(settings, registry).of("rabbitmq", "RabbitMQ")
            rabbit = await stack.enter_async_context(open_rabbit_bus(settings, registry, breaker))
            found |= rabbit.set_aside()
        found[OUTBOX] = PostgresSetAside(database)
        yield DeadLetterService(found, DeadLetterMetrics(registry).count)
