"""The composition root: settings in, services out. The only module that picks adapters."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial

import dramatiq
from prometheus_client import CollectorRegistry

from domain.actions.ports import HandlerRunner, Handlers, Webhooks
from domain.attempts.ports import Activity, ActivityFeed, Attempts, DueTasks, Rescue, Workers
from domain.audit.ports import AuditLog
from domain.budgets.ports import Budgets, Rates
from domain.clock import Clock, Ids
from domain.contracts.events import Event
from domain.contracts.tasks import TaskChangedV1
from domain.dead_letters.ports import DeadLetters
from domain.dead_letters.service import Settling
from domain.documents.known import KnownDocuments
from domain.documents.ports import Documents, RegisteredDocuments
from domain.errors import Unavailable
from domain.live.outbox import Outbox
from domain.live.ports import Events, HandOver, Signals, TaskFeed
from domain.notifications.ports import NotificationFeed, Notifications
from domain.queues.ports import Queues
from domain.retention.ports import Retention
from domain.schedules.ports import Firing, Recurrences, Schedules
from domain.tasks.bulk import BulkTasks
from domain.tasks.ports import Tasks
from domain.tenancy.ports import AccessTokens, Callers
from domain.tenancy.service import TokenService
from domain.webhooks.ports import Origins, WebhookSecrets
from infra.authentication.callers import Everyone, Known
from infra.authentication.jwts import KeySetNotRead, open_jwts
from infra.background import background
from infra.budgets.leased import LeasedBudgets
from infra.budgets.memory import MemoryBuckets
from infra.cache.cached_tasks import CachedTasks
from infra.cache.forgetting import open_forgetting
from infra.cache.ports import Cache, TaskVersion
from infra.cache.registered_documents import CachedDocuments
from infra.cache.task_cache import TaskCache
from infra.embedded_postgres.errors import CannotStart
from infra.encryption.headers import HeaderSeals
from infra.encryption.key_file import home_keys
from infra.encryption.keys import KeyRing, read_keys
from infra.handlers.loading import HandlersNotLoaded, LoadedHandlers, load_handlers
from infra.http.client import build_webhooks
from infra.http.destination import Rules
from infra.live.activity_feed import open_activity_feed
from infra.live.dead_letter_metrics import DeadLetterMetrics
from infra.live.notification_feed import open_notification_feed
from infra.live.task_feed import LiveTaskFeed
from infra.memory.broker import build_stub_broker
from infra.memory.bus import open_memory_bus
from infra.memory.cache import open_memory_cache
from infra.postgres.access_tokens import PostgresAccessTokens
from infra.postgres.activity import PostgresActivity
from infra.postgres.adding import open_adding
from infra.postgres.attempts import PostgresAttempts
from infra.postgres.audit_log import SETTINGS as AUDIT_SETTINGS
from infra.postgres.audit_log import open_audit_log
from infra.postgres.bulk import PostgresBulkTasks
from infra.postgres.database import ENGINE_SETTINGS, OUTAGES, Database, DatabaseMetrics, open_database
from infra.postgres.documents import PostgresDocuments
from infra.postgres.due_tasks import PostgresDueTasks
from infra.postgres.figures import PostgresFigures
from infra.postgres.firing import PostgresFiring
from infra.postgres.gauges import StorageGauges
from infra.postgres.notifications import PostgresNotifications
from infra.postgres.outbox import PostgresOutbox
from infra.postgres.queues import PostgresQueues
from infra.postgres.reencrypting import Reencrypted, reencrypt
from infra.postgres.rescue import PostgresRescue
from infra.postgres.retention import PostgresRetention
from infra.postgres.schedules import PostgresSchedules
from infra.postgres.set_aside import KIND as OUTBOX
from infra.postgres.set_aside import PostgresSetAside
from infra.postgres.tasks import PostgresTasks
from infra.postgres.tenants import RoleNotMade
from infra.postgres.webhook_secrets import PostgresWebhookSecrets
from infra.postgres.workers import PostgresWorkers
from infra.rabbit.broker import build_rabbit_broker
from infra.rabbit.bus import open_rabbit_bus
from infra.recurrence.reading import ReadRecurrences
from infra.redis.buckets import open_redis_buckets
from infra.redis.cache import open_redis_cache
from infra.settings import Settings
from infra.system import SystemClock, TimeOrderedIds, random_bytes

__all__ = [
    "ApiServices",
    "CannotStart",
    "Services",
    "migrate_database",
    "open_api_services",
    "open_documents",
    "open_services",
    "open_token_service",
    "reencrypt_database",
]

Check = Callable[[], Awaitable[None]]
"""Raises when what it looks at does not answer."""
PATIENCE = 30.0
"""Seconds that work may take which nobody waits for, over a connection of its own: to remove a part of what is
old, or to look at all that waits."""
ENGINE_POOL = 4
AUDIT_POOL = 2
CLOSE_LIMIT = 2.0
"""Seconds a broker's connections may take to close."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything a process may use, open until its `open_services` is left."""

    settings: Settings
    clock: Clock
    ids: Ids
    metrics: CollectorRegistry
    health: Mapping[str, Check]
    """By the name of the dependency."""
    gauges: Callable[[], Awaitable[None]]
    """Brings the figures that are read from storage up to date."""
    tasks: Tasks
    bulk_tasks: BulkTasks
    queues: Queues
    due_tasks: DueTasks
    attempts: Attempts
    activity: Activity
    open_workers: Callable[[], AbstractAsyncContextManager[Workers]]
    """The leases of workers, over a connection of its own: they are renewed on another loop."""
    rescue: Rescue
    retention: Retention
    outbox: Outbox
    forget: Callable[[Sequence[Event]], Awaitable[None]]
    """Makes the cache forget what is older than these events."""
    notifications: Notifications
    signals: Signals
    events: Events
    hand_over: HandOver
    broker: dramatiq.Broker
    handlers: Handlers
    handler_runner: HandlerRunner
    webhooks: Webhooks
    webhook_secrets: WebhookSecrets
    access_tokens: AccessTokens
    audit_log: AuditLog
    dead_letters: Mapping[str, DeadLetters]
    """Events that were set aside, by their kinds."""
    count_settled: Callable[[Settling, str, int], None]
    documents: Documents
    registered_documents: RegisteredDocuments
    origins: Origins
    recurrences: Recurrences
    schedules: Schedules
    firing: Firing


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiServices(Services):
    """And what only those who serve subscribers use."""

    task_feed: TaskFeed
    notification_feed: NotificationFeed
    activity_feed: ActivityFeed
    callers: Callers
    budgets: Budgets
    known_documents: KnownDocuments


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Services]:
    """Opens also while a server cannot be reached. Raises CannotStart when no waiting would help."""
    registry = CollectorRegistry()
    clock, ids = SystemClock(), TimeOrderedIds()
    handlers = _load_handlers(settings, clock)
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(_database_url(settings))
        keys = _load_keys(settings)
        database_metrics = DatabaseMetrics(registry)
        database = await stack.enter_async_context(
            open_database(
                url,
                size=settings.database_pool,
                limit=settings.database_timeout,
                metrics=database_metrics,
            )
        )
        pruning = await stack.enter_async_context(
            open_database(url, size=1, limit=PATIENCE, metrics=database_metrics, name="pruning")
        )
        patient = await stack.enter_async_context(
            open_database(
                url,
                size=1,
                limit=PATIENCE,
                metrics=database_metrics,
                settings=ENGINE_SETTINGS,
                name="patient",
            )
        )
        # Connections of their own: the first claim on each has to be planned, and tasks are late by that.
        engine = await stack.enter_async_context(
            open_database(
                url,
                size=ENGINE_POOL,
                limit=settings.database_timeout,
                metrics=database_metrics,
                settings=ENGINE_SETTINGS,
                name="engine",
            )
        )
        auditing = await stack.enter_async_context(
            open_database(
                url,
                size=AUDIT_POOL,
                limit=settings.database_timeout,
                metrics=database_metrics,
                settings=AUDIT_SETTINGS,
                name="auditing",
            )
        )
        audit_log = await stack.enter_async_context(open_audit_log(auditing, registry))
        figures = PostgresFigures(database)
        health: dict[str, Check] = {"postgres": figures.ping}

        if settings.redis_url is not None:
            redis_cache = await stack.enter_async_context(open_redis_cache(settings, registry))
            health["redis"] = redis_cache.check
            kept: Cache = redis_cache
        else:
            kept = await stack.enter_async_context(open_memory_cache(settings, registry))
        cache = TaskCache(kept, settings.namespace, registry)

        broker: dramatiq.Broker
        signals: Signals
        events: Events
        hand_over: HandOver
        dead_letters: Callable[[], Awaitable[Mapping[str, int]]]
        set_aside: Mapping[str, DeadLetters]
        if settings.amqp_url is not None:
            broker = build_rabbit_broker(settings)
            rabbit = await stack.enter_async_context(open_rabbit_bus(settings, registry))
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
            gauges=StorageGauges(figures, outbox, dead_letters, registry).refresh,
            bulk_tasks=PostgresBulkTasks(database, cache.forget),
            tasks=tasks,
            queues=PostgresQueues(database),
            due_tasks=PostgresDueTasks(engine, patient, forgetting.changed),
            attempts=PostgresAttempts(engine, forgetting.changed),
            activity=PostgresActivity(database),
            open_workers=partial(_open_workers, url, settings, database_metrics),
            rescue=PostgresRescue(database, forgetting.changed),
            retention=PostgresRetention(pruning, forgetting.changed),
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
            webhooks=_build_webhooks(settings, clock, keys, webhook_secrets, registry),
            webhook_secrets=webhook_secrets,
            access_tokens=PostgresAccessTokens(database),
            audit_log=audit_log,
            dead_letters={**set_aside, OUTBOX: PostgresSetAside(database)},
            count_settled=DeadLetterMetrics(registry).count,
            documents=PostgresDocuments(database),
            registered_documents=CachedDocuments(kept, settings.namespace),
            origins=Rules(settings.http_allow_insecure, settings.http_allowed_networks),
        )


@asynccontextmanager
async def open_api_services(settings: Settings) -> AsyncIterator[ApiServices]:
    """As `open_services`, and hearing what subscribers are to be told."""
    async with open_services(settings) as services:
        task_feed = LiveTaskFeed(settings.live_backlog, services.metrics)
        async with (
            open_notification_feed(
                services.notifications, services.signals, settings, services.metrics
            ) as notification_feed,
            open_activity_feed(
                services.activity, services.signals, settings, services.metrics
            ) as activity_feed,
            _open_callers(services) as callers,
            _open_budgets(services) as budgets,
            _open_known_documents(services) as known_documents,
        ):

            def hear(event: Event) -> None:
                task_feed.hear(event)
                activity_feed.hear(event)

            async with services.events.listen(hear, task_feed.miss):
                shared = {name: getattr(services, name) for name in Services.__slots__}
                yield ApiServices(
                    **shared,
                    task_feed=task_feed,
                    notification_feed=notification_feed,
                    activity_feed=activity_feed,
                    callers=callers,
                    budgets=budgets,
                    known_documents=known_documents,
                )


@asynccontextmanager
async def _open_budgets(services: Services) -> AsyncIterator[Budgets]:
    settings = services.settings
    rates = Rates(limit=settings.budget, refill_per_second=settings.budget_refill)
    if settings.redis_url is None:
        yield LeasedBudgets(MemoryBuckets(rates), rates)
        return
    async with open_redis_buckets(settings, rates, services.metrics) as buckets:
        yield LeasedBudgets(buckets, rates)


async def migrate_database(settings: Settings) -> None:
    """Bring the database of the settings to this version's layout. Raises CannotStart."""
    async with _database_url(settings) as url:
        try:
            await _migrate(url)
        except RoleNotMade as fault:
            raise CannotStart(str(fault)) from fault
        except (*OUTAGES, TimeoutError) as fault:
            raise CannotStart(
                f"The database cannot be migrated: {fault}. It must exist, and its user own it."
            ) from fault


async def reencrypt_database(settings: Settings) -> Reencrypted:
    """Encrypt with the newest key of the settings what older ones encrypted. Raises CannotStart."""
    keys = _load_keys(settings)
    if not keys.usable:
        raise CannotStart("CARILLON_ENCRYPTION_KEYS is not set: there is nothing to encrypt with.")
    async with _one_connection(settings, " What was done is done: start it again.") as database:
        return await reencrypt(database, keys)


@asynccontextmanager
async def open_token_service(settings: Settings) -> AsyncIterator[TokenService]:
    """For the command line. Raises CannotStart, also in place of Unavailable."""
    async with _one_connection(settings) as database:
        yield TokenService(PostgresAccessTokens(database), SystemClock(), TimeOrderedIds(), random_bytes)


@asynccontextmanager
async def open_documents(settings: Settings) -> AsyncIterator[Documents]:
    """For the command line. Raises CannotStart, also in place of Unavailable."""
    async with _one_connection(settings) as database:
        yield PostgresDocuments(database)


@asynccontextmanager
async def _one_connection(settings: Settings, advice: str = "") -> AsyncIterator[Database]:
    """For a command. Raises CannotStart in place of Unavailable, with the advice behind it."""
    async with (
        _database_url(settings) as url,
        open_database(
            url, size=1, limit=settings.database_timeout, metrics=DatabaseMetrics(CollectorRegistry())
        ) as database,
    ):
        try:
            yield database
        except Unavailable as fault:
            raise CannotStart(f"{fault}.{advice}") from fault


@asynccontextmanager
async def _database_url(settings: Settings) -> AsyncIterator[str]:
    """That of the settings, or of an embedded PostgreSQL, started and migrated."""
    if settings.database_url is not None:
        yield str(settings.database_url)
        return
    from infra.embedded_postgres import open_embedded_postgres  # noqa: PLC0415  an extra

    async with open_embedded_postgres(settings.home) as url:
        await _migrate(url)
        yield url


async def _migrate(url: str) -> None:
    from infra.postgres.migrate import migrate  # noqa: PLC0415  Alembic takes a third of a second to import

    await migrate(url)


@asynccontextmanager
async def _open_workers(url: str, settings: Settings, metrics: DatabaseMetrics) -> AsyncIterator[Workers]:
    async with open_database(
        url, size=1, limit=settings.database_timeout, metrics=metrics, name="heartbeat"
    ) as database:
        yield PostgresWorkers(database)


@asynccontextmanager
async def _open_callers(services: Services) -> AsyncIterator[Callers]:
    settings = services.settings
    if settings.authentication == "none":
        yield Everyone(settings.tenant)
        return
    try:
        async with open_jwts(settings, services.clock, services.metrics) as jwts:
            yield Known(services.access_tokens, jwts, services.clock)
    except KeySetNotRead as error:
        raise CannotStart(f"CARILLON_JWT_KEY_SET cannot be read: {error}") from error


@asynccontextmanager
async def _open_known_documents(services: Services) -> AsyncIterator[KnownDocuments]:
    known = KnownDocuments(services.documents, services.clock)
    async with background() as tasks:
        tasks.start(known.note_forever(), "document-uses")
        yield known
    with suppress(Unavailable):
        await known.note_once()


async def _close(broker: dramatiq.Broker) -> None:
    """Dramatiq's client would wait for the goodbye of a RabbitMQ that hangs until its heartbeats give up."""
    closing = asyncio.get_running_loop().run_in_executor(None, broker.close)
    await asyncio.wait([closing], timeout=CLOSE_LIMIT)


async def _forget(cache: TaskCache, events: Sequence[Event]) -> None:
    tasks = [event for event in events if isinstance(event, TaskChangedV1)]
    await cache.forget([TaskVersion(event.tenant, event.task_id, event.version) for event in tasks])


def _load_keys(settings: Settings) -> KeyRing:
    """Those of the settings, or of the home; none where neither is."""
    try:
        if settings.encryption_keys is not None:
            return read_keys(settings.encryption_keys.get_secret_value())
        return home_keys(settings.home) if settings.embedded else KeyRing()
    except ValueError as error:
        place = settings.home if settings.encryption_keys is None else "CARILLON_ENCRYPTION_KEYS"
        raise CannotStart(f"{place} cannot encrypt: {error}") from error
    except OSError as error:
        raise CannotStart(f"The keys of this home cannot be read or made: {error}") from error


def _build_webhooks(
    settings: Settings, clock: Clock, keys: KeyRing, secrets: WebhookSecrets, registry: CollectorRegistry
) -> Webhooks:
    try:
        return build_webhooks(settings, clock, keys=keys, secrets=secrets, registry=registry)
    except ValueError as error:
        raise CannotStart(f"CARILLON_WEBHOOK_SECRET cannot sign: {error}") from error


def _load_handlers(settings: Settings, clock: Clock) -> LoadedHandlers:
    try:
        return load_handlers(settings.handler_modules, settings.worker_slots, clock)
    except HandlersNotLoaded as error:
        raise CannotStart(str(error)) from error
