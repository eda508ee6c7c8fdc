"""The handler of the comparison with other schedulers: one INSERT that commits by itself."""

from __future__ import annotations

import os

import asyncpg

from carillon import Context, handler

AT_ONCE = 16
"""Connections, as the others were given."""

_pools: list[asyncpg.Pool] = []


async def _as_it_is(_: object) -> None:
    """The pools of the others do not reset their connections either."""


@handler("insert")
async def insert(context: Context) -> None:
    """Writes down that it ran."""
    if not _pools:
        url = os.environ["CARILLON_DATABASE_URL"]
        _pools.append(asyncpg.create_pool(url, min_size=0, max_size=AT_ONCE, reset=_as_it_is))
    await (await _pools[0]).execute("insert into exec_log values ($1, now())", context.task_id)
