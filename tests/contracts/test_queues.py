"""What may be set for a queue, that claims keep to it however many there are, and what is told of a queue."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from domain.errors import TooMany
from domain.queues.model import Queue, QueueEdit
from infra.postgres.claiming import BEGIN_LOCKED
from tests.support.claiming import at_work, done, pass_time, schedulers, set_queue
from tests.support.storage import Storage, a_task, due_in

pytestmark = pytest.mark.postgres


async def test_nothing_of_a_paused_queue_is_claimed_until_it_is_resumed(storage: Storage) -> None:
    await storage.a_worker()
    (here,) = await storage.added(due_in(-5, queue="here"))
    await set_queue(storage, "here", paused=True)
    assert await storage.claimed(10) == []
    assert await storage.due_tasks.next_due_in() is None
    (there,) = await storage.added(due_in(-4, queue="there"))
    (others,) = await storage.added(due_in(-4, queue="here", tenant="other"))
    assert set(await storage.claimed(10)) == {there, others}
    await set_queue(storage, "here", paused=False)
    assert await storage.claimed(10) == [here]


async def test_once_a_pause_is_set_nothing_more_is_claimed_however_many_do(storage: Storage) -> None:
    await storage.a_worker(slots=10_000)
    await storage.added(*(due_in(-5) for _ in range(200)))
    paused = asyncio.Event()

    async def claims_on(scheduler: object) -> None:
        rest = 5
        while rest:
            await scheduler.claim(1)  # type: ignore[attr-defined]  # a PostgresDueTasks
            rest -= paused.is_set()

    async with asyncio.TaskGroup() as group:
        for one in schedulers(storage, 5):
            group.create_task(claims_on(one))
        await set_queue(storage, "default", paused=True)
        claimed = len(await at_work(storage))
        paused.set()
    assert len(await at_work(storage)) == claimed
    assert claimed < 200


async def test_whatever_fails_under_the_lock_of_claims_gives_it_back(storage: Storage) -> None:
    await storage.a_worker()
    (due,) = await storage.added(due_in(-5))
    with pytest.raises(ZeroDivisionError):
        async with storage.database.begun("test", BEGIN_LOCKED):
            raise ZeroDivisionError
    assert await storage.claimed(10) == [due]


async def test_no_more_of_a_queue_are_in_flight_than_its_concurrency(storage: Storage) -> None:
    worker = await storage.a_worker(slots=1_000)
    await set_queue(storage, "narrow", concurrency=3)
    await storage.added(*(due_in(-5, queue="narrow", priority=n % 4) for n in range(20)))
    await storage.added(*(due_in(-5, queue="wide") for _ in range(20)))
    many = schedulers(storage, 6)
    for left in range(20, 0, -3):
        claimed = [id for claim in await asyncio.gather(*(one.claim(20) for one in many)) for id in claim.ids]
        narrow = await at_work(storage, queue="narrow")
        assert len(narrow) == min(3, left)
        assert await storage.claimed(20) == []
        await done(storage, worker, claimed)
    assert await at_work(storage) == []


async def test_what_runs_counts_against_the_concurrency_as_what_is_handed_over_does(storage: Storage) -> None:
    worker = await storage.a_worker()
    await set_queue(storage, "q", concurrency=2)
    one, two, three = await storage.added(*(due_in(-5 + n, queue="q") for n in range(3)))
    assert await storage.claimed(10) == [one, two]
    await storage.attempts.start(worker, [one])
    assert await storage.claimed(10) == []
    assert await storage.due_tasks.next_due_in() is None, "it is held back: no reason to look again at once"
    await done(storage, worker, [one])
    assert await storage.claimed(10) == [three]


async def test_who_is_told_of_an_end_knows_that_others_may_have_waited_for_it(storage: Storage) -> None:
    worker = await storage.a_worker()
    await set_queue(storage, "narrow", concurrency=2)
    free, keyed, narrow = await storage.started(
        worker, due_in(-5), due_in(-5, concurrency_key="k"), due_in(-5, queue="narrow")
    )
    assert (free.limited, keyed.limited, narrow.limited) == (False, True, True)


async def test_a_limit_that_is_raised_lowered_or_removed_holds_from_the_next_claim_on(storage: Storage) -> None:
    await storage.a_worker(slots=100)
    await storage.added(*(due_in(-5, queue="q") for _ in range(20)))
    await set_queue(storage, "q", concurrency=2)
    assert len(await storage.claimed(20)) == 2
    await set_queue(storage, "q", concurrency=5)
    assert len(await storage.claimed(20)) == 3
    await set_queue(storage, "q", concurrency=1)
    assert await storage.claimed(20) == []
    await set_queue(storage, "q", concurrency=None)
    assert len(await storage.claimed(20)) == 15


async def test_a_rate_is_kept_by_many_schedulers_and_refills_with_time(storage: Storage) -> None:
    await storage.a_worker(slots=1_000)
    await storage.added(*(due_in(-5, queue="slow") for _ in range(40)))
    await set_queue(storage, "slow", rate_per_second=5.0)
    many = schedulers(storage, 6)
    await storage.execute("update queues set refilled_at = now() + interval '1 hour'")  # so that none comes in
    claims = await asyncio.gather(*(one.claim(20) for one in many))
    assert sum(len(claim.ids) for claim in claims) == 5, "a second's worth at once"
    wait = await storage.due_tasks.next_due_in()
    assert wait is not None
    assert timedelta(0) < wait <= timedelta(seconds=0.2)
    await storage.execute("update queues set refilled_at = now()")
    await pass_time(storage, 0.5, storage.due_tasks)
    assert 2 <= len(await storage.claimed(20)) <= 4
    await pass_time(storage, 100, storage.due_tasks)
    assert len(await storage.claimed(20)) == 5, "never more than a second's worth"


async def test_a_rate_of_less_than_one_a_second_gives_one_at_a_time(storage: Storage) -> None:
    await storage.a_worker()
    await storage.added(*(due_in(-5, queue="slow") for _ in range(3)))
    await set_queue(storage, "slow", rate_per_second=0.01)
    assert len(await storage.claimed(10)) == 1
    assert await storage.claimed(10) == []
    wait = await storage.due_tasks.next_due_in()
    assert wait is not None
    assert timedelta(seconds=90) < wait <= timedelta(seconds=100)
    await pass_time(storage, 100, storage.due_tasks)
    assert len(await storage.claimed(10)) == 1


async def test_settings_are_kept_one_by_one_and_a_queue_without_any_is_forgotten(storage: Storage) -> None:
    await set_queue(storage, "q", concurrency=3)
    await set_queue(storage, "q", rate_per_second=2.5)
    await set_queue(storage, "q", paused=True)
    assert await storage.queues.all("acme", 10) == [
        Queue(name="q", paused=True, concurrency=3, rate_per_second=2.5)
    ]
    assert await storage.queues.all("other", 10) == []
    await set_queue(storage, "q", concurrency=None, rate_per_second=None)
    assert await storage.queues.find("acme", "q") == Queue(name="q", paused=True)
    await set_queue(storage, "q", paused=False)
    assert await storage.queues.all("acme", 10) == []


async def test_settings_are_bounded_in_number_for_each_tenant(storage: Storage) -> None:
    for name in ("a", "b"):
        await storage.queues.change("acme", name, QueueEdit(paused=True), 2)
    with pytest.raises(TooMany):
        await storage.queues.change("acme", "c", QueueEdit(paused=True), 2)
    await storage.queues.change("acme", "b", QueueEdit(concurrency=1), 2)
    await storage.queues.change("other", "c", QueueEdit(paused=True), 2)


async def test_a_queue_tells_what_waits_and_runs_in_it_and_how_fast_it_goes(storage: Storage) -> None:
    worker = await storage.a_worker(slots=2)
    await storage.added(
        *(due_in(-30, queue="b", priority=n) for n in range(3)), a_task(queue="a", tenant="other")
    )
    await storage.added(due_in(60, queue="a"), due_in(60, queue="b"))
    claimed = await storage.claimed(2)
    queued = await at_work(storage, queue="b", tenant="acme")
    await done(storage, worker, queued)
    a, b = await storage.queues.all("acme", 10)
    assert a == Queue(name="a")
    assert (b.name, b.running, b.depth) == ("b", 0, 3 - len(queued))
    assert 29 < b.oldest_due_seconds < 60
    assert b.finished_per_second == pytest.approx(len(queued) / 60)
    assert len(claimed) == 2
    (again,) = await storage.claimed(1)
    await storage.attempts.start(worker, [again])
    b = await storage.queues.find("acme", "b")
    assert (b.running, b.depth) == (1, 2 - len(queued))
    assert [queue.name for queue in await storage.queues.all("acme", 1)] == ["a"]


async def test_queues_are_told_by_name_and_their_settings_without_their_figures(storage: Storage) -> None:
    await storage.a_worker()
    await storage.added(due_in(-30, queue="a"), due_in(-30, queue="b"), due_in(-30, queue="c"))
    await storage.added(due_in(-30, queue="b", tenant="other"))
    await set_queue(storage, "a", paused=True, concurrency=4)
    await set_queue(storage, "idle", rate_per_second=2.0)
    assert await storage.queues.all("acme", 10, figures=False) == [
        Queue(name="a", paused=True, concurrency=4),
        Queue(name="b"),
        Queue(name="c"),
        Queue(name="idle", rate_per_second=2.0),
    ]
    some = await storage.queues.all("acme", 10, ["c", "a", "none"])
    assert [(queue.name, queue.depth, queue.paused) for queue in some] == [("a", 1, True), ("c", 1, False)]
    assert await storage.queues.all("acme", 10, ["b"], figures=False) == [Queue(name="b")]
    assert await storage.queues.all("acme", 10, []) == []
    assert [queue.name for queue in await storage.queues.all("acme", 2, figures=False)] == ["a", "b"]
