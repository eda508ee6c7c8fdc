"""Queues through the GraphQL face: what may be asked, what is refused, and who is told."""

from __future__ import annotations

from typing import Any

import pytest
from graphql import GraphQLObjectType

from domain.live.ports import Signal
from domain.queues.model import Queue
from domain.tenancy.model import Caller, Role
from schema.build import build_schema
from schema.marks import points_of
from schema.queues import FIGURES
from tests.support.face import TENANT, Face

FIELDS = "name paused depth running oldestDueSeconds concurrency ratePerSecond finishedPerSecond"
LIST = f"{{ queues {{ {FIELDS} }} }}"
PAUSE = "mutation($name: String!) { pauseQueue(name: $name) { queue { name paused } errors { code path } } }"
RESUME = PAUSE.replace("pauseQueue", "resumeQueue")
UPDATE = """mutation($input: UpdateQueueInput!) {
    updateQueue(input: $input) { queue { name concurrency ratePerSecond } errors { code message path } } }"""
BOUND = Caller(tenant=TENANT, owner="ann")


@pytest.fixture
def face() -> Face:
    return Face()


async def test_queues_are_listed_with_all_that_is_known_of_them(face: Face) -> None:
    face.queues.rows[TENANT, "mail"] = Queue(
        name="mail", depth=3, running=2, oldest_due_seconds=1.5, concurrency=4, finished_per_second=0.25
    )
    face.queues.rows["other", "hidden"] = Queue(name="hidden")
    assert (await face.ask(LIST))["queues"] == [
        {
            "name": "mail",
            "paused": False,
            "depth": 3,
            "running": 2,
            "oldestDueSeconds": 1.5,
            "concurrency": 4,
            "ratePerSecond": None,
            "finishedPerSecond": 0.25,
        }
    ]


async def test_a_queue_is_paused_and_resumed_also_before_it_has_tasks(face: Face) -> None:
    paused = (await face.ask(PAUSE, name="mail"))["pauseQueue"]
    assert paused == {"queue": {"name": "mail", "paused": True}, "errors": []}
    assert face.signals.sent == [Signal.DUE], "schedulers look again at once"
    resumed = (await face.ask(RESUME, name="mail"))["resumeQueue"]
    assert resumed["queue"]["paused"] is False


async def test_an_absent_limit_stays_and_null_removes_it(face: Face) -> None:
    async def updated(**limits: Any) -> tuple[int | None, float | None]:
        payload = (await face.ask(UPDATE, input={"name": "mail", **limits}))["updateQueue"]
        assert payload["errors"] == []
        return payload["queue"]["concurrency"], payload["queue"]["ratePerSecond"]

    assert await updated(concurrency=5, ratePerSecond=2.5) == (5, 2.5)
    assert await updated(ratePerSecond=1) == (5, 1.0)
    assert await updated(concurrency=None) == (None, 1.0)
    assert await updated() == (None, 1.0)


@pytest.mark.parametrize(
    ("limits", "field", "words"),
    [
        ({"concurrency": 0}, "concurrency", "pause the queue"),
        ({"concurrency": -1}, "concurrency", "from 1 to 100,000"),
        ({"concurrency": 100_001}, "concurrency", "from 1 to 100,000"),
        ({"ratePerSecond": 0}, "ratePerSecond", "pause the queue"),
        ({"ratePerSecond": -0.5}, "ratePerSecond", "to 100,000"),
        ({"ratePerSecond": 1e-9}, "ratePerSecond", "0.000010"),
        ({"ratePerSecond": 1e9}, "ratePerSecond", "to 100,000"),
        ({"name": "a b"}, "name", "1 to 63 letters"),
    ],
)
async def test_a_limit_out_of_bounds_is_refused_by_its_name(
    face: Face, limits: dict[str, Any], field: str, words: str
) -> None:
    payload = (await face.ask(UPDATE, input={"name": "mail", **limits}))["updateQueue"]
    [error] = payload["errors"]
    assert (payload["queue"], error["code"], error["path"]) == (None, "INVALID", ["input", field])
    assert words in error["message"]
    assert face.signals.sent == []


async def test_all_that_is_wrong_is_told_at_once_and_an_argument_is_named_as_it_is(face: Face) -> None:
    wrong = {"name": "", "concurrency": 0, "ratePerSecond": 0}
    errors = (await face.ask(UPDATE, input=wrong))["updateQueue"]["errors"]
    assert [error["path"][-1] for error in errors] == ["name", "concurrency", "ratePerSecond"]
    assert (await face.ask(PAUSE, name="-"))["pauseQueue"]["errors"] == [{"code": "INVALID", "path": ["name"]}]


async def test_who_is_bound_to_an_owner_neither_sees_nor_changes_queues(face: Face) -> None:
    for query, variables in ((LIST, {}), (PAUSE, {"name": "mail"}), (UPDATE, {"input": {"name": "mail"}})):
        error = await face.error(query, BOUND, **variables)
        assert error["extensions"]["code"] == "FORBIDDEN"
    assert face.calls == []


async def test_a_viewer_sees_queues_and_changes_none(face: Face) -> None:
    viewer = Caller(tenant=TENANT, role=Role.VIEWER)
    assert (await face.ask(LIST, viewer))["queues"] == []
    assert (await face.error(PAUSE, viewer, name="mail"))["extensions"]["code"] == "FORBIDDEN"


@pytest.mark.parametrize(
    ("asked", "read"),
    [
        ("{ queues { name paused concurrency ratePerSecond } }", ["queue_settings"]),
        ("{ queues { name depth } }", ["queues"]),
        ("{ queues { ... { ...F } } } fragment F on Queue { n: running }", ["queues"]),
        ("{ a: queues { name } b: queues { oldestDueSeconds } c: queues { finishedPerSecond } }", ["queues"]),
        ("{ a: queues { name } a: queues { depth } }", ["queues"]),
        ('{ a: queues(names: ["a"]) { name } b: queues(names: ["b"]) { depth } }', ["queues"]),
    ],
)
async def test_figures_are_read_once_for_an_operation_and_when_they_are_asked_for(
    face: Face, asked: str, read: list[str]
) -> None:
    for _ in range(3):  # the first time without a plan
        face.queues.calls.clear()
        await face.ask(asked)
        assert face.queues.calls == read


def test_the_fields_that_are_figures_are_those_that_cost_something() -> None:
    queue = build_schema()._schema.type_map["Queue"]
    assert isinstance(queue, GraphQLObjectType)
    assert {name for name, field in queue.fields.items() if points_of(field)} == FIGURES


async def test_of_queues_asked_for_by_name_each_field_tells_its_own(face: Face) -> None:
    for name in ("a", "b", "c"):
        face.queues.rows[TENANT, name] = Queue(name=name)
    told = await face.ask(
        '{ x: queues(names: ["b", "none", "b"]) { name } y: queues(names: ["c", "b"]) { name } }'
    )
    assert told == {"x": [{"name": "b"}], "y": [{"name": "b"}, {"name": "c"}]}
    assert (await face.ask("{ queues(names: []) { name } }"))["queues"] == []
    assert len((await face.ask("{ queues(names: null) { name } }"))["queues"]) == 3


@pytest.mark.parametrize(
    ("names", "argument"), [(["a"] * 101, "names"), (["a", "x\0"], "names.1"), (["a" * 300], "names.0")]
)
async def test_names_are_at_most_a_hundred_that_queues_can_have(
    face: Face, names: list[str], argument: str
) -> None:
    error = await face.error("query($names: [String!]) { queues(names: $names) { name } }", names=names)
    assert error["extensions"] == {"code": "INVALID", "argument": argument}
