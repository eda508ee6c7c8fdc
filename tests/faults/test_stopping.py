"""SIGTERM: every process ends cleanly and soon, whether its servers answer or not."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tests.support.installation import KINDS, Member, open_behind_proxies
from tests.support.tcp_proxy import lose

pytestmark = [pytest.mark.postgres, pytest.mark.redis, pytest.mark.rabbit]

PROMPTLY = 5.0
IN_THE_END = 25.0
"""When no server answers: every goodbye has a time limit, and some follow one another."""


async def test_every_process_ends_by_itself_promptly_and_without_a_fault(
    postgres_server: str, migrated: str, tmp_path: Path
) -> None:
    async with open_behind_proxies(postgres_server, migrated, tmp_path, *KINDS) as (installation, _):
        ended = await asyncio.gather(*map(stopped, installation.members))
    assert [code for code, _ in ended] == [0] * len(KINDS)
    assert max(seconds for _, seconds in ended) < PROMPTLY, dict(zip(KINDS, ended, strict=True))
    assert "Traceback" not in installation.said()
    assert '"level": "error"' not in installation.said()


@pytest.mark.parametrize("how", ["refuse", "hang"])
async def test_without_any_server_every_process_ends_as_well(
    postgres_server: str, migrated: str, tmp_path: Path, how: str
) -> None:
    async with open_behind_proxies(postgres_server, migrated, tmp_path, *KINDS) as (installation, proxies):
        for proxy in (proxies.postgres, proxies.redis, proxies.rabbit):
            await lose(proxy, how)
        ended = await asyncio.gather(*map(stopped, installation.members))
        assert [code for code, _ in ended] == [0] * len(KINDS), installation.said()
        assert max(seconds for _, seconds in ended) < IN_THE_END, dict(zip(KINDS, ended, strict=True))


async def stopped(member: Member) -> tuple[int, float]:
    """Its exit code, and the seconds that it took."""
    began = time.monotonic()
    return await member.process.stop(), time.monotonic() - began
