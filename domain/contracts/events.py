"""Every fact there is."""

from __future__ import annotations

from domain.contracts.schedules import ScheduleMisfiredV1
from domain.contracts.tasks import TaskChangedV1

Event = TaskChangedV1 | ScheduleMisfiredV1
