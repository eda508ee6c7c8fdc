"""Opens the services of a process that answers and follows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from domain.budgets.ports import Buckets, Budgets, RateLimited, Rates
from domain.contracts.events import Event
from domain.documents.known import KnownDocuments
from domain.errors import Unavailable
from domain.tenancy.ports import Callers
from infra.authentication.callers import Everyone, Known
from infra.authentication.jwts import KeySetNotRead, open_jwts
from infra.background import background
from infra.bootstrap.opening import open_services
from infra.bootstrap.services import ApiServices, Services
from infra.budgets.leased import LeasedBudgets
from infra.budgets.memory import MemoryBuckets
from infra.embedded_postgres.errors import CannotStart
from infra.live.activity_feed import open_activity_feed
from infra.live.notification_feed import open_notification_feed
from infra.live.task_feed import LiveTaskFeed
from infra.redis.buckets import open_redis_buckets
from infra.settings import Settings


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
            _open_budgets(services) as (budgets, operation_rates),
            services.open_backpressure() as backpressure,
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
                    operation_rates=operation_rates,
                    backpressure=backpressure,
                    known_documents=known_documents,
                )


@asynccontextmanager
async def _open_budgets(services: Services) -> AsyncIterator[tuple[Budgets, Budgets]]:
    """Of points, and of operations."""
    settings = services.settings
    costs = Rates(limit=settings.budget, refill_per_second=settings.budget_refill)
    operations = Rates(limit=settings.operation_burst, refill_per_second=settings.operation_rate)

    def over(buckets: Callable[[str, Rates], Buckets]) -> tuple[Budgets, Budgets]:
        return (
            LeasedBudgets(buckets("budget", costs), costs),
            LeasedBudgets(buckets("rate", operations), operations, exceeded=RateLimited),
        )

    if settings.redis_url is None:
        yield over(lambda _, rates: MemoryBuckets(rates))
        return
    breaker = services.breakers.of("redis", "Redis")
    async with open_redis_buckets(settings, services.metrics, breaker) as buckets:
        yield over(buckets)


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
