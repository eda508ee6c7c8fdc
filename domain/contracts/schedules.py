"""Facts about schedules. Written by the transaction that fires, read by the notifier."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleMisfiredV1:
    """Fire times passed while nothing ran, and the misfire policy made no task for them."""

    type: ClassVar[str] = "schedule.misfired.v1"

    tenant: str
    schedule_id: UUID
    revision: int
    name: str
    owner: str | None
    dropped: int
    exact: bool
    """False when there were at least so many."""
    until: datetime
    """The last fire time that was settled then."""
    at: datetime
    traceparent: str

    @property
    def event_id(self) -> str:
        """The same however often it is delivered: a fire time is settled once."""
        return f"{self.schedule_id}:{self.revision}:{self.until.isoformat()}"

    def to_wire(self) -> dict[str, Any]:
        return {
            "type": self.type,
            "tenant": self.tenant,
            "schedule_id": str(self.schedule_id),
            "revision": self.revision,
            "name": self.name,
            "owner": self.owner,
            "dropped": self.dropped,
            "exact": self.exact,
            "until": self.until.isoformat(),
            "at": self.at.isoformat(),
            "traceparent": self.traceparent,
        }
