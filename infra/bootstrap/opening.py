"""Opens the services of a process: picks the adapter of each port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import dramatiq
from prometheus_client import CollectorRegistry

from domain.contracts.events import Event
from domain.contracts.tasks import TaskChangedV1
from domain.dead_letters.ports import DeadLetters
from domain.live.ports import Events, HandOver, Signals
from infra.bootstrap.databases import database_url, open_databases, open_workers
from infra.bootstrap.loading import handlers_with, load_keys, webhooks_with
from infra.bootstrap.services import Check, Services
from infra.breakers import BreakerBoard
from infra.cache.cached_tasks import CachedTasks
from infra.cache.forgetting import open_forgetting
from infra.cache.ports import Cache, TaskVersion
from infra.cache.registered_documents import CachedDocuments
from infra.cache.task_cache import TaskCache
from infra.cache.traced import TracedCache
from infra.encryption.headers import HeaderSeals
from infra.http.destination import Rules
from infra.live.dead_letter_metrics import DeadLetterMetrics
from infra.memory.broker import build_stub_broker
from infra.memory.bus import open_memory_bus
from infra.memory.cache import open_memory_cache
from infra.postgres.access_tokens import PostgresAccessTokens
from infra.postgres.activity import PostgresActivity
from infra.postgres.adding import open_adding
from infra.postgres.attempts import PostgresAttempts
from infra.postgres.audit_log import open_audit_log
from infra.postgres.backlogs import open_backlogs
from infra.postgres.bulk import PostgresBulkTasks
from infra.postgres.database import DatabaseMetrics
from infra.postgres.documents import PostgresDocuments
from infra.postgres.due_tasks import PostgresDueTasks
from infra.postgres.figures import PostgresFigures
from infra.postgres.firing import PostgresFiring
from infra.postgres.gauges import StorageGauges
from infra.postgres.notifications import PostgresNotifications
from infra.postgres.outbox import PostgresOutbox
from infra.postgres.queues import PostgresQueues
from infra.postgres.rescue import PostgresRescue
from infra.postgres.retention import PostgresRetention
from infra.postgres.schedules import PostgresSchedules
from infra.postgres.set_aside import KIND as OUTBOX
from infra.postgres.set_aside import PostgresSetAside
from infra.postgres.tasks import PostgresTasks
from infra.postgres.webhook_secrets import PostgresWebhookSecrets
from infra.rabbit.broker import build_rabbit_broker
from infra.rabbit.bus import open_rabbit_bus
from infra.recurrence.reading import ReadRecurrences
from infra.redis.cache import open_redis_cache
from infra.settings import Settings
from infra.system import SystemClock, TimeOrderedIds
from infra.version import tell_version

CLOSE_LIMIT = 2.0
"""Seconds a broker's connections may take to close."""


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Services]:
    """Opens also while a server cannot be reached. Raises CannotStart when no waiting would help."""
    registry, clock, ids = CollectorRegistry(), SystemClock(), TimeOrderedIds()
    tell_version(registry)
    handlers = handlers_with(settings, clock)
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(database_url(settings))
        keys = load_keys(settings)
        breakers, database_metrics = BreakerBoard(settings, registry), DatabaseMetrics(registry)
        databases = await stack.enter_async_context(
            open_databases(url, settings, database_metrics, breakers.of("postgres", "PostgreSQL"))
        )
        database = databases.main
        audit_log = await stack.enter_async_context(open_audit_log(databases.auditing, registry))
        figures = PostgresFigures(database, settings.measured_tenants)
        unpublished = PostgresSetAside(database)
        health: dict[str, Check] = {"postgres": figures.ping}
        await stack.enter_async_context(breakers.of("postgres", "PostgreSQL").looked_for(figures.ping))

        if settings.redis_url is not None:
            redis_cache = await stack.enter_async_context(
                open_redis_cache(settings, registry, breakers.of("redis", "Redis"))
            )
            health["redis"] = redis_cache.check
            kept: Cache = redis_cache
        else:
            kept = await stack.enter_async_context(open_memory_cache(settings, registry))
        if settings.otlp_endpoint is not None:
            kept = TracedCache(kept, "memory" if settings.redis_url is None else "redis")
        cache = TaskCache(kept, settings.namespace, registry)

        broker: dramatiq.Broker
        signals: Signals
        events: Events
        hand_over: HandOver
        dead_letters: Callable[[], Awaitable[Mapping[str, int]]]
        set_aside: Mapping[str, DeadLetters]
        if settings.amqp_url is not None:
            broker = build_rabbit_broker(settings)
            rabbit = await stack.enter_async_context(
                open_rabbit_bus(settings, registry, breakers.of("rabbitmq", "RabbitMQ"))
            )
            health["rabbitmq"] = rabbit.check
            signals, events, hand_over = rabbit.signals, rabbit.events, rabbit.hand_over
            dead_letters, set_aside = rabbit.dead_letters, rabbit.set_aside()
        else:
            broker = stub = build_stub_broker()
            memory = await stack.enter_async_context(open_memory_bus(settings, registry, stub))
            signals, events, hand_over = memory.signals, memory.events, memory.hand_over
            dead_letters, set_aside = memory.dead_letters, memory.set_aside()
        stack.push_async_callback(_close, broker)

        forgetting = await stack.enter_async_context(open_forgetting(cache))
        recurrences = ReadRecurrences()
        outbox = PostgresOutbox(url, database, settings.database_timeout)
        seals = HeaderSeals(keys)
        webhook_secrets = PostgresWebhookSecrets(database, keys)
        cached = CachedTasks(PostgresTasks(database, seals), cache)
        tasks = await stack.enter_async_context(open_adding(cached))
        yield Services(
            settings=settings,
            clock=clock,
            ids=ids,
            metrics=registry,
            health=health,
            breakers=breakers,
            gauges=StorageGauges(figures, outbox, dead_letters, unpublished.count, registry).refresh,
            bulk_tasks=PostgresBulkTasks(database, cache.forget),
            tasks=tasks,
            queues=PostgresQueues(database),
            due_tasks=PostgresDueTasks(databases.engine, databases.patient, forgetting.changed),
            attempts=PostgresAttempts(databases.engine, forgetting.changed),
            activity=PostgresActivity(database),
            open_backpressure=partial(open_backlogs, settings, database, registry),
            open_workers=partial(open_workers, url, settings, database_metrics),
            rescue=PostgresRescue(database, forgetting.changed),
            retention=PostgresRetention(databases.pruning, forgetting.changed),
            outbox=outbox,
            forget=partial(_forget, cache),
            notifications=PostgresNotifications(database),
            signals=signals,
            events=events,
            hand_over=hand_over,
            broker=broker,
            handlers=handlers,
            handler_runner=handlers,
            recurrences=recurrences,
            schedules=PostgresSchedules(database, seals),
            firing=PostgresFiring(database, recurrences, ids, forgetting.changed),
            webhooks=webhooks_with(settings, clock, keys, webhook_secrets, registry=registry, board=breakers),
            webhook_secrets=webhook_secrets,
            access_tokens=PostgresAccessTokens(database),
            audit_log=audit_log,
            dead_letters={**set_aside, OUTBOX: unpublished},
            count_settled=DeadLetterMetrics(registry).count,
            documents=PostgresDocuments(database),
            registered_documents=CachedDocuments(kept, settings.namespace),
            origins=Rules(settings.http_allow_insecure, settings.http_allowed_networks),
        )


async def _close(broker: dramatiq.Broker) -> None:
    """Dramatiq's client would wait for the goodbye of a RabbitMQ that hangs until its heartbeats give up."""
    closing = asyncio.get_running_loop().run_in_executor(None, broker.close)
    await asyncio.wait([closing], timeout=CLOSE_LIMIT)


async def _forget(cache: TaskCache, events: Sequence[Event]) -> None:
    tasks = [event for event in events if isinstance(event, TaskChangedV1)]
    await cache.forget([TaskVersion(event.tenant, event.task_id, event.version) for event in tasks])
