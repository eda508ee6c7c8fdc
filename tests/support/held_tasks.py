"""Tasks whose adding stands still until a test lets it go on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from typing_extensions import override

from domain.clock import Clock
from domain.tasks.model import Task
from domain.tasks.ports import Added
from tests.support.stores import StoredTasks


class HeldTasks(StoredTasks):
    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.go = asyncio.Event()
        self.fault: Exception | None = None
        """What comes of it, if not a task."""

    @override
    async def add(self, tasks: Sequence[Task]) -> list[Added]:
        self.calls.append("began")
        await self.go.wait()
        if self.fault is not None:
            raise self.fault
        return await super().add(tasks)
