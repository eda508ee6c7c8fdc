"""Many tasks are cancelled and replayed by a filter that says something, in batches, the caller's alone."""

from __future__ import annotations

from typing import Any

import pytest

from domain.live.ports import Signal
from domain.tasks.bulk import BATCH, MAX_LIMIT, BulkChange
from domain.tasks.states import FINISHED, TaskState
from domain.tenancy.model import Caller, Role
from tests.support.face import CALLER, NOW, TENANT, Face

ALICE = Caller(tenant=TENANT, role=Role.EDITOR, owner="alice")
EVERY_STATE = {"states": [state.value for state in TaskState]}


def mutation(kind: str) -> str:
    return f"""mutation ($input: {kind.capitalize()}TasksInput!) {{ {kind}Tasks(input: $input) {{
        count errors {{ code message path }} }} }}"""


@pytest.fixture
def face() -> Face:
    """A task of every state, half of them alice's."""
    face = Face()
    for state in TaskState:
        for owner in ("alice", "bob"):
            face.keep(state=state, owner=owner, attempt=1)
    return face


async def change(face: Face, kind: str, caller: Caller = CALLER, /, **input: Any) -> dict[str, Any]:
    payload: dict[str, Any] = (await face.ask(mutation(kind), caller, input=input))[f"{kind}Tasks"]
    return payload


async def count(face: Face, kind: str, caller: Caller = CALLER, /, **input: Any) -> int:
    payload = await change(face, kind, caller, **input)
    assert payload["errors"] == []
    number: int = payload["count"]
    return number


def states(face: Face) -> list[TaskState]:
    return [task.state for task in face.tasks.rows.values()]


async def test_what_has_not_ended_is_cancelled_and_what_runs_is_asked(face: Face) -> None:
    assert await count(face, "cancel", filter=EVERY_STATE) == 8
    assert set(states(face)) == {TaskState.RUNNING} | FINISHED
    asked = [task.cancel_requested_at for task in face.tasks.rows.values() if task.state is TaskState.RUNNING]
    assert asked == [NOW, NOW]
    assert set(face.signals.sent) == {Signal.DUE, Signal.OUTBOX, Signal.CANCEL}
    assert await count(face, "cancel", filter=EVERY_STATE) == 0, "and not asked again"


async def test_what_failed_is_replayed_unless_other_states_are_named(face: Face) -> None:
    assert await count(face, "replay", filter={"queues": ["default"]}) == 2
    assert states(face).count(TaskState.SCHEDULED) == 4
    assert TaskState.FAILED not in states(face)
    assert set(face.signals.sent) == {Signal.OUTBOX, Signal.DUE}
    assert await count(face, "replay", filter={"states": ["SUCCEEDED", "CANCELLED"]}) == 4


async def test_a_dry_run_counts_and_changes_nothing(face: Face) -> None:
    before = dict(face.tasks.rows)
    assert await count(face, "cancel", filter=EVERY_STATE, dryRun=True) == 8
    assert await count(face, "cancel", filter=EVERY_STATE, dryRun=True, limit=3) == 3
    assert await count(face, "replay", filter={"states": ["FAILED"]}, dryRun=True) == 2
    assert (face.tasks.rows, face.signals.sent, face.bulk_tasks.batches) == (before, [], [])


@pytest.mark.parametrize("kind", ["cancel", "replay"])
@pytest.mark.parametrize("filter", [{}, {"states": None, "labels": []}, {"owner": None}])
@pytest.mark.parametrize("dry_run", [True, False])
async def test_a_filter_that_names_nothing_is_refused(
    face: Face, kind: str, filter: dict[str, Any], *, dry_run: bool
) -> None:
    payload = await change(face, kind, filter=filter, dryRun=dry_run)
    [error] = payload["errors"]
    assert (error["code"], error["path"], payload["count"]) == ("INVALID", ["input", "filter"], 0)
    assert face.bulk_tasks.batches == []


@pytest.mark.parametrize("caller", [CALLER, ALICE])
async def test_a_filter_that_matches_nothing_changes_nothing(face: Face, caller: Caller) -> None:
    for states_ in ([], ["FAILED", "SUCCEEDED"]):
        assert await count(face, "cancel", caller, filter={"states": states_}) == 0
    assert await count(face, "cancel", caller, filter={"owner": "nobody"}) == 0
    assert await count(face, "replay", caller, filter={"states": []}) == 0


@pytest.mark.parametrize(
    ("kind", "input", "path"),
    [
        ("replay", {"filter": {"states": ["FAILED", "RUNNING"]}}, "filter states"),
        ("cancel", {"filter": {"owner": "a\x00"}}, "filter owner"),
        ("cancel", {"filter": {"labels": [{"name": "", "value": "x"}]}}, "filter labels 0 name"),
        ("replay", {"filter": {"dueAfter": "2030-01-31T08:00:00"}}, "filter dueAfter"),
        ("cancel", {"filter": {"owner": "a"}, "limit": 0}, "limit"),
        ("replay", {"filter": {"owner": "a"}, "limit": MAX_LIMIT + 1, "dryRun": True}, "limit"),
    ],
)
async def test_a_fault_is_told_with_its_path(face: Face, kind: str, input: dict[str, Any], path: str) -> None:
    payload = await change(face, kind, **input)
    [error] = payload["errors"]
    assert (error["code"], error["path"], payload["count"]) == ("INVALID", ["input", *path.split()], 0)


async def test_a_bound_caller_changes_its_own_alone(face: Face) -> None:
    assert await count(face, "cancel", ALICE, filter=EVERY_STATE) == 4
    assert await count(face, "replay", ALICE, filter={"owner": "bob", "states": ["FAILED"]}) == 0
    theirs = [task for task in face.tasks.rows.values() if task.owner == "bob"]
    assert [task.state for task in theirs] == list(TaskState)
    [error] = (await change(face, "cancel", ALICE, filter={}))["errors"]
    assert error["path"] == ["input", "filter"], "being bound names nothing"


async def test_many_are_changed_in_batches_up_to_the_limit() -> None:
    face = Face()
    for _ in range(BATCH + 30):
        face.keep(queue="mail")
    assert await count(face, "cancel", filter={"queues": ["mail"]}, limit=BATCH + 10) == BATCH + 10
    assert face.bulk_tasks.batches == [(BulkChange.CANCEL, BATCH), (BulkChange.CANCEL, 10)]
    assert await count(face, "cancel", filter={"queues": ["mail"]}, limit=None, dryRun=None) == 20


async def test_what_was_done_before_an_outage_is_done_and_told_to_who_waits_for_it() -> None:
    face = Face()
    for _ in range(BATCH + 30):
        face.keep(queue="mail")
    face.bulk_tasks.outage = 1
    error = await face.error(mutation("cancel"), input={"filter": {"queues": ["mail"]}})
    assert error["extensions"] == {"code": "UNAVAILABLE", "retryable": True, "retryAfter": 1}
    assert states(face).count(TaskState.CANCELLED) == BATCH
    assert Signal.OUTBOX in face.signals.sent
    face.bulk_tasks.outage = None
    assert await count(face, "cancel", filter={"queues": ["mail"]}) == 30
