"""Use cases of tasks check everything first, write once, and tell exactly those who wait for it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from domain.actions.model import Http, Notify, Run
from domain.contracts.tasks import TaskEventKind
from domain.errors import Conflict, IllegalState, Invalid, NotFound, Refusals, StaleVersion, TooMany
from domain.live.ports import Signal
from domain.tasks.drafts import TaskDraft, TaskEdit
from domain.tasks.states import TaskState
from domain.tenancy.model import Caller
from domain.work.drafts import HttpDraft, RetryDraft, RunDraft
from domain.work.validation import Faults
from tests.support.face import CALLER, NOW, TENANT, TRACEPARENT, Face

ALICE = Caller(tenant=TENANT, owner="alice")
ELSEWHERE = Caller(tenant="other")


@pytest.fixture
def face() -> Face:
    return Face()


async def refused(face: Face, draft: TaskDraft, caller: Caller = CALLER) -> list[tuple[str, ...]]:
    """The paths of the faults; nothing is written then."""
    with pytest.raises(Refusals) as caught:
        await face.service.create(caller, draft, TRACEPARENT)
    assert not face.calls
    assert not face.signals.sent
    return [each.path for each in caught.value.refusals]


async def test_a_task_is_made_as_asked(face: Face) -> None:
    draft = TaskDraft(
        title="Send the invoice",
        description="Before\nnoon",
        scheduled_at=NOW + timedelta(days=1),
        action=RunDraft(handler="echo", payload={"value": 1}),
        queue="mail",
        priority=1,
        key="invoice-7",
        owner="alice",
        labels=(("order", "7"),),
        concurrency_key="smtp",
        timeout=timedelta(minutes=5),
        retry=RetryDraft(max_attempts=2),
    )
    added = await face.service.create(CALLER, draft, TRACEPARENT)
    task = face.tasks.rows[added.task.id]
    assert added.created
    assert (task.tenant, task.title, task.scheduled_at) == (TENANT, draft.title, draft.scheduled_at)
    assert task.action == Run(handler="echo", payload={"value": 1})
    assert (task.timeout, task.retry.max_attempts) == (timedelta(minutes=5), 2)
    assert task.traceparent == TRACEPARENT
    assert face.signals.sent == [Signal.OUTBOX], "it is not due soon"


async def test_what_is_left_out_has_its_default(face: Face) -> None:
    task = (await face.service.create(CALLER, TaskDraft(title="Hi"), TRACEPARENT)).task
    assert (task.scheduled_at, task.action, task.queue, task.priority) == (NOW, Notify(), "default", 5)
    assert (task.timeout, task.retry.max_attempts) == (timedelta(seconds=60), 5)
    assert (task.owner, task.labels, task.key) == (None, (), None)


@pytest.mark.parametrize(("seconds", "due"), [(0, True), (2, True), (2.001, False)])
async def test_schedulers_are_signalled_for_what_they_could_sleep_past(
    face: Face, seconds: float, *, due: bool
) -> None:
    draft = TaskDraft(title="Hi", scheduled_at=NOW + timedelta(seconds=seconds))
    await face.service.create(CALLER, draft, TRACEPARENT)
    assert face.signals.sent == ([Signal.DUE] if due else []) + [Signal.OUTBOX]


BAD: dict[str, tuple[dict[str, Any], list[tuple[str, ...]]]] = {
    "title": ({"title": ""}, [("title",)]),
    "description": ({"description": "\x00"}, [("description",)]),
    "instant": ({"scheduled_at": NOW - timedelta(minutes=2)}, [("scheduledAt",)]),
    "no offset": ({"scheduled_at": NOW.replace(tzinfo=None)}, [("scheduledAt",)]),
    "queue": ({"queue": "a b"}, [("queue",)]),
    "priority": ({"priority": -1}, [("priority",)]),
    "key": ({"key": ""}, [("key",)]),
    "owner": ({"owner": "x" * 201}, [("owner",)]),
    "labels": ({"labels": (("a", "1"), ("a", "2"))}, [("labels", "1", "name")]),
    "concurrency key": ({"concurrency_key": "\n"}, [("concurrencyKey",)]),
    "timeout": ({"timeout": timedelta(days=2)}, [("timeout",)]),
    "retry": ({"retry": RetryDraft(max_attempts=0)}, [("retry", "maxAttempts")]),
    "body": ({"action": Notify(body="\x1b")}, [("action", "notify", "body")]),
    "url": ({"action": HttpDraft(url="http://10.0.0.1/")}, [("action", "http", "url")]),
    "long url": ({"action": HttpDraft(url="https://example.com/" + "x" * 2048)}, [("action", "http", "url")]),
    "headers": (
        {"action": HttpDraft(url="https://example.com/", headers=["a"])},
        [("action", "http", "headers")],
    ),
    "header": (
        {"action": HttpDraft(url="https://example.com/", headers={"a": 1})},
        [("action", "http", "headers")],
    ),
    "http body": (
        {"action": HttpDraft(url="https://example.com/", body=float("nan"))},
        [("action", "http", "body")],
    ),
    "handler": ({"action": RunDraft(handler="nope", payload={})}, [("action", "run", "handler")]),
    "payload": ({"action": RunDraft(handler="echo", payload=[1])}, [("action", "run", "payload")]),
    "argument": ({"action": RunDraft(handler="echo", payload={})}, [("action", "run", "payload", "value")]),
}


@pytest.mark.parametrize(("fields", "paths"), BAD.values(), ids=BAD.keys())
async def test_each_fault_is_named_by_its_field(
    face: Face, fields: dict[str, Any], paths: list[tuple[str, ...]]
) -> None:
    assert await refused(face, TaskDraft(**{"title": "Hi", **fields})) == paths


async def test_all_faults_are_told_at_once(face: Face) -> None:
    draft = TaskDraft(title="", queue="?", priority=99, action=RunDraft(handler="nope", payload={}))
    assert await refused(face, draft) == [("title",), ("queue",), ("priority",), ("action", "run", "handler")]


async def test_many_tasks_are_made_together(face: Face) -> None:
    drafts = [TaskDraft(title=f"Task {number}") for number in range(1_000)]
    added = await face.service.create_many(CALLER, drafts, TRACEPARENT)
    assert [each.task.title for each in added] == [draft.title for draft in drafts]
    assert face.calls == ["add"]
    assert face.signals.sent == [Signal.DUE, Signal.OUTBOX]


async def test_of_many_tasks_none_is_made_when_one_is_wrong(face: Face) -> None:
    drafts = [TaskDraft(title="Hi"), TaskDraft(title=""), TaskDraft(title="Hi", priority=10)]
    with pytest.raises(Refusals) as caught:
        await face.service.create_many(CALLER, drafts, TRACEPARENT)
    assert [each.path for each in caught.value.refusals] == [
        ("tasks", "1", "title"),
        ("tasks", "2", "priority"),
    ]
    assert not face.calls


async def test_the_faults_of_many_tasks_are_bounded(face: Face) -> None:
    with pytest.raises(Refusals) as caught:
        await face.service.create_many(CALLER, [TaskDraft(title="")] * 1_000, TRACEPARENT)
    assert len(caught.value.refusals) == Faults.MOST


@pytest.mark.parametrize(("number", "kind"), [(0, Invalid), (1_001, TooMany)])
async def test_too_many_or_no_tasks_are_refused(face: Face, number: int, kind: type[Exception]) -> None:
    with pytest.raises(kind) as caught:
        await face.service.create_many(CALLER, [TaskDraft(title="Hi")] * number, TRACEPARENT)
    assert getattr(caught.value, "path", None) == ("tasks",)


async def test_a_key_names_one_task(face: Face) -> None:
    draft = TaskDraft(title="Hi", key="once")
    first = await face.service.create(CALLER, draft, TRACEPARENT)
    face.signals.sent.clear()
    second = await face.service.create(CALLER, draft, TRACEPARENT)
    assert (second.task, second.created) == (first.task, False)
    assert not face.signals.sent, "nothing was written"


async def test_only_what_is_compared_with_others_has_a_fingerprint(face: Face) -> None:
    without, keyed = await face.service.create_many(
        CALLER, [TaskDraft(title="Hi"), TaskDraft(title="Hi", key="once")], TRACEPARENT
    )
    assert without.task.fingerprint == b""
    assert len(keyed.task.fingerprint) == 32


async def test_a_key_with_another_content_is_a_conflict(face: Face) -> None:
    first = await face.service.create(CALLER, TaskDraft(title="Hi", key="once"), TRACEPARENT)
    other = TaskDraft(title="Ho", key="once")
    with pytest.raises(Conflict) as caught:
        await face.service.create(CALLER, other, TRACEPARENT)
    assert (caught.value.path, caught.value.task_id) == (("key",), first.task.id)
    with pytest.raises(Conflict) as caught:
        await face.service.create_many(CALLER, [TaskDraft(title="Hi"), other], TRACEPARENT)
    assert caught.value.path == ("tasks", "1", "key")


async def test_a_conflict_tells_a_bound_caller_nothing_of_the_other_task(face: Face) -> None:
    await face.service.create(CALLER, TaskDraft(title="Hi", key="once"), TRACEPARENT)
    with pytest.raises(Conflict) as caught:
        await face.service.create(ALICE, TaskDraft(title="Hi", key="once"), TRACEPARENT)
    assert caught.value.task_id is None


async def test_a_bound_caller_makes_tasks_for_its_owner_alone(face: Face) -> None:
    added = await face.service.create(ALICE, TaskDraft(title="Hi"), TRACEPARENT)
    assert added.task.owner == "alice"
    face.calls.clear()
    face.signals.sent.clear()
    assert await refused(face, TaskDraft(title="Hi", owner="bob"), ALICE) == [("owner",)]


async def test_an_edit_changes_what_it_sets_alone(face: Face) -> None:
    task = face.keep(description="Old", labels=(("a", "1"),), owner="alice")
    edit = TaskEdit(title="New", owner=None, action=HttpDraft(url="https://example.com/x"))
    after = await face.service.update(CALLER, task.id, edit, version=1)
    action = Http(url="https://example.com/x")
    assert after == replace(task, title="New", owner=None, action=action, version=2)
    assert face.tasks.kinds == [TaskEventKind.UPDATED]
    assert face.signals.sent == [Signal.DUE, Signal.OUTBOX]


async def test_a_queued_task_is_taken_back_to_be_edited(face: Face) -> None:
    task = face.keep(state=TaskState.QUEUED)
    after = await face.service.update(CALLER, task.id, TaskEdit(priority=0))
    assert (after.state, after.priority) == (TaskState.SCHEDULED, 0)
    assert Signal.DUE in face.signals.sent


@pytest.mark.parametrize("edit", [TaskEdit(), TaskEdit(title="Water the plants", priority=5)])
async def test_an_edit_that_changes_nothing_leaves_the_task_alone(face: Face, edit: TaskEdit) -> None:
    task = face.keep(state=TaskState.QUEUED)
    assert await face.service.update(CALLER, task.id, edit) == task
    assert not face.tasks.kinds


@pytest.mark.parametrize(
    "edit",
    [
        TaskEdit(title=None),
        TaskEdit(scheduled_at=None),
        TaskEdit(action=None),
        TaskEdit(queue=None),
        TaskEdit(priority=None),
    ],
)
async def test_what_every_task_has_cannot_be_taken_away(face: Face, edit: TaskEdit) -> None:
    task = face.keep()
    with pytest.raises(Refusals, match="taken away"):
        await face.service.update(CALLER, task.id, edit)
    assert face.tasks.rows[task.id] == task


async def test_edits_are_checked_like_drafts(face: Face) -> None:
    task = face.keep()
    edit = TaskEdit(title=" ", scheduled_at=NOW - timedelta(hours=1), labels=(("", ""),), owner="\n")
    with pytest.raises(Refusals) as caught:
        await face.service.update(CALLER, task.id, edit)
    paths = [each.path for each in caught.value.refusals]
    assert paths == [("title",), ("owner",), ("labels", "0", "name"), ("scheduledAt",)]


@pytest.mark.parametrize("owner", ["bob", None])
async def test_a_bound_caller_cannot_give_a_task_away(face: Face, owner: str | None) -> None:
    task = face.keep(owner="alice")
    with pytest.raises(Refusals) as caught:
        await face.service.update(ALICE, task.id, TaskEdit(owner=owner))
    assert [each.path for each in caught.value.refusals] == [("owner",)]


async def test_a_waiting_task_is_cancelled_at_once(face: Face) -> None:
    task = face.keep()
    assert (await face.service.cancel(CALLER, task.id)).state is TaskState.CANCELLED
    assert face.signals.sent == [Signal.DUE, Signal.OUTBOX], "others may have waited for its end"


async def test_a_running_task_is_asked_to_stop(face: Face) -> None:
    task = face.keep(state=TaskState.RUNNING)
    after = await face.service.cancel(CALLER, task.id)
    assert (after.state, after.cancel_requested_at) == (TaskState.RUNNING, NOW)
    assert face.signals.sent == [Signal.OUTBOX, Signal.CANCEL]


async def test_a_task_is_run_now_or_again(face: Face) -> None:
    later, failed = (
        face.keep(scheduled_at=NOW + timedelta(days=1)),
        face.keep(state=TaskState.FAILED, attempt=5),
    )
    assert (await face.service.run_now(CALLER, later.id)).scheduled_at == NOW
    again = await face.service.run_now(CALLER, failed.id)
    assert (again.state, again.attempt, again.uncounted_attempts) == (TaskState.SCHEDULED, 5, 5)
    assert face.signals.sent == [Signal.DUE, Signal.OUTBOX] * 2


async def test_a_task_is_deleted_unless_it_runs(face: Face) -> None:
    task, running = face.keep(), face.keep(state=TaskState.RUNNING)
    await face.service.delete(CALLER, task.id)
    assert task.id not in face.tasks.rows
    assert face.signals.sent == [Signal.DUE, Signal.OUTBOX]
    with pytest.raises(IllegalState) as caught:
        await face.service.delete(CALLER, running.id)
    assert caught.value.path == ("id",)


async def test_refusals_of_the_store_name_the_field(face: Face) -> None:
    task, running = face.keep(owner="bob"), face.keep(state=TaskState.RUNNING)
    for caller in (ELSEWHERE, ALICE):
        with pytest.raises(NotFound) as missing:
            await face.service.cancel(caller, task.id)
        assert missing.value.path == ("id",)
    with pytest.raises(StaleVersion) as stale:
        await face.service.run_now(CALLER, task.id, version=7)
    assert stale.value.path == ("version",)
    with pytest.raises(IllegalState) as illegal:
        await face.service.update(CALLER, running.id, TaskEdit(priority=1))
    assert illegal.value.path == ("id",)
    assert not face.signals.sent
