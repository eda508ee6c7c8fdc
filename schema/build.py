"""The whole schema: the root types, field by field in the order of the public contract."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import strawberry
from graphql import GraphQLInputObjectType
from strawberry.schema.config import StrawberryConfig

from domain.dead_letters.model import LOOKED_AT
from domain.queues.service import MAX_QUEUES
from domain.webhooks.service import MAX_SECRETS
from schema.attempts import AttemptNode
from schema.audit_log import AuditLogConnection, audit_log
from schema.bulk_changes import CancelTasksPayload, ReplayTasksPayload, cancel_tasks, replay_tasks
from schema.context import Ask
from schema.dead_letters import (
    DeadLetterConnection,
    DeadLettersPayload,
    dead_letters,
    purge_dead_letters,
    replay_dead_letters,
)
from schema.handlers import Handler, handlers
from schema.live import TaskActivity, TaskEvent, follow_notifications, task_activity, task_events
from schema.lookup import node, nodes
from schema.marks import LIVE, items, points
from schema.node import Node
from schema.notification_changes import MarkNotificationsReadPayload, mark_notifications_read
from schema.notifications import NotificationConnection, NotificationNode, notifications
from schema.permissions import is_audited, permission_of
from schema.queues import Queue, QueuePayload, pause_queue, queue_stats, queues, resume_queue, update_queue
from schema.recurrences import RecurrencePreview, preview_recurrence
from schema.scalars import SCALARS
from schema.schedule_changes import (
    DeleteSchedulePayload,
    SchedulePayload,
    create_schedule,
    delete_schedule,
    pause_schedule,
    resume_schedule,
    update_schedule,
)
from schema.schedules import ScheduleConnection, ScheduleNode, schedule, schedules
from schema.task_changes import (
    CreateTaskPayload,
    CreateTasksPayload,
    DeleteTaskPayload,
    TaskPayload,
    cancel_task,
    create_task,
    create_tasks,
    delete_task,
    run_task_now,
    update_task,
)
from schema.tasks import TaskConnection, TaskNode, task, tasks
from schema.viewer import Viewer, viewer
from schema.webhook_secrets import (
    DeleteWebhookSecretPayload,
    WebhookSecretNode,
    WebhookSecretPayload,
    create_webhook_secret,
    delete_webhook_secret,
    rotate_webhook_secret,
    webhook_secrets,
)

ASSUMED_HANDLERS = 100
"""Nothing bounds them but the code that they are."""


@strawberry.type(description="What can be read.")
class Query:
    node: Node | None = strawberry.field(
        resolver=node, description="Anything with a global id; null when there is none, or it is not yours."
    )
    nodes: list[Node | None] = strawberry.field(
        resolver=nodes, description="Several at once, in the order asked."
    )
    viewer: Viewer = strawberry.field(resolver=viewer, description="Who you are here.")
    task: TaskNode | None = strawberry.field(resolver=task, description="One task, by its id or its key.")
    tasks: TaskConnection = strawberry.field(resolver=tasks, description="Tasks, a page at a time.")
    schedule: ScheduleNode | None = strawberry.field(resolver=schedule, description="One schedule, by its id.")
    schedules: ScheduleConnection = strawberry.field(
        resolver=schedules, description="Schedules in the order in which they were made, a page at a time."
    )
    notifications: NotificationConnection = strawberry.field(
        resolver=notifications, description="The tenant's notifications (or one owner's), in their order."
    )
    queues: list[Queue] = strawberry.field(
        resolver=queues,
        metadata={**items(MAX_QUEUES), **points(100)},  # what ended lately is looked at, whichever are told
        description="Up to 1,000 queues, by name: what waits and runs in each, and its limits.",
    )
    handlers: list[Handler] = strawberry.field(
        resolver=handlers,
        metadata=items(ASSUMED_HANDLERS),
        description="The handlers that tasks can run, by name.",
    )
    webhook_secrets: list[WebhookSecretNode] = strawberry.field(
        resolver=webhook_secrets,
        metadata=items(MAX_SECRETS),
        description="The secrets that sign webhooks, oldest first. For administrators bound to no owner.",
    )
    preview_recurrence: RecurrencePreview = strawberry.field(
        resolver=preview_recurrence,
        description="Validates a recurrence and shows when it would fire, without storing it.",
    )
    audit_log: AuditLogConnection = strawberry.field(
        resolver=audit_log,
        description="The mutations asked for, the latest first. For administrators bound to no owner.",
    )
    dead_letters: DeadLetterConnection = strawberry.field(
        resolver=dead_letters,
        metadata=points(LOOKED_AT),
        description="Events of the tenant that could not be handled or published, of each kind the oldest "
        "first. For administrators bound to no owner.",
    )


@strawberry.type(description="What can be changed.")
class Mutation:
    create_task: CreateTaskPayload = strawberry.field(resolver=create_task, description="Make a task.")
    create_tasks: CreateTasksPayload = strawberry.field(
        resolver=create_tasks, description="Make up to 1,000 tasks, all of them or none."
    )
    update_task: TaskPayload = strawberry.field(
        resolver=update_task, description="Change a task that waits; a queued one is taken back first."
    )
    cancel_task: TaskPayload = strawberry.field(
        resolver=cancel_task,
        description="Call a task off: at once when it waits; when it runs, its handler is asked to stop.",
    )
    run_task_now: TaskPayload = strawberry.field(
        resolver=run_task_now, description="Makes a waiting task due now, or replays a failed one."
    )
    delete_task: DeleteTaskPayload = strawberry.field(
        resolver=delete_task,
        description="Delete a task with its attempts; its notifications stay. Cancel a running one first.",
    )
    replay_tasks: ReplayTasksPayload = strawberry.field(
        resolver=replay_tasks,
        description="Run tasks that have ended again, as `runTaskNow` does: those that FAILED, or ended in "
        "one of the states of the filter.",
    )
    cancel_tasks: CancelTasksPayload = strawberry.field(
        resolver=cancel_tasks, description="Call off tasks that have not ended, as `cancelTask` does."
    )
    create_schedule: SchedulePayload = strawberry.field(
        resolver=create_schedule, description="Make a schedule; what passed before now does not fire."
    )
    update_schedule: SchedulePayload = strawberry.field(
        resolver=update_schedule,
        description="Change a schedule; tasks that were made stay as they are.",
    )
    pause_schedule: SchedulePayload = strawberry.field(
        resolver=pause_schedule, description="Nothing fires once this has answered."
    )
    resume_schedule: SchedulePayload = strawberry.field(
        resolver=resume_schedule,
        description="Fire again, from now on: what passed while it was paused does not fire.",
    )
    delete_schedule: DeleteSchedulePayload = strawberry.field(
        resolver=delete_schedule, description="Delete a schedule; tasks that were made stay."
    )
    mark_notifications_read: MarkNotificationsReadPayload = strawberry.field(
        resolver=mark_notifications_read, description="Mark notifications as read."
    )
    create_webhook_secret: WebhookSecretPayload = strawberry.field(
        resolver=create_webhook_secret,
        description="Make the secret of an origin, or of all that have none. It is shown this once.",
    )
    rotate_webhook_secret: WebhookSecretPayload = strawberry.field(
        resolver=rotate_webhook_secret,
        description="Makes a new one and signs with both until the old one retires.",
    )
    delete_webhook_secret: DeleteWebhookSecretPayload = strawberry.field(
        resolver=delete_webhook_secret, description="Delete a secret: it signs nothing any more."
    )
    replay_dead_letters: DeadLettersPayload = strawberry.field(
        resolver=replay_dead_letters,
        description="Give events another chance, as if for the first time. Replaying one again does nothing.",
    )
    purge_dead_letters: DeadLettersPayload = strawberry.field(
        resolver=purge_dead_letters, description="Delete events for good that were not handled or published."
    )
    pause_queue: QueuePayload = strawberry.field(
        resolver=pause_queue,
        description="Hand over nothing more of a queue. What was handed over before still runs.",
    )
    resume_queue: QueuePayload = strawberry.field(
        resolver=resume_queue, description="Hand over what is due in a paused queue, and go on."
    )
    update_queue: QueuePayload = strawberry.field(
        resolver=update_queue, description="Limit how many tasks of a queue run at once, or in a second."
    )


@strawberry.type(description="What can be followed live.")
class Subscription:
    notifications: AsyncGenerator[NotificationNode, None] = strawberry.subscription(
        resolver=follow_notifications,
        metadata=LIVE,
        description="""\
The tenant's notifications (or one owner's), gap-free and in order. With `after`, first what was missed since
then, then live; without it, live from now. A client that falls too far behind is ended with the error code
RESYNC and resumes from its last cursor; a cursor older than the retention is refused with CURSOR_EXPIRED.""",
    )
    task_events: AsyncGenerator[TaskEvent, None] = strawberry.subscription(
        resolver=task_events,
        metadata=LIVE,
        description="""\
Every change of state of the tasks that match; the task is as it is when the event is delivered. Live only:
after a reconnect, read the tasks again; an event may rarely come twice, with the same id.""",
    )
    task_activity: AsyncGenerator[TaskActivity, None] = strawberry.subscription(
        resolver=task_activity,
        metadata=LIVE,
        description="""\
Live progress, log lines and changes of one task, from now on; ends when the task ends, at once when it has
ended already. No line is left out; of progress, the newest is told a few times a second.""",
    )
    queue_stats: AsyncGenerator[list[Queue], None] = strawberry.subscription(
        resolver=queue_stats,
        metadata={**LIVE, **items(MAX_QUEUES)},
        description="Queue depths and rates, once per interval; the first within one.",
    )


def build_schema() -> strawberry.Schema:
    _check_permissions(Query, Mutation, Subscription)
    schema = strawberry.Schema(
        query=Query,
        mutation=Mutation,
        subscription=Subscription,
        types=[TaskNode, AttemptNode, ScheduleNode, NotificationNode, WebhookSecretNode],
        config=StrawberryConfig(scalar_map=SCALARS, info_class=Ask),
    )
    _check_one_of_natively(schema)
    return schema


def _check_one_of_natively(schema: strawberry.Schema) -> None:
    """Strawberry checks @oneOf in validation rules of its own; GraphQL itself checks variables too."""
    for each in schema._schema.type_map.values():
        definition = each.extensions.get("strawberry-definition")
        if isinstance(each, GraphQLInputObjectType) and definition is not None and definition.is_one_of:
            each.is_one_of = True


def _check_permissions(*roots: type) -> None:
    """A field that does not say what it needs would be open to everyone."""
    for root in roots:
        for field in root.__strawberry_definition__.fields:  # type: ignore[attr-defined]  # Strawberry sets it
            resolver = field.base_resolver
            if resolver is None or permission_of(resolver.wrapped_func) is None:
                raise TypeError(f"{root.__name__}.{field.name} needs no permission: say which with `needs`")
            if root is Mutation and not is_audited(resolver.wrapped_func):
                raise TypeError(f"Mutation.{field.name} is not in the audit log: decorate it with `changes`")
