"""Tasks for a load, made by way of the API as a client makes them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from tests.support.graphql_client import HttpClient

TOGETHER = 1_000
CREATE = """mutation($tasks: [CreateTaskInput!]!) {
  createTasks(input: {tasks: $tasks}) { createdCount errors { message path } } }"""

ACTIONS: dict[str, dict[str, Any]] = {
    "notify": {"notify": {}},
    "echo": {"run": {"handler": "echo", "payload": {"value": 1}}},
    "insert": {"run": {"handler": "insert", "payload": {}}},
    "work": {"run": {"handler": "work", "payload": {"seconds": 0.05}}},
}


async def make(client: HttpClient, action: str, due: Sequence[datetime], queue: str = "default") -> None:
    """One task for each of these instants."""
    for first in range(0, len(due), TOGETHER):
        tasks = [
            {
                "title": f"load {number}",
                "queue": queue,
                "action": ACTIONS[action],
                "scheduledAt": instant.isoformat(),
            }
            for number, instant in enumerate(due[first : first + TOGETHER], first)
        ]
        made = (await client.execute(CREATE, tasks=tasks))["createTasks"]
        assert made["createdCount"] == len(tasks), json.dumps(made["errors"][:3])
