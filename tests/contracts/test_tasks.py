"""What stored tasks promise their callers."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import fields, replace
from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.actions.model import Http, Notify, Run, Succeeded
from domain.attempts.model import settle
from domain.attempts.retry import Backoff, RetryPolicy
from domain.contracts.tasks import TaskEventKind
from domain.errors import Conflict, IllegalState, NotFound, StaleVersion, Unavailable
from domain.paging import PageRequest
from domain.tasks.listing import TaskFilter, TaskOrder, TaskPlace
from domain.tasks.model import Task
from domain.tasks.states import TaskState
from domain.tasks.words import words
from tests.support.storage import Storage, a_task, clock, due_in, ids

pytestmark = pytest.mark.postgres

UPDATED = TaskEventKind.UPDATED


async def test_a_task_comes_back_as_it_was_stored(storage: Storage) -> None:
    for action in (
        Notify(body="now"),
        Http(url="https://example.com/hook", headers={"a": "b"}, body={"n": [1, None, "ä"]}),
        Run(handler="echo", payload={"value": 1.5}),
    ):
        task = due_in(
            60,
            action=action,
            description="with\nlines",
            owner="ann",
            labels=(("order", "17"), ("kind", "é")),
            concurrency_key="c",
            key=str(ids.next()),
            timeout=timedelta(milliseconds=1500),
            retry=RetryPolicy(max_attempts=3, backoff=Backoff.FIXED, base=timedelta(seconds=7)),
        )
        (added,) = await storage.tasks.add([task])
        assert added.created
        assert added.task == await storage.task(task.id)
        assert replace(added.task, created_at=task.created_at, updated_at=task.updated_at) == task


async def test_a_task_due_now_is_due_by_the_clock_of_the_database(storage: Storage) -> None:
    (added,) = await storage.tasks.add([a_task()])
    assert added.task.scheduled_at == added.task.created_at


async def test_a_repeated_key_names_the_first_task(storage: Storage) -> None:
    first = a_task(key="k")
    await storage.added(first)
    (again,) = await storage.tasks.add([a_task(key="k")])
    assert not again.created
    assert again.task.id == first.id


async def test_a_key_belongs_to_one_tenant(storage: Storage) -> None:
    await storage.added(a_task(key="k"))
    (other,) = await storage.tasks.add([a_task(key="k", tenant="other")])
    assert other.created


async def test_a_key_with_another_content_is_a_conflict_and_stores_nothing_of_its_batch(
    storage: Storage,
) -> None:
    first = a_task(key="k")
    await storage.added(first)
    bystander = a_task()
    with pytest.raises(Conflict) as caught:
        await storage.tasks.add([bystander, a_task(key="k", fingerprint=b"other")])
    assert caught.value.path == ("1", "key")
    assert caught.value.task_id == first.id
    assert await storage.tasks.find("acme", [bystander.id]) == [None]


async def test_one_key_twice_in_a_batch_makes_one_task(storage: Storage) -> None:
    first, second = await storage.tasks.add([a_task(key="k"), a_task(key="k")])
    assert (first.created, second.created) == (True, False)
    assert first.task.id == second.task.id


async def test_of_many_who_use_a_key_at_once_one_creates(storage: Storage) -> None:
    added = await asyncio.gather(*(storage.tasks.add([a_task(key="k")]) for _ in range(20)))
    assert sum(one.created for (one,) in added) == 1
    assert len({one.task.id for (one,) in added}) == 1


async def test_find_answers_in_the_order_asked_and_only_for_the_tenant(storage: Storage) -> None:
    one, two = await storage.added(a_task(), a_task())
    (foreign,) = await storage.added(a_task(tenant="other"))
    found = await storage.tasks.find("acme", [two, ids.next(), foreign, one])
    assert [task and task.id for task in found] == [two, None, None, one]


async def test_a_change_raises_the_version_and_tells(storage: Storage) -> None:
    (id,) = await storage.added(due_in(60))
    changed = await storage.tasks.change("acme", id, lambda task, _: replace(task, title="New"), UPDATED)
    assert (changed.title, changed.version) == ("New", 2)
    assert await storage.event_kinds(id) == ["CREATED", "UPDATED"]


async def test_changing_nothing_tells_nothing(storage: Storage) -> None:
    (id,) = await storage.added(due_in(60))
    assert (await storage.tasks.change("acme", id, lambda task, _: task, UPDATED)).version == 1
    assert await storage.event_kinds(id) == ["CREATED"]


async def test_a_stale_version_is_refused(storage: Storage) -> None:
    (id,) = await storage.added(due_in(60))
    with pytest.raises(StaleVersion):
        await storage.tasks.change("acme", id, lambda task, _: replace(task, title="x"), UPDATED, version=2)


async def test_a_foreign_task_is_not_found(storage: Storage) -> None:
    (id,) = await storage.added(due_in(60, owner="ann"))
    with pytest.raises(NotFound):
        await storage.tasks.change("other", id, lambda task, _: task, UPDATED)
    with pytest.raises(NotFound):
        await storage.tasks.change("acme", id, lambda task, _: task, UPDATED, owner="bob")
    with pytest.raises(NotFound):
        await storage.tasks.delete("other", id)


async def test_concurrent_changes_all_take_effect(storage: Storage) -> None:
    (id,) = await storage.added(due_in(60, title=""))

    def longer(task: Task, _: object) -> Task:
        return replace(task, title=task.title + "x")

    await asyncio.gather(*(storage.tasks.change("acme", id, longer, UPDATED) for _ in range(8)))
    task = await storage.task(id)
    assert (task.title, task.version) == ("x" * 8, 9)


async def test_a_waiting_task_is_cancelled_at_once(storage: Storage) -> None:
    (id,) = await storage.added(due_in(60))
    task = await storage.tasks.change("acme", id, Task.cancelled, UPDATED)
    assert task.state is TaskState.CANCELLED
    assert task.finished_at is not None
    assert await storage.event_kinds(id) == ["CREATED", "CANCELLED"]


async def test_a_queued_task_that_is_cancelled_is_not_started(storage: Storage) -> None:
    worker = await storage.a_worker()
    (id,) = await storage.added(a_task())
    assert await storage.claimed(1) == [id]
    await storage.tasks.change("acme", id, Task.cancelled, UPDATED)
    assert await storage.attempts.start(worker, [id]) == []


async def test_a_task_that_runs_again_keeps_its_history_and_gets_new_attempts(storage: Storage) -> None:
    worker = await storage.a_worker()
    (first,) = await storage.started(worker, a_task(retry=RetryPolicy(max_attempts=1)))
    await storage.attempts.finish(worker, [settle(first, Succeeded({"n": 1}), 0)])
    again = await storage.tasks.change("acme", first.task_id, Task.run_now, UPDATED)
    assert (again.state, again.result, again.attempt) == (TaskState.SCHEDULED, None, 1)
    await storage.claimed(1)
    (second,) = await storage.attempts.start(worker, [first.task_id])
    assert (second.number, second.counted) == (2, 1)
    assert second.fence > first.fence


async def test_deleting_a_task_deletes_its_attempts_and_tells(storage: Storage) -> None:
    worker = await storage.a_worker()
    (started,) = await storage.started(worker, a_task(labels=(("a", "b"),)))
    with pytest.raises(IllegalState):
        await storage.tasks.delete("acme", started.task_id)
    await storage.attempts.finish(worker, [settle(started, Succeeded(), 0)])
    await storage.tasks.delete("acme", started.task_id)
    assert await storage.tasks.find("acme", [started.task_id]) == [None]
    assert await storage.attempts.history("acme", [started.task_id], 10) == [[]]
    assert (await storage.event_kinds(started.task_id))[-1] == "DELETED"


async def test_a_key_is_free_again_when_its_task_is_deleted(storage: Storage) -> None:
    (id,) = await storage.added(due_in(60, key="k"))
    await storage.tasks.delete("acme", id)
    (again,) = await storage.tasks.add([due_in(60, key="k", fingerprint=b"other")])
    assert again.created


async def _walk(storage: Storage, order: TaskOrder, size: int, *, backwards: bool) -> list[UUID]:
    """All ids, page by page, in the list's own order."""
    place: TaskPlace | None = None
    walked: list[UUID] = []
    attribute = order.value.lower().rpartition("_")[0]
    while True:
        request: PageRequest[TaskPlace] = PageRequest(
            size=size,
            backwards=backwards,
            after=None if backwards else place,
            before=place if backwards else None,
        )
        page = await storage.tasks.page("acme", TaskFilter(), order, request)
        these = [task.id for task in page.items]
        walked = these + walked if backwards else walked + these
        if not (page.has_previous if backwards else page.has_next):
            return walked
        edge = page.items[0] if backwards else page.items[-1]
        place = TaskPlace(getattr(edge, attribute), edge.id)


@pytest.mark.parametrize("order", list(TaskOrder))
@pytest.mark.parametrize("backwards", [False, True])
async def test_pages_hold_every_task_once_and_in_order(
    storage: Storage, order: TaskOrder, backwards: bool
) -> None:
    due = clock.now() + timedelta(hours=1)
    tasks = [a_task(scheduled_at=due + timedelta(seconds=n // 3)) for n in range(11)]  # with ties
    await storage.added(*tasks)
    await storage.added(due_in(60, tenant="other"))
    walked = await _walk(storage, order, 3, backwards=backwards)
    expected = [task.id for task in tasks]
    assert walked == (expected if order is TaskOrder.SCHEDULED_AT_ASC else expected[::-1])


async def test_filters_all_hold(storage: Storage) -> None:
    wanted = due_in(60, owner="ann", queue="mail", labels=(("a", "1"), ("b", "2")), title="Send the Report")
    await storage.added(
        wanted,
        due_in(60, owner="bob", queue="mail", labels=wanted.labels, title=wanted.title),
        due_in(60, owner="ann", labels=wanted.labels, title=wanted.title),
        due_in(60, owner="ann", queue="mail", labels=(("a", "1"),), title=wanted.title),
        due_in(60, owner="ann", queue="mail", labels=wanted.labels),
        due_in(7200, owner="ann", queue="mail", labels=wanted.labels, title=wanted.title),
    )
    filter_ = TaskFilter(
        states=(TaskState.SCHEDULED,),
        queues=("mail",),
        owner="ann",
        labels=(("b", "2"), ("a", "1")),
        due_after=clock.now(),
        due_before=clock.now() + timedelta(hours=1),
        search="rep sen",
    )
    page = await storage.tasks.page("acme", filter_, TaskOrder.SCHEDULED_AT_ASC, PageRequest())
    assert [task.id for task in page.items] == [wanted.id]
    assert await storage.tasks.count("acme", filter_, 10) == 1


async def test_a_page_has_of_each_task_what_is_read_of_it_and_no_more(storage: Storage) -> None:
    (id,) = await storage.added(due_in(60, owner="ann", labels=(("a", "1"),), description="more"))
    whole = await storage.task(id)
    for name in (each.name for each in fields(Task)):
        for order in TaskOrder:
            page = await storage.tasks.page("acme", TaskFilter(), order, PageRequest(), frozenset({name}))
            (part,) = page.items
            assert (part.id, getattr(part, name)) == (id, getattr(whole, name))
            for other in {"description", "result", "retry"} - {name}:
                with pytest.raises(AttributeError):
                    getattr(part, other)


async def test_search_follows_a_changed_title_and_labels_follow_theirs(storage: Storage) -> None:
    (id,) = await storage.added(due_in(60, title="before", labels=(("a", "1"),)))
    await storage.tasks.change(
        "acme", id, lambda task, _: replace(task, title="after", labels=(("b", "2"),)), UPDATED
    )
    for filter_, count in (
        (TaskFilter(search="before"), 0),
        (TaskFilter(search="aft"), 1),
        (TaskFilter(labels=(("a", "1"),)), 0),
        (TaskFilter(labels=(("b", "2"),)), 1),
        (TaskFilter(search="'; -- !&|"), 0),
    ):
        assert await storage.tasks.count("acme", filter_, 10) == count


async def test_an_edit_may_keep_some_labels(storage: Storage) -> None:
    (id,) = await storage.added(due_in(60, labels=(("a", "1"), ("b", "2"))))
    kept = await storage.tasks.change(
        "acme", id, lambda task, _: replace(task, labels=(("a", "1"), ("c", "3"))), UPDATED
    )
    assert kept.labels == (("a", "1"), ("c", "3"))
    for label, count in (("a", "1"), 1), (("b", "2"), 0), (("c", "3"), 1):
        assert await storage.tasks.count("acme", TaskFilter(labels=(label,)), 10) == count


@given(title=st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
async def test_a_task_is_found_by_any_start_of_any_of_its_words(storage: Storage, title: str) -> None:
    (id,) = await storage.added(due_in(60, title=title, description="report.pdf v1.2 A-77 ann@example.com"))
    for word in (*words(title), "pdf", "v1", "77", "example"):
        page = await storage.tasks.page(
            "acme", TaskFilter(search=word[:3]), TaskOrder.CREATED_AT_DESC, PageRequest(size=100)
        )
        assert id in [task.id for task in page.items], word


@pytest.mark.parametrize("most", [1, 2_000])
@pytest.mark.parametrize("order", [TaskOrder.CREATED_AT_DESC, TaskOrder.UPDATED_AT_DESC])
async def test_an_owners_tasks_are_listed_in_any_order_few_or_many(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, order: TaskOrder, most: int
) -> None:
    for module in ("tasks", "task_listing"):
        monkeypatch.setattr(f"infra.postgres.{module}.OWNED", most)
    added = [(await storage.added(due_in(60, owner=owner)))[0] for owner in ("ann", "bob", "ann", "ann")]
    page = await storage.tasks.page("acme", TaskFilter(owner="ann"), order, PageRequest(size=2))
    assert ([task.id for task in page.items], page.has_next) == ([added[3], added[2]], True)
    none = await storage.tasks.page("acme", TaskFilter(owner="eve"), order, PageRequest())
    assert none.items == ()


async def test_what_too_many_tasks_match_is_found_all_the_same(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.postgres.tasks.MATCHES", 1)
    added = await storage.added(*(due_in(60 + n, title="many", labels=(("a", "1"),)) for n in range(3)))
    both = TaskFilter(search="many", labels=(("a", "1"),))
    page = await storage.tasks.page("acme", both, TaskOrder.SCHEDULED_AT_ASC, PageRequest())
    assert [task.id for task in page.items] == added


async def test_many_repeated_keys_are_answered_in_few_statements(storage: Storage) -> None:
    tasks = [due_in(60, key=f"k{n}") for n in range(300)]
    await storage.tasks.add(tasks)
    again = await storage.tasks.add([replace(task, id=ids.next()) for task in tasks])
    assert [one.task.id for one in again] == [task.id for task in tasks]
    assert not any(one.created for one in again)


async def test_batches_with_the_same_keys_in_other_orders_do_not_deadlock(storage: Storage) -> None:
    tasks = [due_in(60, key=f"k{n}") for n in range(200)]
    batches = [[replace(task, id=ids.next()) for task in order] for order in (tasks, tasks[::-1]) * 4]
    added = await asyncio.gather(*(storage.tasks.add(batch) for batch in batches))
    assert sum(one.created for batch in added for one in batch) == len(tasks)


async def test_a_key_that_vanishes_meanwhile_leaves_nothing_half_done(storage: Storage) -> None:
    """Deleted and made again as fast as it goes, while batches repeat the key beside new tasks."""
    busy = due_in(60, key="busy")
    await storage.tasks.add([busy])

    async def churn() -> None:
        for _ in range(40):
            (first,) = await storage.tasks.add([replace(busy, id=ids.next())])
            with suppress(NotFound):
                await storage.tasks.delete("acme", first.task.id)

    async def repeat() -> None:
        for _ in range(20):
            batch = [due_in(60), replace(busy, id=ids.next()), due_in(60)]
            with suppress(Unavailable):
                added = await storage.tasks.add(batch)
                found = await storage.tasks.find("acme", [added[0].task.id, added[2].task.id])
                assert None not in found

    await asyncio.gather(churn(), *(repeat() for _ in range(4)))


async def test_a_count_beyond_its_limit_is_unknown(storage: Storage) -> None:
    await storage.added(*(due_in(60) for _ in range(4)))
    assert await storage.tasks.count("acme", TaskFilter(), 4) == 4
    assert await storage.tasks.count("acme", TaskFilter(), 3) is None
