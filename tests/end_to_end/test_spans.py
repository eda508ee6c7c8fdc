"""The spans of one task, from its client's request to its subscriber, told by every process it passes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.asking import until_told
from tests.support.collector import Told, collecting
from tests.support.graphql_client import graphql_socket, http_client
from tests.support.installation import KINDS, open_installation
from tests.support.waiting import until
from tests.support.webhook_receiver import receiving

pytestmark = [pytest.mark.postgres, pytest.mark.redis, pytest.mark.rabbit]

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CLIENT = "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{CLIENT}-01"
SETTINGS = {
    "CARILLON_LOG_LEVEL": "debug",
    "CARILLON_HTTP_ALLOW_INSECURE": "true",
    "CARILLON_HTTP_ALLOWED_NETWORKS": "127.0.0.1/32",
    "CARILLON_TRACE_SAMPLE_RATIO": "0",
}
Tree = dict[str, Any]
CACHED: Tree = {"api cache get": {}, "api cache lead": {}, "api cache put": {}, "api find_tasks": {}}
TREE: Tree = {
    "api POST /graphql": {
        "api mutation": {
            "api createTask": {"api audit_begin": {}, "api add_tasks": {}, "api cache put": {}},
            "api attempts": {},
            "scheduler hand over": {},
            "worker start": {},
            "worker attempt": {"worker POST": {"worker signing_secrets": {}}},
            "worker record": {"worker finish": {}},
            "relay publish events": {"relay cache put": {}},
            "notifier notify": {"notifier add_notifications": {}, "api deliver": CACHED},
        }
    }
}
"""Below the client's own span. A mutation answers with what its client selected: here with attempts."""
CREATE = """mutation($input: CreateTaskInput!) {
  createTask(input: $input) { task { id attempts(first: 1) { nodes { number } } } errors { message } } }"""


async def test_spans_of_a_task_are_one_tree_through_every_process(
    postgres_server: str, migrated: str, tmp_path: Path
) -> None:
    async with collecting() as collector, receiving() as receiver:
        settings = SETTINGS | {"CARILLON_OTLP_ENDPOINT": collector.url}
        async with (
            open_installation(postgres_server, migrated, tmp_path, *KINDS, **settings) as installation,
            http_client(installation.api) as client,
            graphql_socket(installation.api) as socket,
            socket.subscribe("subscription { notifications { title task { state } } }") as told,
        ):
            await until(lambda: is_followed(installation.api))
            task = {"title": "Call", "action": {"http": {"url": receiver.url}}}
            answer = await client.post(CREATE, {"traceparent": TRACEPARENT}, input=task)
            made = answer.json()["data"]["createTask"]["task"]
            assert (await anext(told))["notifications"] == {"title": "Call", "task": {"state": "SUCCEEDED"}}
            await until_told(client, made["id"])
            await installation.quiet()
            said = installation.said()
        spans = collector.of(TRACE)
        assert len({span.trace for span in collector.spans}) == 1, "what begins here is not sampled"
        assert len({span.id for span in spans}) == len(spans)
        assert tree(spans, CLIENT) == TREE
        assert {span.id for span in spans if span.failed} == set()

        [sent] = receiver.received
        [post] = [span for span in spans if span.name == "POST"]
        assert sent.header("traceparent") == f"00-{TRACE}-{post.id}-01", "its receiver goes on from here"
        [request] = [span for span in spans if span.name == "POST /graphql"]
        assert answer.headers["traceparent"] == f"00-{TRACE}-{request.id}-01"
        assert about(spans, "deliver") == {"carillon.subscribers": 1}
        assert about(spans, "attempt")["carillon.attempt"] == 1
        assert about(spans, "publish events")["carillon.outbox.seconds"] > 0
        check_lines(said, spans)


async def is_followed(api: str) -> bool:
    async with httpx2.AsyncClient(trust_env=False) as http:
        return "carillon_notification_feed_followers 1.0" in (await http.get(f"{api}/metrics")).text


def tree(spans: list[Told], parent: str) -> Tree:
    """What is below a span: by service and name, each as often as it may be, once."""
    below = [span for span in spans if span.parent == parent]
    return {name: merged(tree(spans, span.id) for span in below if of(span) == name) for name in map(of, below)}


def of(span: Told) -> str:
    return f"{span.service.removeprefix('carillon-')} {span.name}"


def merged(trees: Iterable[Tree]) -> Tree:
    """Events of a task are published in one batch or in several, as they come."""
    found: Tree = {}
    for each in trees:
        found |= each
    return found


def about(spans: list[Told], name: str) -> dict[str, Any]:
    return next(span.notes for span in spans if span.name == name)


def check_lines(said: str, spans: list[Told]) -> None:
    """Each line of the trace names the span it was written in."""
    ids = {span.id for span in spans} | {CLIENT}
    lines = [line for line in map(json.loads, filter(None, said.splitlines())) if line.get("trace_id") == TRACE]
    assert {line["span_id"] for line in lines} <= ids
    named = {span.name for span in spans if span.id in {line["span_id"] for line in lines}}
    assert {"createTask", "POST", "notify", "deliver"} <= named
