"""Live changes of tasks: fans the events this process hears out to those who watch."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from prometheus_client import CollectorRegistry, Counter, Gauge

from domain.contracts.events import Event
from domain.contracts.tasks import TaskChangedV1
from infra.live.mailbox import Mailbox

REMEMBERED = 10_000
"""Tasks whose newest version is remembered, so that a repeated event does not take a watcher back in time."""


class LiveTaskFeed:
    """See `domain.live.ports.TaskFeed`."""

    def __init__(self, backlog: int, registry: CollectorRegistry) -> None:
        self._backlog = backlog
        self._mailboxes: dict[str, set[Mailbox[TaskChangedV1]]] = {}
        self._versions: OrderedDict[UUID, int] = OrderedDict()
        self._watchers = Gauge("carillon_task_feed_watchers", "Those who watch tasks now.", registry=registry)
        self._resyncs = Counter(
            "carillon_task_feed_resyncs",
            "Watchers ended because they fell behind, or because events were missed.",
            registry=registry,
        )

    def hear(self, event: Event) -> None:
        """Of all events, those of tasks."""
        if isinstance(event, TaskChangedV1):
            self.publish(event)

    def publish(self, event: TaskChangedV1) -> None:
        """Events that are not newer than one heard of the same task are dropped."""
        if not self._is_news(event):
            return
        for mailbox in self._mailboxes.get(event.tenant, ()):
            if not mailbox.offer(event):
                self._resyncs.inc()

    def miss(self) -> None:
        """Events may have been lost before they came here: everyone who watches has to read again."""
        for mailboxes in self._mailboxes.values():
            for mailbox in mailboxes:
                mailbox.overflow()
                self._resyncs.inc()

    @asynccontextmanager
    async def watch(self, tenant: str) -> AsyncIterator[AsyncIterator[TaskChangedV1]]:
        mailbox = Mailbox[TaskChangedV1](self._backlog)
        mailboxes = self._mailboxes.setdefault(tenant, set())
        mailboxes.add(mailbox)
        self._watchers.inc()
        try:
            yield Watching(mailbox)
        finally:
            self._watchers.dec()
            mailboxes.discard(mailbox)
            if not mailboxes:
                self._mailboxes.pop(tenant, None)

    def _is_news(self, event: TaskChangedV1) -> bool:
        known = self._versions.get(event.task_id, 0)
        if event.version <= known:
            return False
        self._versions[event.task_id] = event.version
        self._versions.move_to_end(event.task_id)
        if len(self._versions) > REMEMBERED:
            self._versions.popitem(last=False)
        return True


class Watching:
    def __init__(self, mailbox: Mailbox[TaskChangedV1]) -> None:
        self._mailbox = mailbox

    def __aiter__(self) -> Watching:
        return self

    async def __anext__(self) -> TaskChangedV1:
        return await self._mailbox.take()
