"""What clients say to make and change schedules, and what of it the domain is asked."""

from __future__ import annotations

from datetime import datetime, timedelta

import strawberry

from domain.schedules.drafts import ScheduleDraft, ScheduleEdit
from domain.work.drafts import REMINDER, RetryDraft, WorkDraft
from schema.absent import given, kept
from schema.enums import MisfirePolicy, OverlapPolicy
from schema.labels import LabelInput, read_labels
from schema.recurrences import RecurrenceInput
from schema.scalars import TimeZone
from schema.task_inputs import ActionInput, RetryPolicyInput

UNSET = strawberry.UNSET
_AS_CREATED = "As in `createSchedule`."


@strawberry.input(description="What each task of a schedule is to be.")
class ScheduledTaskInput:
    title: str = strawberry.field(description="One line, up to 200 characters.")
    description: str | None = strawberry.field(
        default=UNSET, description="What it is about, up to 10,000 characters."
    )
    owner: str | None = strawberry.field(
        default=UNSET,
        description="The person it is for, up to 200 characters; absent means the whole tenant, or the owner "
        "you are bound to.",
    )
    labels: list[LabelInput] | None = strawberry.field(default=UNSET, description="Up to 16, to find it by.")
    action: ActionInput | None = strawberry.field(default=UNSET, description="Absent means a reminder: notify.")
    queue: str | None = strawberry.field(default="default", description="As in `createTask`.")
    priority: int | None = strawberry.field(default=5, description="From 0, the most urgent, to 9, the least.")
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

    def draft(self) -> WorkDraft:
        action, retry = given(self.action), given(self.retry)
        return WorkDraft(
            title=self.title,
            description=given(self.description),
            action=REMINDER if action is None else action.draft(),
            queue="default" if self.queue is None else self.queue,
            priority=5 if self.priority is None else self.priority,
            concurrency_key=given(self.concurrency_key),
            owner=given(self.owner),
            labels=read_labels(given(self.labels)),
            timeout=given(self.timeout),
            retry=RetryDraft() if retry is None else retry.draft(),
        )


@strawberry.input(description="A schedule to make.")
class CreateScheduleInput:
    name: str = strawberry.field(description="One line, up to 200 characters.")
    recurrence: RecurrenceInput = strawberry.field(description="How often it fires.")
    time_zone: TimeZone | None = strawberry.field(
        default=TimeZone("UTC"), description="The zone its times of day are in."
    )
    starts_at: datetime | None = strawberry.field(
        default=UNSET, description="It does not fire before; an interval is counted from there."
    )
    ends_at: datetime | None = strawberry.field(default=UNSET, description="It does not fire after.")
    jitter: timedelta | None = strawberry.field(
        default=UNSET,
        description="Spread the tasks over so long after their fire times, up to 24 hours; "
        "never past the next fire time.",
    )
    misfire_policy: MisfirePolicy | None = strawberry.field(
        default=MisfirePolicy.FIRE_ONCE, description="What becomes of fire times that passed while nothing ran."
    )
    catch_up_window: timedelta | None = strawberry.field(
        default=UNSET,
        description="How late a missed fire time may still fire, up to 365 days; absent means P1D.",
    )
    overlap_policy: OverlapPolicy | None = strawberry.field(
        default=OverlapPolicy.BUFFER_ONE,
        description="What a fire time does while the previous task has not ended.",
    )
    task: ScheduledTaskInput = strawberry.field(description="What each of its tasks is to be.")

    def draft(self) -> ScheduleDraft:
        return ScheduleDraft(
            name=self.name,
            recurrence=self.recurrence.read(),
            zone="UTC" if self.time_zone is None else self.time_zone,
            starts_at=given(self.starts_at),
            ends_at=given(self.ends_at),
            jitter=given(self.jitter),
            misfire_policy=self.misfire_policy or MisfirePolicy.FIRE_ONCE,
            catch_up_window=given(self.catch_up_window),
            overlap_policy=self.overlap_policy or OverlapPolicy.BUFFER_ONE,
            task=self.task.draft(),
        )


@strawberry.input(description="What to change of a schedule; what is absent stays as it is.")
class UpdateScheduleInput:
    id: strawberry.ID = strawberry.field(description="Of the schedule.")
    version: int | None = strawberry.field(
        default=UNSET, description="Refuse with STALE_VERSION when the schedule is not at this version."
    )
    name: str | None = strawberry.field(default=UNSET, description=_AS_CREATED)
    recurrence: RecurrenceInput | None = strawberry.field(
        default=UNSET, description="It begins anew from now: nothing that passed fires again."
    )
    time_zone: TimeZone | None = strawberry.field(default=UNSET, description="It begins anew from now.")
    starts_at: datetime | None = strawberry.field(
        default=UNSET, description="It begins anew; null takes it away."
    )
    ends_at: datetime | None = strawberry.field(default=UNSET, description="Null takes it away.")
    jitter: timedelta | None = strawberry.field(default=UNSET, description="Null takes it away.")
    misfire_policy: MisfirePolicy | None = strawberry.field(default=UNSET, description=_AS_CREATED)
    catch_up_window: timedelta | None = strawberry.field(default=UNSET, description="Null means P1D.")
    overlap_policy: OverlapPolicy | None = strawberry.field(default=UNSET, description=_AS_CREATED)
    task: ScheduledTaskInput | None = strawberry.field(
        default=UNSET, description="The whole of it anew; tasks that were made stay as they are."
    )

    def edit(self) -> ScheduleEdit:
        recurrence, task = kept(self.recurrence), kept(self.task)
        return ScheduleEdit(
            name=kept(self.name),
            recurrence=recurrence.read() if isinstance(recurrence, RecurrenceInput) else recurrence,
            zone=kept(self.time_zone),
            starts_at=kept(self.starts_at),
            ends_at=kept(self.ends_at),
            jitter=kept(self.jitter),
            misfire_policy=kept(self.misfire_policy),
            catch_up_window=kept(self.catch_up_window),
            overlap_policy=kept(self.overlap_policy),
            task=task.draft() if isinstance(task, ScheduledTaskInput) else task,
        )


@strawberry.input(description="One schedule.")
class ScheduleIdInput:
    id: strawberry.ID = strawberry.field(description="Of the schedule.")
    version: int | None = strawberry.field(
        default=UNSET, description="Refuse with STALE_VERSION when the schedule is not at this version."
    )
