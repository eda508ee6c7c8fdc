"""Connections to Redis, made when they are needed."""

from __future__ import annotations

from redis.asyncio import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from infra.settings import Settings

MAX_CONNECTIONS = 32
SOCKET_TIMEOUT = 1.0


def redis_pool(settings: Settings) -> BlockingConnectionPool:
    pool: BlockingConnectionPool = BlockingConnectionPool.from_url(
        str(settings.redis_url),
        max_connections=MAX_CONNECTIONS,
        timeout=settings.cache_timeout,
        socket_connect_timeout=settings.cache_timeout,
        socket_timeout=SOCKET_TIMEOUT,
        # A restart of Redis leaves dead connections in the pool: each is replaced when it is used next.
        retry=Retry(NoBackoff(), retries=1),
        protocol=2,
    )
    return pool
