"""What the use cases of tasks need from storage. Adapters prove themselves in tests/contracts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from domain.contracts.tasks import TaskEventKind
from domain.paging import Page, PageRequest
from domain.tasks.listing import TaskFilter, TaskOrder, TaskPlace
from domain.tasks.model import Task


@dataclass(frozen=True, slots=True)
class Added:
    task: Task
    created: bool
    """False when the key already named this task."""


Change = Callable[[Task, datetime], Task]
"""A pure change of a task at the database's now. Returning the task itself changes nothing."""


class Tasks(Protocol):
    """Every write stores the row and its event in one transaction."""

    async def add(self, tasks: Sequence[Task]) -> list[Added]:
        """Of one tenant, all or nothing. Raises Conflict, naming the first, when a key names another content.

        The path of that error is the index of the new task: `("3", "key")`.
        """
        ...

    async def find(self, tenant: str, ids: Sequence[UUID]) -> list[Task | None]:
        """One answer for each id, in the order asked."""
        ...

    async def find_by_key(self, tenant: str, key: str) -> Task | None: ...

    async def page(
        self,
        tenant: str,
        wanted: TaskFilter,
        order: TaskOrder,
        request: PageRequest[TaskPlace],
        reading: frozenset[str] | None = None,
    ) -> Page[Task]:
        """`reading` names the attributes of the tasks that will be read, beside their id and what they are
        ordered by: others may be missing, and raise AttributeError. None is all of them."""
        ...

    async def count(self, tenant: str, wanted: TaskFilter, limit: int) -> int | None:
        """How many there are; None when more than `limit`."""
        ...

    async def change(
        self,
        tenant: str,
        id: UUID,
        change: Change,
        kind: TaskEventKind,
        *,
        version: int | None = None,
        owner: str | None = None,
    ) -> Task:
        """Apply `change` under the row's lock; its event has this kind, or CANCELLED when that ended it.

        Raises NotFound (also for another owner's task, when `owner` is given), StaleVersion when
        `version` is not the stored one, and what `change` raises.
        """
        ...

    async def delete(
        self, tenant: str, id: UUID, *, version: int | None = None, owner: str | None = None
    ) -> None:
        """With its attempts. Raises as `change` does, and IllegalState for a running task."""
        ...
