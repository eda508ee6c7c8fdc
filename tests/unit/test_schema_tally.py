"""What is read for one answer is bounded, whatever of it is shown: beyond it nothing more is read."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from domain.actions.model import Http, Notify, Run
from domain.attempts.activity import LogLine, LogPlace
from domain.contracts.tasks import TaskEventKind
from domain.dead_letters.model import DeadLetter
from domain.tasks.model import TaskError
from domain.tasks.states import TaskState
from schema.ids import task_id
from schema.loaders import MAX_ROWS, MAX_TASKS
from schema.tally import AT_ONCE, READ, Tally
from tests.support.face import NOW, TENANT, Face, event_of

MOST = 100_000
"""Bytes of an answer."""
TEXT = "x" * 10_000
KEPT = 5
ALIASES = 30
ENOUGH = MOST * READ // (KEPT * len(TEXT))
"""Readings of all that is kept that stay within what may be read."""


def face(**large: Any) -> Face:
    """With so many tasks, of which each has what is large."""
    made = Face(most_bytes=MOST)
    for number in range(KEPT):
        task = made.keep(**large)
        made.keep_attempt(task, 1, error_message=TEXT)
        made.keep_notification(task, body=TEXT)
        made.activity.lines[task.id] = [LogLine(place=LogPlace(1, 1), at=NOW, attempt=1, message=TEXT)]
        made.dead_letters["notifier"].rows.append(
            DeadLetter(of="notifier", key=f"{number}", tenant=TENANT, at=NOW, what="one", body=TEXT)
        )
    return made


def is_left_out(body: dict[str, Any]) -> bool:
    codes = [error["extensions"]["code"] for error in body.get("errors", ())]
    return codes == ["ANSWER_TOO_LARGE"] and body["data"] is None


def aliases(selection: str, number: int = ALIASES) -> str:
    return "{ " + " ".join(f"a{one}: {selection}" for one in range(number)) + " }"


@pytest.mark.parametrize(
    ("large", "field"),
    [
        ({"result": {"text": [TEXT]}}, "result"),
        ({"description": TEXT}, "description"),
        ({"error": TaskError(type="Error", message=TEXT, attempt=1)}, "error { message }"),
        ({"action": Run(handler="echo", payload={"text": TEXT})}, "action { kind }"),
        ({"action": Http(url="https://example.com", body=[TEXT])}, "action { kind }"),
        ({"action": Notify(body=TEXT)}, "action { kind }"),
    ],
)
async def test_a_list_under_many_names_is_read_no_further_than_is_allowed(
    large: dict[str, Any], field: str
) -> None:
    asked = face(**large)
    result = await asked.run(aliases(f"tasks {{ nodes {{ {field} }} }}"))
    assert result.valid
    assert is_left_out(result.body)
    assert ENOUGH <= asked.calls.count("page") <= ENOUGH + AT_ONCE


async def test_what_is_within_it_is_answered() -> None:
    asked = face(result=TEXT)
    await asked.ask(aliases("tasks { nodes { result } }", ENOUGH - 1))


@pytest.mark.parametrize(
    ("field", "call"),
    [
        ("notifications { nodes { id } }", "page_notifications"),
        ("deadLetters { nodes { id } }", "listed"),
        ('task(key: "one") { id }', "find_by_key"),
    ],
)
async def test_so_is_every_other_list(field: str, call: str) -> None:
    asked = face()
    first = next(iter(asked.tasks.rows.values()))
    asked.tasks.rows[first.id] = replace(first, key="one", result=TEXT * KEPT)
    assert is_left_out((await asked.run(aliases(field))).body)
    assert ENOUGH <= asked.calls.count(call) <= ENOUGH + AT_ONCE


@pytest.mark.parametrize(
    ("field", "call"),
    [
        ("attempts(first: #) { nodes { number } }", "history"),
        ("notifications(first: #) { nodes { title } }", "of_tasks"),
        ("log(last: #) { message }", "log"),
    ],
)
async def test_so_is_what_there_is_with_each_task(field: str, call: str) -> None:
    asked = face()
    fields = " ".join(f"b{number}: {field.replace('#', str(number))}" for number in range(1, ALIASES + 1))
    assert is_left_out((await asked.run(f"{{ tasks {{ nodes {{ {fields} }} }} }}")).body)
    assert ENOUGH <= asked.calls.count(call) <= ENOUGH + AT_ONCE


async def test_what_is_read_at_once_for_many_has_a_size_of_its_own() -> None:
    asked = Face(most_bytes=MOST)
    ids = [task_id(asked.keep().id) for _ in range(MAX_TASKS + 1)]
    query = """query ($a: [ID!]!, $b: [ID!]!, $c: [ID!]!) {
        a: nodes(ids: $a) { id } b: nodes(ids: $b) { id } c: nodes(ids: $c) { id } }"""
    await asked.ask(query, a=ids[:100], b=ids[100:200], c=ids[200:])
    assert asked.calls == ["find", "find"]
    asked.calls.clear()
    await asked.ask("{ tasks(first: 100) { nodes { attempts(first: 99) { nodes { number } } } } }")
    assert Counter(asked.calls) == {"page": 1, "history": 100 // (MAX_ROWS // 100)}


async def test_a_mutation_that_reads_too_much_stands_and_is_told_so() -> None:
    asked = face()
    task = next(iter(asked.tasks.rows.values()))
    asked.activity.lines[task.id] *= ALIASES
    query = (
        """mutation ($id: ID!) { cancelTask(input: {id: $id}) { task { state log(last: 100) { message } } } }"""
    )
    result = await asked.run(query, id=task_id(task.id))
    assert result.valid
    assert is_left_out(result.body), result.body
    assert result.body["errors"][0]["message"].startswith("What was executed of the mutation stands")
    assert asked.tasks.rows[task.id].state is TaskState.CANCELLED


async def test_an_event_that_reads_too_much_is_left_out_and_the_next_is_told() -> None:
    asked = Face(most_bytes=MOST)
    large, small = asked.keep(result=TEXT * 2 * ALIASES), asked.keep()
    for task in (large, small):
        asked.task_feed.publish(event_of(task, TaskEventKind.UPDATED))
    bodies = await asked.follow("subscription { taskEvents { task { id } } }")
    assert [is_left_out(body) for body in bodies] == [True, False]
    assert bodies[1]["data"]["taskEvents"]["task"]["id"] == task_id(small.id)


async def test_of_what_takes_its_time_only_a_few_are_read_together() -> None:
    tally, begun = Tally(MOST), 0

    async def reading() -> str:
        nonlocal begun
        begun += 1
        await asyncio.sleep(0)
        return TEXT * KEPT

    asked = (tally.read(reading, lambda text: text) for _ in range(ALIASES))
    read = await asyncio.gather(*asked, return_exceptions=True)
    assert read.count(TEXT * KEPT) == ENOUGH - 1
    assert ENOUGH <= begun <= ENOUGH + AT_ONCE
