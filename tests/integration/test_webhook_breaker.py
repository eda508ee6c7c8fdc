"""A host that keeps failing is left alone: its tasks wait without using attempts, other hosts go on."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import httpcore2
import pytest
from prometheus_client import CollectorRegistry

from domain.actions.model import Call, Failed, Http, Outcome, Snoozed, Succeeded
from domain.attempts.model import AttemptState, settle
from domain.resilience.breaker import BreakerPolicy
from domain.tasks.states import TaskState
from infra.encryption.headers import HeaderSeals
from infra.encryption.keys import KeyRing
from infra.http.breaking import MOST_PUT_OFF, HostBreakers
from infra.http.client import HttpWebhooks
from infra.http.destination import Rules
from infra.http.signing import Signer
from infra.system import draw
from tests.support.breakers import a_board
from tests.support.storage import Storage, a_task
from tests.support.waiting import until
from tests.support.webhook_receiver import CALL, Receiver, Told, receiving, settings, status

POLICY = BreakerPolicy(failures=3, first_pause=60)


class Sending:
    """A worker's webhooks, with a breaker that opens soon."""

    def __init__(self, policy: BreakerPolicy = POLICY) -> None:
        self.clock = Told()
        self.registry = CollectorRegistry()
        given = settings()
        self.webhooks = HttpWebhooks(
            Rules(given.http_allow_insecure, given.http_allowed_networks),
            _numbers_alone,
            httpcore2.AnyIOBackend(),
            signer=Signer(None),
            seals=HeaderSeals(KeyRing()),
            breakers=HostBreakers(self.clock, draw, self.registry, policy, a_board(registry=self.registry)),
            clock=self.clock,
            timeout=5,
            registry=self.registry,
        )

    async def to(self, receiver: Receiver, call: Call = CALL) -> Outcome:
        return await self.webhooks.send(Http(url=receiver.url), call)

    def figure(self, figure: str, **labels: str) -> float:
        return self.registry.get_sample_value(figure, labels) or 0.0


async def _numbers_alone(host: str, port: int) -> list[str]:
    return [host]


DOWN = status("503 Service Unavailable")


async def test_after_so_many_failures_the_host_is_not_called_and_no_attempt_is_used() -> None:
    sending = Sending()
    async with receiving(DOWN) as down, receiving() as up:
        for _ in range(3):
            assert isinstance(await sending.to(down), Failed)
        outcome = await sending.to(down)
        assert isinstance(outcome, Snoozed)
        wait = outcome.until - sending.clock.now()
        assert timedelta(seconds=59) < wait <= timedelta(seconds=120)
        assert outcome.because is not None
        assert outcome.because.message == "127.0.0.1 failed many times in a row: it was not called"
        assert (down.connections, up.connections) == (3, 0)
        assert isinstance(await sending.to(up), Succeeded), "another origin is not concerned"
        other = replace(CALL, tenant="other")
        assert isinstance(await sending.to(down, other), Failed), "nor is another tenant"
    assert sending.figure("carillon_webhook_breakers_open") == 1
    assert sending.figure("carillon_breaker_open", name="webhooks") == 1
    assert sending.figure("carillon_breaker_changes_total", name="webhooks", to="open") == 1
    assert sending.figure("carillon_webhooks_total", outcome="put_off") == 1
    assert sending.figure("carillon_webhooks_total", outcome="failed") == 4


@pytest.mark.parametrize(
    "line", ["429 Too Many", "404 Not Found", "410 Gone", "302 Found", "400 Bad Request", "200 OK"]
)
async def test_a_host_that_answers_is_called_whatever_it_says(line: str) -> None:
    sending = Sending()
    async with receiving(status(line)) as receiver:
        for _ in range(6):
            assert not isinstance(await sending.to(receiver), Snoozed)
    assert receiver.connections == 6


async def test_a_closed_port_and_a_blocked_address_are_told_apart() -> None:
    sending = Sending()
    async with receiving() as receiver:
        closed = Receiver(receiver.write, receiver.port)
    for _ in range(3):
        await sending.to(closed)
    assert isinstance(await sending.to(closed), Snoozed)
    for _ in range(6):
        outcome = await sending.webhooks.send(Http(url="http://10.0.0.1/"), CALL)
        assert isinstance(outcome, Failed)
        assert outcome.type == "ForbiddenUrl"
    assert sending.figure("carillon_webhooks_total", outcome="blocked") == 6


async def test_one_trial_is_made_when_the_pause_is_over_and_its_success_lets_everyone_through() -> None:
    sending = Sending(BreakerPolicy(failures=2, first_pause=0.05, successes=1))
    answers = [DOWN, DOWN, status("200 OK")]
    held = asyncio.Event()

    async def answer(writer: asyncio.StreamWriter) -> None:
        if len(answers) == 1:
            await held.wait()
        writer.write(answers.pop(0) if len(answers) > 1 else answers[0])
        await writer.drain()

    async with receiving(answer) as receiver:
        await sending.to(receiver)
        await sending.to(receiver)
        await asyncio.sleep(0.06)
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(sending.to(receiver)) for _ in range(20)]
            await until(lambda: sum(call.done() for call in calls) == 19 and receiver.connections == 3)
            held.set()
        kinds = Counter(type(call.result()) for call in calls)
        assert kinds == {Snoozed: 19, Succeeded: 1}
        assert isinstance(await sending.to(receiver), Succeeded)


async def test_a_trial_that_is_cancelled_does_not_keep_the_others_away() -> None:
    sending = Sending(BreakerPolicy(failures=1, first_pause=0.01, successes=1))
    started, over = asyncio.Event(), asyncio.Event()

    async def hang(writer: asyncio.StreamWriter) -> None:
        started.set()
        await over.wait()

    async with receiving(DOWN) as receiver:
        await sending.to(receiver)
        receiver.write = hang
        await asyncio.sleep(0.02)
        async with asyncio.TaskGroup() as group:
            trial = group.create_task(sending.to(receiver))
            await started.wait()
            trial.cancel()

        async def fine(writer: asyncio.StreamWriter) -> None:
            writer.write(status("200 OK"))

        receiver.write = fine
        assert isinstance(await sending.to(receiver), Succeeded)
        over.set()


async def test_a_host_that_stays_down_uses_up_attempts_in_the_end() -> None:
    sending = Sending()
    async with receiving(DOWN) as receiver:
        for _ in range(3):
            await sending.to(receiver)
        assert isinstance(await sending.to(receiver, replace(CALL, put_off=MOST_PUT_OFF - 1)), Snoozed)
        outcome = await sending.to(receiver, replace(CALL, put_off=MOST_PUT_OFF))
    assert isinstance(outcome, Failed)
    assert (outcome.type, outcome.retryable) == ("HostDown", True)
    assert outcome.after is not None
    assert outcome.after >= 59
    assert receiver.connections == 3


async def test_a_storm_is_spread_evenly_and_dials_once_in_a_pause() -> None:
    """Experiment 40, scaled: five thousand tasks of a host that is down."""
    sending = Sending(BreakerPolicy(failures=10, first_pause=300))
    async with receiving(DOWN) as receiver:
        outcomes = [await sending.to(receiver) for _ in range(5_000)]
        now = sending.clock.now()
    assert receiver.connections == 10
    waits = [each.until - now for each in outcomes if isinstance(each, Snoozed)]
    assert len(waits) == 4_990
    per_bucket = Counter(int(wait.total_seconds() // 30) for wait in waits)
    mean = len(waits) / 10  # 300 seconds of spread, in tens
    assert max(per_bucket.values()) <= 2 * mean


@pytest.mark.postgres
async def test_the_history_says_why_an_attempt_was_put_off(storage: Storage) -> None:
    worker = await storage.a_worker()
    (started,) = await storage.started(worker, a_task(action=Http(url="https://down.example.com/")))
    because = Failed(type="HostDown", message="down.example.com failed many times in a row: it was not called")
    later = Told().now() + timedelta(minutes=1)
    await storage.attempts.finish(worker, [settle(started, Snoozed(later, because), 0)])
    task = await storage.task(started.task_id)
    assert (task.state, task.scheduled_at, task.uncounted_attempts) == (TaskState.RETRYING, later, 1)
    ((attempt,),) = await storage.attempts.history("acme", [started.task_id], 9)
    assert (attempt.state, attempt.error_type) == (AttemptState.SNOOZED, "HostDown")
    assert attempt.error_message == because.message
