"""What the client of RabbitMQ says when its connection is lost is told as an outage, and nothing else is."""

from __future__ import annotations

import asyncio

import pytest
from aiormq.abc import TaskWrapper

from domain.errors import Unavailable
from infra.rabbit.faults import told_as_unavailable


async def test_a_call_that_the_client_gives_up_as_its_connection_is_cut_is_an_outage() -> None:
    waiting = TaskWrapper(asyncio.create_task(asyncio.Event().wait()))
    await asyncio.sleep(0)
    waiting.throw(Exception)  # as its connection does with what waits
    with pytest.raises(Unavailable), told_as_unavailable():
        await waiting


def test_a_fault_of_ours_is_no_outage() -> None:
    with pytest.raises(ZeroDivisionError), told_as_unavailable():
        raise ZeroDivisionError
