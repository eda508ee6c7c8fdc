"""Facts become notifications, and those who wait for them are told."""

from __future__ import annotations

import asyncio

import pytest

from domain.contracts.tasks import TaskEventKind
from domain.errors import Unavailable
from domain.live.ports import Signal
from domain.notifications.model import NotificationKind
from jobs.metrics import JobMetrics
from jobs.notifier import CONSUMER, notify, run_notifier
from jobs.stop import Stop
from tests.support.engine_fakes import an_event, sample, services_of
from tests.support.live_fakes import FakeEvents, FakeNotifications, FakeSignals
from tests.support.waiting import until


class Notifier:
    def __init__(self) -> None:
        self.notifications, self.events, self.signals = FakeNotifications(), FakeEvents(), FakeSignals()
        self.services = services_of(notifications=self.notifications, events=self.events, signals=self.signals)
        self.metrics = JobMetrics(self.services.metrics)


async def test_facts_that_people_are_told_of_become_notifications() -> None:
    notifier = Notifier()
    due = an_event()
    failed = an_event(TaskEventKind.FAILED, tenant="other", error_message="boom")
    started = an_event(TaskEventKind.STARTED)
    assert await notify(notifier.services, [started, due, failed], notifier.metrics) == 2
    drafts = list(notifier.notifications.drafts.values())
    assert [draft.kind for draft in drafts] == [NotificationKind.TASK_DUE, NotificationKind.TASK_FAILED]
    assert [draft.body for draft in drafts] == ["The ferns too", "boom"]
    assert notifier.signals.sent == [(Signal.NOTIFICATIONS, "acme"), (Signal.NOTIFICATIONS, "other")]
    assert sample(notifier.services, "carillon_notifications_written_total") == 2


async def test_facts_that_concern_nobody_touch_nothing() -> None:
    notifier = Notifier()
    assert await notify(notifier.services, [an_event(TaskEventKind.STARTED)], notifier.metrics) == 0
    assert notifier.notifications.faults.calls == []


async def test_of_what_was_written_before_nobody_is_told_again() -> None:
    notifier = Notifier()
    event = an_event()
    await notify(notifier.services, [event], notifier.metrics)
    await notify(notifier.services, [event], notifier.metrics)
    assert notifier.signals.count(Signal.NOTIFICATIONS) == 1


async def test_an_outage_is_the_brokers_to_wait_out() -> None:
    notifier = Notifier()
    notifier.notifications.faults.down = True
    with pytest.raises(Unavailable):
        await notify(notifier.services, [an_event()], notifier.metrics)


async def test_it_consumes_under_its_name_until_it_is_stopped() -> None:
    notifier, stop = Notifier(), Stop()
    notifier.events.faults.plan("consume", Unavailable("RabbitMQ"))
    async with asyncio.TaskGroup() as group:
        group.create_task(run_notifier(notifier.services, stop, notifier.metrics))
        await until(lambda: CONSUMER in notifier.events.handlers)
        await notifier.events.handlers[CONSUMER]([an_event()])
        stop.ask()
    assert len(notifier.notifications.drafts) == 1
    assert notifier.events.handlers == {}
