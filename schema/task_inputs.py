"""What clients say to make and change tasks, and what of it the domain is asked."""

from __future__ import annotations

from datetime import datetime, timedelta

import strawberry

from domain.actions.model import Notify
from domain.tasks.drafts import TaskDraft, TaskEdit
from domain.work.drafts import KEEP, REMINDER, ActionDraft, HttpDraft, Keep, RetryDraft, RunDraft
from schema.absent import given, kept
from schema.enums import Backoff
from schema.labels import LabelInput, read_labels
from schema.scalars import Json

UNSET = strawberry.UNSET


@strawberry.input(description="A reminder: it succeeds by being told to its owner.")
class NotifyActionInput:
    body: str | None = strawberry.field(
        default=UNSET, description="What the notification says, up to 10,000 characters."
    )


@strawberry.input(description="A webhook call: a signed POST of `body` as JSON.")
class HttpActionInput:
    url: str = strawberry.field(
        description="https, without credentials, and not of an inner address; up to 2,048 characters."
    )
    headers: Json | None = strawberry.field(
        default=UNSET,
        description="An object of texts: headers of your own, by name. Those that carry credentials are kept "
        "encrypted, and never shown again.",
    )
    body: Json | None = strawberry.field(default=UNSET, description="What is sent; up to 64 KiB.")


@strawberry.input(description="A call of a registered handler.")
class RunActionInput:
    handler: str = strawberry.field(description="The name of the handler, one of `handlers`.")
    payload: Json = strawberry.field(
        description="An object: its arguments by name, as its `payloadSchema` has them; up to 64 KiB."
    )


@strawberry.input(one_of=True, description="What a task is to do: exactly one of these.")
class ActionInput:
    notify: NotifyActionInput | None = strawberry.field(default=UNSET, description="Remind.")
    http: HttpActionInput | None = strawberry.field(default=UNSET, description="Call a webhook.")
    run: RunActionInput | None = strawberry.field(default=UNSET, description="Run a registered handler.")

    def draft(self) -> ActionDraft:
        if http := given(self.http):
            return HttpDraft(url=http.url, headers=given(http.headers), body=given(http.body))
        if run := given(self.run):
            return RunDraft(handler=run.handler, payload=run.payload)
        notify = given(self.notify)
        return Notify(body=given(notify.body) if notify else None)


@strawberry.input(description="How often a task is tried, and how long it waits in between.")
class RetryPolicyInput:
    max_attempts: int | None = strawberry.field(default=UNSET, description="From 1 to 100; absent means 5.")
    backoff: Backoff | None = strawberry.field(
        default=UNSET, description="How the wait grows; absent means EXPONENTIAL."
    )
    base: timedelta | None = strawberry.field(
        default=UNSET, description="The first wait, up to 24 hours; absent means PT2S."
    )
    cap: timedelta | None = strawberry.field(
        default=UNSET,
        description="The longest wait, up to 24 hours; absent means PT10M, or the base if longer.",
    )

    def draft(self) -> RetryDraft:
        return RetryDraft(
            max_attempts=given(self.max_attempts),
            backoff=given(self.backoff),
            base=given(self.base),
            cap=given(self.cap),
        )


@strawberry.input(description="A task to make.")
class CreateTaskInput:
    title: str = strawberry.field(description="One line, up to 200 characters.")
    description: str | None = strawberry.field(
        default=UNSET, description="What it is about, up to 10,000 characters."
    )
    scheduled_at: datetime | None = strawberry.field(
        default=UNSET,
        description="Absent means now. An instant more than a minute in the past is refused.",
    )
    action: ActionInput | None = strawberry.field(default=UNSET, description="Absent means a reminder: notify.")
    queue: str | None = strawberry.field(
        default="default",
        description="Up to 63 letters, digits, dots, hyphens and underscores, a letter or digit first.",
    )
    priority: int | None = strawberry.field(default=5, description="From 0, the most urgent, to 9, the least.")
    key: str | None = strawberry.field(
        default=UNSET,
        description="Your name for it, up to 200 characters: a second create with the same key and content "
        "returns the first task, with another content it is a CONFLICT.",
    )
    owner: str | None = strawberry.field(
        default=UNSET,
        description="The person it is for, up to 200 characters; absent means the whole tenant, or the owner "
        "you are bound to.",
    )
    labels: list[LabelInput] | None = strawberry.field(default=UNSET, description="Up to 16, to find it by.")
    concurrency_key: str | None = strawberry.field(
        default=UNSET,
        description="What it shares with the tasks of which one at a time runs; up to 200 characters.",
    )
    timeout: timedelta | None = strawberry.field(
        default=UNSET, description="How long one attempt may take, up to 24 hours; absent means PT1M."
    )
    retry: RetryPolicyInput | None = strawberry.field(
        default=UNSET, description="Absent means up to 5 attempts with exponential backoff."
    )

    def draft(self) -> TaskDraft:
        action, retry = given(self.action), given(self.retry)
        return TaskDraft(
            title=self.title,
            description=given(self.description),
            scheduled_at=given(self.scheduled_at),
            action=REMINDER if action is None else action.draft(),
            queue="default" if self.queue is None else self.queue,
            priority=5 if self.priority is None else self.priority,
            key=given(self.key),
            owner=given(self.owner),
            labels=read_labels(given(self.labels)),
            concurrency_key=given(self.concurrency_key),
            timeout=given(self.timeout),
            retry=RetryDraft() if retry is None else retry.draft(),
        )


@strawberry.input(description="Tasks to make, all of them or none.")
class CreateTasksInput:
    tasks: list[CreateTaskInput] = strawberry.field(description="From 1 to 1,000.")


@strawberry.input(description="What to change of a task; what is absent stays as it is.")
class UpdateTaskInput:
    id: strawberry.ID = strawberry.field(description="Of the task.")
    version: int | None = strawberry.field(
        default=UNSET, description="Refuse with STALE_VERSION when the task is not at this version."
    )
    title: str | None = strawberry.field(default=UNSET, description="As in `createTask`.")
    description: str | None = strawberry.field(default=UNSET, description="Null takes it away.")
    scheduled_at: datetime | None = strawberry.field(default=UNSET, description="As in `createTask`.")
    action: ActionInput | None = strawberry.field(default=UNSET, description="As in `createTask`.")
    queue: str | None = strawberry.field(default=UNSET, description="As in `createTask`.")
    priority: int | None = strawberry.field(default=UNSET, description="As in `createTask`.")
    owner: str | None = strawberry.field(default=UNSET, description="Null takes it away.")
    labels: list[LabelInput] | None = strawberry.field(
        default=UNSET, description="All of them anew; null takes them away."
    )

    def edit(self) -> TaskEdit:
        action: ActionDraft | Keep | None = KEEP
        if self.action is not UNSET:
            action = self.action.draft() if self.action else None
        return TaskEdit(
            title=kept(self.title),
            description=kept(self.description),
            scheduled_at=kept(self.scheduled_at),
            action=action,
            queue=kept(self.queue),
            priority=kept(self.priority),
            owner=kept(self.owner),
            labels=KEEP if self.labels is UNSET else read_labels(self.labels),
        )


@strawberry.input(description="One task.")
class TaskIdInput:
    id: strawberry.ID = strawberry.field(description="Of the task.")
    version: int | None = strawberry.field(
        default=UNSET, description="Refuse with STALE_VERSION when the task is not at this version."
    )
