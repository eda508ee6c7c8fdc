"""A runner on an engine in memory, under a lease, and handlers for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from domain.actions.model import Call, Outcome, Succeeded
from domain.actions.ports import Reporter
from jobs.metrics import JobMetrics
from jobs.runner import Runner, open_runner
from tests.support.engine_fakes import (
    FakeEngine,
    FakeHandlerRunner,
    FakeWebhooks,
    Script,
    ids,
    sample,
    services_of,
    settings_of,
)
from tests.support.live_fakes import FakeSignals


class Work:
    """An engine, and a worker of it under a lease."""

    def __init__(self, scripts: dict[str, Script] | None = None, *, slots: int = 10, **settings: float) -> None:
        self.engine, self.signals, self.webhooks = FakeEngine(), FakeSignals(), FakeWebhooks()
        self.handlers = FakeHandlerRunner({"echo": echo, **(scripts or {})})
        self.services = services_of(
            self.engine,
            settings_of(worker_slots=slots, flush_interval=0.001, **settings),
            signals=self.signals,
            handler_runner=self.handlers,
            webhooks=self.webhooks,
        )
        self.metrics = JobMetrics(self.services.metrics, ("acme",))
        self.slots = slots
        self.worker: UUID | None = None

    @asynccontextmanager
    async def runner(self) -> AsyncIterator[Runner]:
        async with open_runner(self.services, self.metrics, lambda: 0.5) as runner:
            self.begin(runner)
            yield runner
            await runner.drain(0)

    def begin(self, runner: Runner) -> None:
        self.worker = ids.next()
        self.engine.leases[self.worker] = (self.slots, False)
        runner.begin(self.worker)

    def state(self, task: UUID) -> str:
        return self.engine.rows[task].state

    def ended(self, outcome: str) -> float:
        return sample(self.services, "carillon_attempts_total", outcome=outcome)


async def echo(call: Call, reporter: Reporter) -> Outcome:
    return Succeeded("echo")


def raising(fault: BaseException) -> Script:
    async def handler(call: Call, reporter: Reporter) -> Outcome:
        raise fault

    return handler


def answering(outcome: Outcome) -> Script:
    async def handler(call: Call, reporter: Reporter) -> Outcome:
        return outcome

    return handler
