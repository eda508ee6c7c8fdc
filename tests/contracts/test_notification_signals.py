"""Signals of new notifications are for those who follow."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import CollectorRegistry

from domain.live.ports import Signal
from infra.live.notification_feed import open_notification_feed
from infra.settings import Settings
from tests.support.live_fakes import FakeSignals
from tests.support.storage import Storage, a_draft
from tests.support.waiting import until

NOTIFICATIONS = Signal.NOTIFICATIONS

pytestmark = pytest.mark.postgres


async def test_they_are_heard_only_while_someone_follows(storage: Storage) -> None:
    signals, store = FakeSignals(), storage.notifications
    async with open_notification_feed(store, signals, Settings(poll_interval=30), CollectorRegistry()) as feed:
        for _ in range(2):
            assert not signals.watches.get(NOTIFICATIONS)
            async with feed.follow("acme", after=None) as stream, asyncio.timeout(10):
                coming = asyncio.ensure_future(anext(stream))
                await signals.watched(NOTIFICATIONS)
                for tenant in await store.add([a_draft()]):
                    signals.send(NOTIFICATIONS, tenant)
                assert (await coming).tenant == "acme"
            await until(lambda: not signals.watches[NOTIFICATIONS])


async def test_what_came_before_they_were_heard_is_read(storage: Storage) -> None:
    signals, store = FakeSignals(), storage.notifications
    async with (
        open_notification_feed(store, signals, Settings(poll_interval=30), CollectorRegistry()) as feed,
        feed.follow("acme", after=None) as stream,
        asyncio.timeout(10),
    ):
        await store.add([a_draft()])
        assert (await anext(stream)).seq == 1
