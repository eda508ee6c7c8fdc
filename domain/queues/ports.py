"""What the use cases of queues need from storage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from domain.queues.model import Queue, QueueEdit


class Queues(Protocol):
    async def all(
        self, tenant: str, limit: int, names: Sequence[str] | None = None, *, figures: bool = True
    ) -> list[Queue]:
        """Every queue in which a task waits or runs, or for which something is set, up to `limit`, by name.

        With `names` none but these. To read the figures, what waits and runs, is what is dear: without
        `figures` they are 0.
        """
        ...

    async def find(self, tenant: str, name: str) -> Queue:
        """An idle one without limits when nothing is known of it."""
        ...

    async def change(self, tenant: str, name: str, edit: QueueEdit, limit: int) -> None:
        """Once this returns, no claim follows other settings.

        Raises TooMany when something would be set for more than `limit` queues of the tenant.
        """
        ...
