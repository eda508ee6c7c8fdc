"""The ten documents that a frontend sends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

Send = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]

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


async def turn(send: Send) -> None:
    """Each of them once."""
    due = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    await send("list", {})
    made = await send("create", {"input": {"title": "load", "action": {"notify": {}}, "scheduledAt": due}})
    id = made["createTask"]["task"]["id"]
    await send("detail", {"id": id})
    for name, field in (("update", "updateTask"), ("run now", "runTaskNow"), ("cancel", "cancelTask")):
        changes = {"title": "changed"} if name == "update" else {}
        changed = await send(name, {"input": {"id": id, **changes}})
        assert not changed[field]["errors"], changed
    page = await send("notifications", {})
    await send("unread", {})
    await send("mark read", {"input": {"ids": [each["id"] for each in page["notifications"]["nodes"]]}})
    await send("schedules", {})
