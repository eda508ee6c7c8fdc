"""Who owns a database and may do no more than that, as most are in production."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import asyncpg

from tests.support.services import database_name


@asynccontextmanager
async def plain_owner(server: str, url: str) -> AsyncIterator[str]:
    """The URL of that database as a user that owns it, and may do no more than that."""
    user = f"carillon_test_{secrets.token_hex(6)}"
    connection = await asyncpg.connect(server)
    await connection.execute(f"create role {user} login password '{user}'")
    try:
        await connection.execute(f'alter database "{database_name(url)}" owner to {user}')
        place = urlsplit(url)
        host = place.netloc.rpartition("@")[2]
        yield place._replace(netloc=f"{user}:{user}@{host}").geturl()
    finally:
        await connection.execute(f'alter database "{database_name(url)}" owner to current_user')
        there = await asyncpg.connect(url)
        await there.execute(f"drop owned by {user} cascade")
        await there.close()
        await connection.execute(f"drop role {user}")
        await connection.close()
