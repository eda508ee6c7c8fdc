"""Anything with a global id, by that id."""

from __future__ import annotations

import asyncio
from typing import Annotated

import strawberry

from domain.paging import MAX_PAGE
from domain.tenancy.permissions import Permission
from schema.attempts import AttemptNode
from schema.context import Ask, Context
from schema.ids import (
    read_attempt_id,
    read_notification_id,
    read_schedule_id,
    read_task_id,
    read_webhook_secret_id,
)
from schema.node import Node
from schema.notifications import NotificationNode
from schema.permissions import needs
from schema.refusals import invalid
from schema.schedules import ScheduleNode
from schema.tasks import TaskNode
from schema.webhook_secrets import WebhookSecretNode


@needs(Permission.READ)
async def node(
    info: Ask, id: Annotated[strawberry.ID, strawberry.argument(description="A global id.")]
) -> Node | None:
    return await _found(info.context, id)


@needs(Permission.READ)
async def nodes(
    info: Ask,
    ids: Annotated[list[strawberry.ID], strawberry.argument(description=f"Up to {MAX_PAGE} global ids.")],
) -> list[Node | None]:
    if len(ids) > MAX_PAGE:
        raise invalid(f"`ids` may have at most {MAX_PAGE} items; it has {len(ids)}.", "ids")
    return list(await asyncio.gather(*(_found(info.context, id) for id in ids)))


async def _found(context: Context, id: strawberry.ID) -> Node | None:
    """None for what is unknown, another's, or no id at all."""
    if (task := read_task_id(id)) is not None:
        found = await context.loaders.task(task)
        return None if found is None else TaskNode.of(found)
    if (schedule := read_schedule_id(id)) is not None:
        made = await context.loaders.schedule(schedule)
        return None if made is None else ScheduleNode.of(made)
    if (key := read_attempt_id(id)) is not None:
        attempt = await context.loaders.attempt(key)
        return None if attempt is None else AttemptNode.of(attempt)
    if (notification := read_notification_id(id)) is not None:
        told = await context.loaders.notification(notification)
        return None if told is None else NotificationNode.of(told)
    if (secret := read_webhook_secret_id(id)) is not None:
        kept = await context.webhook_secrets.find(context.caller, secret)
        return None if kept is None else WebhookSecretNode.of(kept)
    return None
