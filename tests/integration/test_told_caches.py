"""Who tells the cache of what, as a process is put together."""

from __future__ import annotations

import pytest

from domain.tasks.bulk import BulkChange
from domain.tasks.listing import TaskFilter
from domain.tasks.states import TaskState
from infra.bootstrap import open_services
from infra.cache import forgetting
from infra.settings import Settings
from tests.support.storage import a_task

SCHEDULED = TaskFilter(states=(TaskState.SCHEDULED,))

pytestmark = pytest.mark.postgres


async def test_who_cancels_many_reads_them_cancelled(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forgetting, "GATHER", 3_600)
    task = a_task()
    async with open_services(Settings.model_validate({"database_url": database_url})) as services:
        await services.tasks.add([task])
        await services.bulk_tasks.change("acme", BulkChange.CANCEL, SCHEDULED, 10)
        (found,) = await services.tasks.find("acme", [task.id])
    assert found is not None
    assert found.state is TaskState.CANCELLED
