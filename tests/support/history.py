"""What is left when all is done, held against what handlers did: nothing lost, and nothing done twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tests.support.asking import row_id
from tests.support.graphql_client import HttpClient, Json
from tests.support.ledger import Ledger

TASKS = """query($queue: String!, $after: String) {
  tasks(first: 100, after: $after, filter: {queues: [$queue]}) {
    nodes { id state attempts(first: 50) { nodes { number state } } }
    pageInfo { hasNextPage endCursor } } }"""
NOTIFICATIONS = """query($after: String) {
  notifications(first: 100, after: $after) {
    nodes { cursor kind task { id } } pageInfo { hasNextPage endCursor } } }"""


async def all_tasks(client: HttpClient, queue: str) -> list[Json]:
    return await _all_pages(client, TASKS, "tasks", queue=queue)


async def all_notifications(client: HttpClient) -> list[Json]:
    """In the order of their stream."""
    return await _all_pages(client, NOTIFICATIONS, "notifications")


def check_each_was_done_once(tasks: Sequence[Json], ledger: Ledger) -> int:
    """Every task succeeded by one attempt, and whatever else was begun is an attempt whose worker was lost.

    How many attempts were lost.
    """
    begun = Counter((entry.task, entry.attempt) for entry in ledger.noted("started"))
    assert set(begun.values()) == {1}, "one attempt was executed twice"
    ended = {(entry.task, entry.attempt) for entry in ledger.noted("ended")}
    lost = 0
    for task in tasks:
        assert task["state"] == "SUCCEEDED", task
        history = {one["number"]: one["state"] for one in task["attempts"]["nodes"]}
        assert sorted(history) == list(range(1, len(history) + 1)), task
        assert Counter(history.values()) == Counter(LOST=len(history) - 1, SUCCEEDED=1), task
        assert history[len(history)] == "SUCCEEDED", task
        assert (row_id(task["id"]), len(history)) in ended, task
        assert {attempt for id, attempt in begun if id == row_id(task["id"])} <= history.keys(), task
        lost += len(history) - 1
    return lost


async def check_each_was_told_once(client: HttpClient, tasks: Sequence[Json], cursors: Sequence[str]) -> None:
    """One notification for each task, and these cursors are those of all notifications, in their order."""
    stored = await all_notifications(client)
    told = Counter(one["task"]["id"] for one in stored)
    assert told == Counter(task["id"] for task in tasks)
    assert list(cursors) == [one["cursor"] for one in stored]


async def _all_pages(client: HttpClient, query: str, field: str, **variables: str) -> list[Json]:
    found: list[Json] = []
    after: str | None = None
    while True:
        page = (await client.execute(query, after=after, **variables))[field]
        found += page["nodes"]
        if not page["pageInfo"]["hasNextPage"]:
            return found
        after = page["pageInfo"]["endCursor"]
