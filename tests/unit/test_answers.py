"""An answer has up to so many bytes; what would be larger is not written, in memory nor for long."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from api import answers
from api.answers import AnswerTooLarge, Room, answer_within, write_within
from api.graph import Graph
from api.metrics import ApiMetrics
from api.payloads import write_json
from domain.actions.model import Run
from domain.audit.model import Outcome
from infra.authentication.callers import Everyone
from infra.system import SystemClock, TimeOrderedIds
from schema.build import build_schema
from schema.operations import OperationRequest, Operations, Result
from tests.support.face import CALLER, Face
from tests.support.small_graph import small_admission

MEGABYTE = 1_000_000
LONG = "x" * 64_000
VALUES: dict[str, object] = {
    "texts": {"data": {"task": {f"a{number}": LONG for number in range(100)}}},
    "lists": {"data": [[LONG] * 30, [{}], [], [[LONG, None]] * 30]},
    "small": {"data": {"tasks": [{"n": number, "é\n": ["\u20ac", 1.5, True]} for number in range(50_000)]}},
    "controls": {"data": ["\x01" * 1000] * 1000},
    "false": {"data": [[False] * 20_000] * 20},
    "digits": {"data": [[10**300] * 200] * 100},
    "floats": {"data": [[1.2345678901234567e-300] * 2_000] * 100},
    "empty": {"data": [[{}, [], "", None] * 10_000] * 10},
    "one": {"data": {"task": {"id": "1", "title": 'say "hi"'}}, "errors": []},
    "nothing": {},
}


@pytest.mark.parametrize("name", VALUES)
async def test_what_has_room_is_written_as_json_and_one_byte_more_is_not(name: str) -> None:
    value = VALUES[name]
    whole = write_json(value)
    for most in (len(whole), 10 * len(whole)):
        assert await write_within(Room(most), value) == whole
    with pytest.raises(AnswerTooLarge):
        await write_within(Room(len(whole) - 1), value)


@pytest.mark.parametrize("name", VALUES)
async def test_what_is_written_at_once_never_has_more_than_it_may(name: str) -> None:
    value = VALUES[name]
    size = len(write_json(value))
    assert answers._may_exceed(value, size - 1)
    assert not answers._may_exceed(value, 12 * (size + 10))
    pieces = list(answers._pieces(value))
    assert b"".join(pieces) == write_json(value)
    assert max(map(len, pieces)) <= answers.PIECE


async def test_answers_share_the_room_of_their_request_and_what_is_refused_takes_none() -> None:
    room = Room(MEGABYTE)
    for value in (["x" * 700_000], ["x" * 200_000] * 2, ["x" * 200_000]):
        result = Result({"data": value}, valid=True)
        answer = await answer_within(room, "query", result)
        assert (answer.result is result) == (value != ["x" * 200_000] * 2)
    assert room.left < 100_000


async def test_others_have_their_turn_while_a_large_answer_is_written() -> None:
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(take_turns())
    await write_within(Room(10 * MEGABYTE), VALUES["texts"])
    other.cancel()
    assert turns > 6


def graph(face: Face, registry: CollectorRegistry, most_bytes: int = MEGABYTE) -> Graph:
    operations = Operations(build_schema(), budgets=face.budgets)
    return Graph(
        operations=operations,
        admission=small_admission(operations, registry),
        callers=Everyone("acme"),
        new_context=face.context,
        metrics=ApiMetrics(registry),
        clock=SystemClock(),
        ids=TimeOrderedIds(),
        timeout=60,
        most_bytes=most_bytes,
    )


def aliased(field: str, times: int) -> str:
    return " ".join(f"a{number}: {field}" for number in range(times))


def hits(registry: CollectorRegistry) -> float | None:
    return registry.get_sample_value("carillon_api_limits_hit_total", {"limit": "answer_too_large"})


@pytest.mark.parametrize("before", [0, 2])
async def test_a_text_under_many_names_is_refused_before_it_takes_memory_for_each(before: int) -> None:
    """By graphql-core, and by its plan."""
    face, registry = Face(), CollectorRegistry()
    for _ in range(100):
        face.keep(result=[LONG])
    request = OperationRequest(f"{{ tasks(first: 100) {{ nodes {{ {aliased('result', 13)} }} }} }}")
    asked = graph(face, registry)
    for _ in range(before):
        await asked.execute("query", request, CALLER)
    tracemalloc.start()
    try:
        answer = await asked.execute("query", request, CALLER)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert error(answer.result.body)["code"] == "ANSWER_TOO_LARGE"
    assert peak < 10 * MEGABYTE, "written as a whole it is 83 MB, and as much again while it is put together"
    assert hits(registry) == before + 1


async def test_a_query_is_told_what_to_do_and_what_it_cost() -> None:
    face, registry = Face(), CollectorRegistry()
    face.keep(result=[LONG])
    request = OperationRequest(f"{{ tasks {{ nodes {{ {aliased('result', 20)} }} }} }}")
    answer = await graph(face, registry).execute("query", request, CALLER)
    body = json.loads(answer.json)
    assert (body["data"], answer.result.valid) == (None, True)
    assert body["extensions"]["cost"]["requested"] == 21
    assert "over the 1000000 bytes" in error(body)["message"]
    assert "fewer aliases" in error(body)["message"]


async def test_a_mutation_is_told_that_it_was_executed_and_is_noted_as_done() -> None:
    face, registry = Face(), CollectorRegistry()
    document = f"""mutation ($payload: JSON!) {{
        createTask(input: {{ title: "Hi", action: {{ run: {{ handler: "echo", payload: $payload }} }} }}) {{
            errors {{ code message }} task {{ action {{ run {{ {aliased("payload", 20)} }} }} }} }} }}"""
    answer = await graph(face, registry).execute(
        "mutation", OperationRequest(document, {"payload": {"value": LONG}}), CALLER
    )
    told = error(answer.result.body)
    assert (answer.result.body["data"], told["code"]) == (None, "ANSWER_TOO_LARGE")
    assert "was executed" in told["message"]
    [task] = face.tasks.rows.values()
    assert isinstance(task.action, Run)
    [(begun, ended)] = face.audit_log.rows.values()
    assert ended is not None
    assert (begun.operation, ended.outcome, ended.count) == ("createTask", Outcome.DONE, 1)
    assert hits(registry) == 1


def error(body: dict[str, Any]) -> dict[str, str]:
    [entry] = body["errors"]
    return {"code": entry["extensions"]["code"], "message": entry["message"]}
