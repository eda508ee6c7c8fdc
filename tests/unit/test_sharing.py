"""Subscriptions may be shared when they tell what happens from now on, and not when they go on from a place."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

import pytest

from domain.queues.model import Queue
from domain.tenancy.model import Caller
from schema.operations import OperationRequest, Result
from schema.paging import stream_cursor
from tests.support.face import TENANT, Face, operations

AFTER = "subscription ($after: Cursor) { notifications(after: $after) { cursor } }"


@pytest.mark.parametrize(
    ("query", "variables", "shared"),
    [
        ("subscription { taskEvents { id } }", None, True),
        ("subscription { queueStats { name } }", None, True),
        ('subscription { taskActivity(taskId: "x") { __typename } }', None, True),
        ("subscription { notifications { cursor } }", None, True),
        ("subscription { notifications(after: null) { cursor } }", None, True),
        ('subscription { notifications(after: "x") { cursor } }', None, False),
        (AFTER, None, True),
        (AFTER, {"after": None}, True),
        (AFTER, {"after": stream_cursor(1)}, False),
        (AFTER.replace("Cursor", 'Cursor = "x"'), None, False),
        ("subscription { ...on Subscription { taskEvents { id } } }", None, False),
        ("{ queues { name } }", None, False),
        ("subscription { nothing }", None, False),
        ("subscription {", None, False),
    ],
)
def test_only_what_begins_now_is_shared(query: str, variables: dict[str, Any] | None, *, shared: bool) -> None:
    assert operations().begins_now(OperationRequest(query, variables)) is shared


async def test_the_figures_of_all_queues_are_told_at_once() -> None:
    face = Face()
    face.queues.rows[TENANT, "mail"] = Queue(name="mail", depth=3)
    stream = await operations().subscribe(
        OperationRequest("subscription { queueStats { name depth } }"), face.context
    )
    assert not isinstance(stream, Result)
    async with aclosing(stream):
        body = await anext(stream)
    assert body == {"data": {"queueStats": [{"name": "mail", "depth": 3}]}}


@pytest.mark.parametrize("interval", ["PT0S", "PT0.9S", "PT61S", "-PT5S"])
async def test_an_interval_is_from_a_second_to_a_minute(interval: str) -> None:
    query = "subscription ($interval: Duration) { queueStats(interval: $interval) { name } }"
    [body] = await Face().follow(query, interval=interval)
    assert body["errors"][0]["extensions"] == {"code": "INVALID", "argument": "interval"}


async def test_whoever_may_not_read_queues_is_not_told_their_figures() -> None:
    bound = Caller(tenant=TENANT, owner="alice")
    [body] = await Face().follow("subscription { queueStats { name } }", bound)
    assert body["errors"][0]["extensions"] == {"code": "FORBIDDEN"}
