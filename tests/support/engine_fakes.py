"""The ports of the engine in memory, with faults on demand: for stepping the jobs' loops."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from prometheus_client import CollectorRegistry

from domain.actions.model import Action, Call, Http, Notify, Outcome, Run, Succeeded
from domain.actions.ports import Reporter
from domain.attempts.activity import LogLine, LogPlace, NewLine, ProgressReport, Recent
from domain.attempts.model import Attempt, Progress, Settled, Started
from domain.attempts.ports import Beat, Claimed
from domain.attempts.retry import RetryPolicy
from domain.contracts.tasks import TaskChangedV1, TaskEventKind
from domain.retention.ports import AttemptDays
from domain.schedules.ports import Fired
from domain.tasks.states import TaskState
from infra.bootstrap import Services
from infra.settings import Settings
from infra.system import SystemClock, TimeOrderedIds
from tests.support.live_fakes import (
    FakeEvents,
    FakeHandOver,
    FakeNotifications,
    FakeOutbox,
    FakeSignals,
    Faults,
)

NOON = datetime(2030, 6, 1, 12, tzinfo=UTC)
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

ids = TimeOrderedIds()


@dataclass
class FakeFiring:
    """Answers what the test planned, then that nothing is due."""

    faults: Faults = field(default_factory=Faults)
    planned: list[Fired] = field(default_factory=list)
    held: list[Fired] = field(default_factory=list)
    moved: list[int] = field(default_factory=list)
    due_in: list[float] = field(default_factory=list)
    """Answers to `next_fire_in`; then there is no next."""

    async def fire(self, limit: int) -> Fired:
        self.faults.before("fire")
        return self.planned.pop(0) if self.planned else Fired()

    async def release(self, limit: int) -> Fired:
        self.faults.before("release")
        return self.held.pop(0) if self.held else Fired()

    async def replan(self, limit: int) -> int:
        self.faults.before("replan")
        return self.moved.pop(0) if self.moved else 0

    async def next_fire_in(self) -> timedelta | None:
        self.faults.before("next_fire_in")
        return timedelta(seconds=self.due_in.pop(0)) if self.due_in else None


@dataclass
class Row:
    id: UUID
    action: Action
    due: float
    timeout: float
    state: str = "SCHEDULED"
    fence: int = 0
    attempt: int = 0
    worker: UUID | None = None
    cancel_requested: bool = False
    limited: bool = False
    outcomes: list[tuple[int, str]] = field(default_factory=list)
    """(fence, state of the task) of every recorded attempt."""
    progress: list[tuple[float, str | None]] = field(default_factory=list)
    log: list[NewLine] = field(default_factory=list)
    result: Any = None


class FakeEngine:
    """DueTasks, Attempts, Activity, Workers and Rescue on one dict, by a clock that only the test moves."""

    def __init__(self, slots: int | None = None) -> None:
        self.faults = Faults()
        self.now = 0.0
        self.rows: dict[UUID, Row] = {}
        self.leases: dict[UUID, tuple[int, bool]] = {}
        """Slots, and whether it drains, of each live worker."""
        self.entered: list[UUID] = []
        self.left: list[UUID] = []
        self.finishes: list[int] = []
        self.starts: list[list[UUID]] = []
        self.locked_elsewhere = False
        self.hang: asyncio.Event | None = None
        """While it is there and not set, beats are not answered."""
        self.lost: dict[str, list[int]] = {}
        self._slots = slots

    def add(
        self, action: Action | None = None, *, due: float = 0.0, timeout: float = 60.0, state: str = "SCHEDULED"
    ) -> UUID:
        row = Row(ids.next(), action or Notify(), due, timeout, state)
        self.rows[row.id] = row
        return row.id

    def add_run(self, handler: str, **rest: Any) -> UUID:
        return self.add(Run(handler=handler, payload={}), state="QUEUED", **rest)

    def states(self, *tasks: UUID) -> list[str]:
        return [self.rows[task].state for task in tasks or self.rows]

    def lapse(self) -> None:
        """Every lease is over."""
        self.leases.clear()

    async def room(self) -> int:
        self.faults.before("room")
        return self._room()

    def _room(self) -> int:
        if self._slots is not None:
            return self._slots
        slots = sum(slots for slots, draining in self.leases.values() if not draining)
        return max(0, slots - sum(row.state in ("QUEUED", "RUNNING") for row in self.rows.values()))

    def _workers(self) -> int:
        return sum(not draining for _, draining in self.leases.values())

    async def claim(self, limit: int) -> Claimed:
        self.faults.before("claim")
        if self.locked_elsewhere:
            return Claimed([], self._room(), self._workers())
        due = sorted((row for row in self._claimable() if row.due <= self.now), key=lambda row: row.due)
        claimed = due[: min(limit, self._room())]
        for row in claimed:
            row.state = "QUEUED"
        next_due = min((row.due for row in self._claimable()), default=self.now + 3600)
        return Claimed(
            [row.id for row in claimed],
            self._room(),
            self._workers(),
            timedelta(seconds=next_due - self.now),
        )

    async def take_back(self, ids: Sequence[UUID]) -> None:
        self.faults.before("take_back")
        for id in ids:
            if self.rows[id].state == "QUEUED":
                self.rows[id].state = "SCHEDULED"

    async def next_due_in(self) -> timedelta | None:
        self.faults.before("next_due_in")
        dues = [row.due for row in self._claimable()]
        return timedelta(seconds=min(dues) - self.now) if dues else None

    async def tend(self) -> int:
        return self._rescued("tend")

    async def start(self, worker: UUID, ids: Sequence[UUID]) -> list[Started]:
        self.faults.before("start")
        await asyncio.sleep(0)
        self.starts.append(list(ids))
        if worker not in self.leases:
            return []
        started = []
        for row in (self.rows[id] for id in dict.fromkeys(ids) if id in self.rows):
            if row.state == "QUEUED":
                row.state, row.worker = "RUNNING", worker
                row.fence += 1
                row.attempt += 1
            if row.state == "RUNNING" and row.worker == worker:
                started.append(_started(row))
        self.faults.after("start")
        return started

    async def finish(self, worker: UUID, settled: Sequence[Settled]) -> frozenset[UUID]:
        self.faults.before("finish")
        await asyncio.sleep(0)
        if any("\0" in str(one.result) for one in settled):
            raise ValueError("unsupported Unicode escape sequence")
        recorded = set()
        for one in settled:
            row = self.rows[one.task_id]
            if (row.state, row.worker, row.fence) != ("RUNNING", worker, one.fence):
                continue
            row.state, row.worker, row.result = one.task_state.value, None, one.result
            row.outcomes.append((one.fence, one.attempt_state.value))
            if one.due_in is not None:
                row.due = self.now + one.due_in.total_seconds()
            recorded.add(one.task_id)
        self.finishes.append(len(settled))
        self.faults.after("finish")
        return frozenset(recorded)

    async def hand_back(self, worker: UUID, fences: Sequence[tuple[UUID, int]]) -> None:
        self.faults.before("hand_back")
        for id, fence in fences:
            row = self.rows[id]
            if (row.state, row.worker, row.fence) == ("RUNNING", worker, fence):
                row.state, row.worker = "SCHEDULED", None
                row.attempt -= 1

    async def write_progress(self, worker: UUID, reports: Sequence[ProgressReport]) -> None:
        self.faults.before("write_progress")
        for each in reports:
            row = self.rows[each.task_id]
            if row.fence == each.fence and row.worker == worker:
                row.progress.append((each.fraction, each.message))

    async def write_log(self, lines: Sequence[NewLine]) -> int:
        self.faults.before("write_log")
        written = [each for each in lines if self.rows[each.task_id].fence == each.place.fence]
        for each in written:
            self.rows[each.task_id].log.append(each)
        self.faults.after("write_log")
        return len(written)

    async def progress(self, tenant: str, task_ids: Sequence[UUID]) -> list[Progress | None]:
        raise NotImplementedError

    async def log(self, tenant: str, task_ids: Sequence[UUID], last: int) -> list[list[LogLine]]:
        raise NotImplementedError

    async def recent(self, tenant: str, task_id: UUID, after: LogPlace | None) -> Recent | None:
        raise NotImplementedError

    async def history(
        self, tenant: str, task_ids: Sequence[UUID], first: int, after: int = 0
    ) -> list[list[Attempt]]:
        raise NotImplementedError

    async def find(self, tenant: str, keys: Sequence[tuple[UUID, int]]) -> list[Attempt | None]:
        raise NotImplementedError

    async def enter(self, worker: UUID, name: str, slots: int, lease: timedelta) -> None:
        self.faults.before("enter")
        self.leases[worker] = (slots, False)
        self.entered.append(worker)

    async def beat(self, worker: UUID, lease: timedelta, *, draining: bool = False) -> Beat:
        self.faults.before("beat")
        if self.hang is not None:
            await self.hang.wait()
        if worker not in self.leases:
            return Beat(alive=False, cancel_requested=frozenset())
        self.leases[worker] = (self.leases[worker][0], draining)
        asked = {row.id for row in self.rows.values() if row.worker == worker and row.cancel_requested}
        return Beat(alive=True, cancel_requested=frozenset(asked))

    async def leave(self, worker: UUID) -> None:
        self.faults.before("leave")
        self.leases.pop(worker, None)
        self.left.append(worker)

    async def lost_attempts(self, limit: int) -> int:
        return self._rescued("lost_attempts")

    async def lost_hand_overs(self, older_than: timedelta, limit: int) -> int:
        return self._rescued("lost_hand_overs")

    async def deaf_cancellations(self, older_than: timedelta, limit: int) -> int:
        return self._rescued("deaf_cancellations")

    def _rescued(self, kind: str) -> int:
        self.faults.before(kind)
        planned = self.lost.get(kind)
        return planned.pop(0) if planned else 0

    def _claimable(self) -> list[Row]:
        return [row for row in self.rows.values() if row.state in ("SCHEDULED", "RETRYING")]


class FakeRetention:
    """There is as much to remove as the test says, by the name of the call."""

    def __init__(self) -> None:
        self.faults = Faults()
        self.old: dict[str, list[int]] = {}
        self.calls: list[tuple[str, timedelta]] = []
        self.days = AttemptDays(made=0, moved=0, removed=0, put_off=0)

    async def prune_tasks(self, state: TaskState, older_than: timedelta, limit: int) -> int:
        return self._pruned(state.value, older_than)

    async def prune_notifications(self, older_than: timedelta, limit: int) -> int:
        return self._pruned("notifications", older_than)

    async def prune_audit_log(self, older_than: timedelta, limit: int) -> int:
        return self._pruned("audit_log", older_than)

    async def prune_attempts(self, older_than: timedelta) -> AttemptDays:
        self._pruned("attempts", older_than)
        return self.days

    def _pruned(self, what: str, older_than: timedelta) -> int:
        self.calls.append((what, older_than))
        self.faults.before(what)
        planned = self.old.get(what)
        return planned.pop(0) if planned else 0


def _started(row: Row) -> Started:
    return Started(
        task_id=row.id,
        tenant="acme",
        number=row.attempt,
        counted=row.attempt,
        fence=row.fence,
        action=row.action,
        retry=RetryPolicy(max_attempts=2),
        timeout=timedelta(seconds=row.timeout),
        due_at=NOON,
        queued_at=NOON + timedelta(milliseconds=1),
        started_at=NOON + timedelta(milliseconds=3),
        traceparent=TRACEPARENT,
        limited=row.limited,
    )


Script = Callable[[Call, Reporter], Awaitable[Outcome]]


class FakeHandlerRunner:
    """Runs what the test says for the handler's name."""

    def __init__(self, scripts: dict[str, Script]) -> None:
        self.scripts = scripts
        self.calls: list[Call] = []

    async def run(self, run: Run, call: Call, reporter: Reporter) -> Outcome:
        self.calls.append(call)
        return await self.scripts[run.handler](call, reporter)


class FakeWebhooks:
    def __init__(self) -> None:
        self.sent: list[Call] = []

    async def check(self, http: Http) -> None:
        return None

    async def send(self, http: Http, call: Call) -> Outcome:
        self.sent.append(call)
        return Succeeded({"status": 204})


class Handler:
    """A handler that runs until the test lets it go."""

    def __init__(self, outcome: Outcome | None = None, *, deaf: bool = False) -> None:
        self.outcome = outcome or Succeeded("done")
        self.deaf = deaf
        self.running = 0
        self.asked = 0
        self.gate = asyncio.Event()

    async def __call__(self, call: Call, reporter: Reporter) -> Outcome:
        self.running += 1
        try:
            while not self.gate.is_set():
                try:
                    await self.gate.wait()
                except asyncio.CancelledError:
                    self.asked += 1
                    if not self.deaf:
                        raise
            return self.outcome
        finally:
            self.running -= 1


class _Missing:
    def __init__(self, name: str) -> None:
        self._missing = name

    def __getattr__(self, attribute: str) -> object:
        raise AssertionError(f"{self._missing}.{attribute} is not part of this test")


def services_of(engine: FakeEngine | None = None, settings: Settings | None = None, **parts: Any) -> Services:
    """Services with these parts; any other fails the test that touches it."""
    engine = engine or FakeEngine()
    given: dict[str, Any] = {
        "settings": settings or settings_of(),
        "clock": SystemClock(),
        "ids": TimeOrderedIds(),
        "metrics": CollectorRegistry(),
        "due_tasks": engine,
        "attempts": engine,
        "activity": engine,
        "rescue": engine,
        "firing": FakeFiring(),
        "retention": FakeRetention(),
        "outbox": FakeOutbox(),
        "notifications": FakeNotifications(),
        "signals": FakeSignals(),
        "hand_over": FakeHandOver(),
        "forget": _nothing,
        "events": FakeEvents(),
        "handler_runner": FakeHandlerRunner({}),
        "webhooks": FakeWebhooks(),
    } | parts
    for part in fields(Services):
        given.setdefault(part.name, _Missing(part.name))
    return Services(**given)


async def _nothing(events: Sequence[TaskChangedV1]) -> None:
    return None


def settings_of(**changes: Any) -> Settings:
    return Settings(**changes)


def an_event(kind: TaskEventKind = TaskEventKind.SUCCEEDED, **changes: Any) -> TaskChangedV1:
    event: dict[str, Any] = {
        "kind": kind,
        "tenant": "acme",
        "task_id": ids.next(),
        "version": 4,
        "state": kind.value,
        "attempt": 1,
        "at": NOON,
        "scheduled_at": NOON,
        "title": "Water the plants",
        "owner": "ann",
        "queue": "default",
        "labels": (),
        "action_kind": "NOTIFY",
        "body": "The ferns too",
        "error_type": None,
        "error_message": None,
        "traceparent": TRACEPARENT,
    }
    return TaskChangedV1(**(event | changes))


def sample(services: Services, name: str, **labels: str) -> float:
    """A figure of the registry; 0 when it has not been counted yet."""
    return services.metrics.get_sample_value(name, labels) or 0.0


def logged(records: Iterable[Any], text: str) -> int:
    return sum(text in record.getMessage() for record in records)
