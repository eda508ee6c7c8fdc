"""What a connection to RabbitMQ that cannot be made leaves behind: nothing."""

from __future__ import annotations

import asyncio
import gc

import pytest

from infra.rabbit.link import _connect
from tests.support.processes import free_port


async def test_a_connection_that_failed_is_closed_at_once() -> None:
    before = asyncio.all_tasks()
    with pytest.raises(ConnectionError):
        await _connect(f"amqp://guest:guest@127.0.0.1:{free_port()}/")
    gc.collect()
    assert asyncio.all_tasks() == before, "else it would be closed by a task of its own, on whatever loop"
