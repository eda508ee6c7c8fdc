"""The ten documents that a frontend sends, in the order in which one task can have them all."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

_TASK = "id title state scheduledAt priority version owner"
DOCUMENTS = {
    "list": f"query List {{ tasks(first: 20) {{ nodes {{ {_TASK} }} pageInfo {{ hasNextPage endCursor }} }} }}",
    "create": f"mutation Create($input: CreateTaskInput!) {{ createTask(input: $input) {{"
    f" task {{ {_TASK} }} errors {{ message path }} }} }}",
    "detail": f"query Detail($id: ID!) {{ task(id: $id) {{ {_TASK} description attempts(first: 10) {{"
    " nodes { number state startedAt finishedAt } } } }",
    "update": f"mutation Update($input: UpdateTaskInput!) {{ updateTask(input: $input) {{"
    f" task {{ {_TASK} }} errors {{ message path }} }} }}",
    "run now": f"mutation RunNow($input: TaskIdInput!) {{ runTaskNow(input: $input) {{"
    f" task {{ {_TASK} }} errors {{ message }} }} }}",
    "cancel": f"mutation Cancel($input: TaskIdInput!) {{ cancelTask(input: $input) {{"
    f" task {{ {_TASK} }} errors {{ message }} }} }}",
    "notifications": "query Page { notifications(first: 20) { nodes { id title kind readAt createdAt }"
    " pageInfo { hasNextPage endCursor } } }",
    "unread": "query Unread { notifications(first: 1) { unreadCount } }",
    "mark read": "mutation Read($input: MarkNotificationsReadInput!) { markNotificationsRead(input: $input) {"
    " errors { message } } }",
    "schedules": "query Schedules { schedules(first: 20) { nodes { id name timeZone startsAt endsAt } } }",
}


QUERIES = ("list", "detail", "notifications", "unread", "schedules")
"""Those that may be sent by GET."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What one request of each document is about; for the next there is another."""

    task: str
    notification: str


def variables_of(name: str, subject: Subject) -> dict[str, Any]:
    match name:
        case "create":
            due = (datetime.now(UTC) + timedelta(days=1)).isoformat()
            return {"input": {"title": "load", "action": {"notify": {}}, "scheduledAt": due}}
        case "detail":
            return {"id": subject.task}
        case "update":
            return {"input": {"id": subject.task, "title": "changed"}}
        case "run now" | "cancel":
            return {"input": {"id": subject.task}}
        case "mark read":
            return {"input": {"ids": [subject.notification]}}
        case _:
            return {}


def check(data: dict[str, Any]) -> None:
    """That something was answered, and no mutation refused."""
    for field in data.values():
        assert field is not None, data
        assert not field.get("errors"), data
