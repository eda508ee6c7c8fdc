"""The tables, as SQLModel rows. Migrations make them; a test holds that both say the same."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Column,
    Enum,
    Identity,
    Index,
    Interval,
    LargeBinary,
    SmallInteger,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import DOUBLE_PRECISION, JSON, JSONB, TIMESTAMP, TSVECTOR
from sqlmodel import Field, SQLModel

from domain.attempts.model import AttemptState
from domain.notifications.model import NotificationKind
from domain.tasks.states import TaskState

INSTANT = TIMESTAMP(timezone=True)
TASK_STATE = Enum(TaskState, name="task_state")
ATTEMPT_STATE = Enum(AttemptState, name="attempt_state")
NOTIFICATION_KIND = Enum(NotificationKind, name="notification_kind")


def _stored(*, dead: int, **more: str) -> dict[str, dict[str, str]]:
    """Storage that is vacuumed once so many rows died, however many there are; with these parameters more."""
    vacuum = {"autovacuum_vacuum_scale_factor": "0", "autovacuum_vacuum_threshold": str(dead)}
    return {"postgresql_with": vacuum | more}


def _now() -> Any:  # noqa: ANN401  what SQLAlchemy takes for a server default
    return {"server_default": text("now()")}


class TaskRow(SQLModel, table=True):
    __tablename__ = "tasks"
    __table_args__ = (
        Index(
            "tasks_claimable",
            "tenant",
            "queue",
            "priority",
            "scheduled_at",
            "id",
            postgresql_where=text("state in ('SCHEDULED', 'RETRYING') and not awaits_key"),
        ),
        Index(
            "tasks_keyed",
            "tenant",
            "concurrency_key",
            "scheduled_at",
            postgresql_where=text(
                "concurrency_key is not null and state in ('SCHEDULED', 'RETRYING') and not awaits_key"
            ),
        ),
        Index(
            "tasks_awaiting_key",
            "tenant",
            "concurrency_key",
            "queue",
            "priority",
            "scheduled_at",
            "id",
            postgresql_where=text("state in ('SCHEDULED', 'RETRYING') and awaits_key"),
        ),
        Index(
            "tasks_holding_key",
            "tenant",
            "concurrency_key",
            unique=True,
            postgresql_where=text("concurrency_key is not null and state in ('QUEUED', 'RUNNING')"),
        ),
        Index("tasks_in_flight", "updated_at", postgresql_where=text("state in ('QUEUED', 'RUNNING')")),
        Index("tasks_running", "worker_id", postgresql_where=text("state = 'RUNNING'")),
        Index("tasks_key", "tenant", "key", unique=True, postgresql_where=text("key is not null")),
        Index("tasks_by_due", "tenant", "scheduled_at", "id"),
        Index("tasks_by_creation", "tenant", "created_at", "id"),
        Index("tasks_by_update", "tenant", "updated_at", "id"),
        Index("tasks_by_queue", "tenant", "queue", "scheduled_at", "id"),
        Index(
            "tasks_waiting",
            "tenant",
            "scheduled_at",
            "id",
            postgresql_where=text("state in ('SCHEDULED', 'RETRYING')"),
        ),
        Index(
            "tasks_given_up",
            "tenant",
            "scheduled_at",
            "id",
            postgresql_where=text("state in ('FAILED', 'CANCELLED')"),
        ),
        Index(
            "tasks_by_owner",
            "tenant",
            "owner",
            "scheduled_at",
            "id",
            postgresql_where=text("owner is not null"),
        ),
        Index(
            "tasks_fire",
            "schedule_id",
            "schedule_revision",
            "fire_time",
            unique=True,
            postgresql_where=text("schedule_id is not null"),
        ),
        Index(
            "tasks_by_schedule",
            "tenant",
            "schedule_id",
            "scheduled_at",
            "id",
            postgresql_where=text("schedule_id is not null"),
        ),
        Index(
            "tasks_unfinished_of_schedule",
            "schedule_id",
            postgresql_where=text(
                "schedule_id is not null and state in ('SCHEDULED', 'QUEUED', 'RUNNING', 'RETRYING')"
            ),
        ),
        Index("tasks_ended", "state", "finished_at", postgresql_where=text("finished_at is not null")),
        _stored(
            dead=20_000, fillfactor="80", autovacuum_vacuum_cost_delay="1", autovacuum_vacuum_cost_limit="1000"
        ),
    )

    id: UUID = Field(primary_key=True)
    tenant: str = Field(sa_type=Text)
    title: str = Field(sa_type=Text)
    description: str | None = Field(default=None, sa_type=Text)
    state: TaskState = Field(sa_column=Column(TASK_STATE, nullable=False, server_default="SCHEDULED"))
    scheduled_at: datetime = Field(sa_type=INSTANT)
    action: dict[str, Any] = Field(sa_type=JSONB)
    queue: str = Field(sa_type=Text)
    priority: int = Field(sa_type=SmallInteger)
    key: str | None = Field(default=None, sa_type=Text)
    owner: str | None = Field(default=None, sa_type=Text)
    labels: list[list[str]] = Field(sa_type=JSONB)
    concurrency_key: str | None = Field(default=None, sa_type=Text)
    timeout: timedelta = Field(sa_type=Interval)
    max_attempts: int = Field(sa_type=SmallInteger)
    backoff: str = Field(sa_type=Text)
    backoff_base: timedelta = Field(sa_type=Interval)
    backoff_cap: timedelta = Field(sa_type=Interval)
    attempt: int = Field(sa_column_kwargs={"server_default": "0"})
    uncounted_attempts: int = Field(sa_column_kwargs={"server_default": "0"})
    losses: int = Field(sa_type=SmallInteger, sa_column_kwargs={"server_default": "0"})
    fence: int = Field(sa_type=BigInteger, sa_column_kwargs={"server_default": "0"})
    version: int = Field(sa_column_kwargs={"server_default": "1"})
    created_at: datetime = Field(sa_type=INSTANT, sa_column_kwargs=_now())
    updated_at: datetime = Field(sa_type=INSTANT, sa_column_kwargs=_now())
    queued_at: datetime | None = Field(default=None, sa_type=INSTANT)
    started_at: datetime | None = Field(default=None, sa_type=INSTANT)
    finished_at: datetime | None = Field(default=None, sa_type=INSTANT)
    cancel_requested_at: datetime | None = Field(default=None, sa_type=INSTANT)
    worker_id: UUID | None = None
    result: Any = Field(default=None, sa_column=Column(JSONB))
    error_type: str | None = Field(default=None, sa_type=Text)
    error_message: str | None = Field(default=None, sa_type=Text)
    error_attempt: int | None = None
    traceparent: str = Field(sa_type=Text)
    fingerprint: bytes = Field(sa_type=LargeBinary)
    schedule_id: UUID | None = None
    schedule_revision: int | None = None
    fire_time: datetime | None = Field(default=None, sa_type=INSTANT)
    awaits_key: bool = Field(sa_column_kwargs={"server_default": text("false")})
    limited: bool = Field(sa_column_kwargs={"server_default": text("false")})


class ScheduleRow(SQLModel, table=True):
    __tablename__ = "schedules"
    __table_args__ = (
        Index("schedules_by_tenant", "tenant", "id"),
        Index("schedules_by_owner", "tenant", "owner", "id", postgresql_where=text("owner is not null")),
        Index(
            "schedules_due",
            "next_fire_time",
            "id",
            postgresql_where=text("next_fire_time is not null and not paused"),
        ),
        Index("schedules_held", "held_fire_time", postgresql_where=text("held_fire_time is not null")),
        {"postgresql_with": {"fillfactor": "80"}},
    )

    id: UUID = Field(primary_key=True)
    tenant: str = Field(sa_type=Text)
    name: str = Field(sa_type=Text)
    recurrence: dict[str, Any] = Field(sa_type=JSONB)
    zone: str = Field(sa_type=Text)
    starts_at: datetime | None = Field(default=None, sa_type=INSTANT)
    ends_at: datetime | None = Field(default=None, sa_type=INSTANT)
    jitter: timedelta = Field(sa_type=Interval)
    misfire_policy: str = Field(sa_type=Text)
    catch_up_window: timedelta = Field(sa_type=Interval)
    overlap_policy: str = Field(sa_type=Text)
    paused: bool
    fault: str | None = Field(default=None, sa_type=Text)
    task: dict[str, Any] = Field(sa_type=JSONB)
    owner: str | None = Field(default=None, sa_type=Text)
    revision: int
    version: int
    anchor: datetime = Field(sa_type=INSTANT)
    settled_until: datetime = Field(sa_type=INSTANT)
    next_fire_time: datetime | None = Field(default=None, sa_type=INSTANT)
    held_fire_time: datetime | None = Field(default=None, sa_type=INSTANT)
    zone_version: str = Field(sa_type=Text)
    created_at: datetime = Field(sa_type=INSTANT)
    updated_at: datetime = Field(sa_type=INSTANT)


class LaneRow(SQLModel, table=True):
    """The tasks of one queue and priority are claimed from one lane; there is one wherever some may be due."""

    __tablename__ = "lanes"
    __table_args__ = ({"postgresql_with": {"fillfactor": "50"}},)

    tenant: str = Field(sa_type=Text, primary_key=True)
    queue: str = Field(sa_type=Text, primary_key=True)
    priority: int = Field(sa_type=SmallInteger, primary_key=True)
    reopened_at: datetime = Field(sa_type=INSTANT, sa_column_kwargs=_now())


class QueueRow(SQLModel, table=True):
    """What is set for a queue; one without settings has no row."""

    __tablename__ = "queues"
    __table_args__ = ({"postgresql_with": {"fillfactor": "50"}},)

    tenant: str = Field(sa_type=Text, primary_key=True)
    name: str = Field(sa_type=Text, primary_key=True)
    paused: bool = Field(sa_column_kwargs={"server_default": text("false")})
    concurrency: int | None = None
    rate_per_second: float | None = Field(default=None, sa_type=DOUBLE_PRECISION)
    tokens: float = Field(sa_type=DOUBLE_PRECISION, sa_column_kwargs={"server_default": text("0")})
    refilled_at: datetime = Field(sa_type=INSTANT, sa_column_kwargs=_now())


class TaskLabelRow(SQLModel, table=True):
    """The labels of a task once more, indexed: only labelled tasks pay for it."""

    __tablename__ = "task_labels"
    __table_args__ = (_stored(dead=20_000),)

    tenant: str = Field(sa_type=Text, primary_key=True)
    name: str = Field(sa_type=Text, primary_key=True)
    value: str = Field(sa_type=Text, primary_key=True)
    task_id: UUID = Field(primary_key=True, foreign_key="tasks.id", ondelete="CASCADE", index=True)


class TaskWordsRow(SQLModel, table=True):
    """The words of a task's title and description, for search by prefix."""

    __tablename__ = "task_words"
    __table_args__ = (
        Index(
            "task_words_words",
            "words",
            postgresql_using="gin",
            postgresql_with={"gin_pending_list_limit": "256"},
        ),
        _stored(dead=20_000),
    )

    task_id: UUID = Field(primary_key=True, foreign_key="tasks.id", ondelete="CASCADE")
    tenant: str = Field(sa_type=Text)
    words: Any = Field(sa_column=Column(TSVECTOR, nullable=False))


class TaskProgressRow(SQLModel, table=True):
    """What the latest attempt reported: off the task's row, which is costly to write."""

    __tablename__ = "task_progress"
    __table_args__ = (_stored(dead=5_000, fillfactor="80"),)

    task_id: UUID = Field(primary_key=True, foreign_key="tasks.id", ondelete="CASCADE")
    fence: int = Field(sa_type=BigInteger)
    fraction: float = Field(sa_type=DOUBLE_PRECISION)
    message: str | None = Field(default=None, sa_type=Text)
    at: datetime = Field(sa_type=INSTANT)


class TaskLogRow(SQLModel, table=True):
    """A line that an attempt wrote; its place in the task's log is its worker's to say."""

    __tablename__ = "task_log"
    __table_args__ = (_stored(dead=20_000),)

    task_id: UUID = Field(primary_key=True, foreign_key="tasks.id", ondelete="CASCADE")
    fence: int = Field(sa_type=BigInteger, primary_key=True)
    number: int = Field(primary_key=True)
    attempt: int
    at: datetime = Field(sa_type=INSTANT)
    message: str = Field(sa_type=Text)


class AttemptRow(SQLModel, table=True):
    """An attempt that ended. One that runs is told by its task's row alone. Each day has a table of its own."""

    __tablename__ = "attempts"
    __table_args__ = ({"postgresql_partition_by": "RANGE (finished_at)"},)

    task_id: UUID = Field(primary_key=True)
    number: int = Field(primary_key=True)
    tenant: str = Field(sa_type=Text)
    state: AttemptState = Field(sa_column=Column(ATTEMPT_STATE, nullable=False))
    due_at: datetime = Field(sa_type=INSTANT)
    started_at: datetime = Field(sa_type=INSTANT)
    finished_at: datetime = Field(sa_type=INSTANT, primary_key=True)
    worker: str = Field(sa_type=Text)
    error_type: str | None = Field(default=None, sa_type=Text)
    error_message: str | None = Field(default=None, sa_type=Text)


class WorkerRow(SQLModel, table=True):
    __tablename__ = "workers"
    __table_args__ = (_stored(dead=200, fillfactor="50"),)

    id: UUID = Field(primary_key=True)
    name: str = Field(sa_type=Text)
    slots: int
    lease_until: datetime = Field(sa_type=INSTANT)
    draining: bool = Field(sa_column_kwargs={"server_default": text("false")})
    started_at: datetime = Field(sa_type=INSTANT, sa_column_kwargs=_now())


class OutboxRow(SQLModel, table=True):
    __tablename__ = "outbox"
    __table_args__ = (_stored(dead=5_000, autovacuum_vacuum_cost_delay="0"),)

    seq: int = Field(sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    partition: int = Field(sa_type=SmallInteger)
    event: dict[str, Any] = Field(sa_type=JSON)
    created_at: datetime = Field(sa_type=INSTANT, sa_column_kwargs=_now())


class OutboxFloorRow(SQLModel, table=True):
    """Up to that place, nothing of the partition is left in the outbox. Written by the relay that leads it."""

    __tablename__ = "outbox_floors"
    __table_args__ = (_stored(dead=200, fillfactor="50"),)

    partition: int = Field(sa_type=SmallInteger, primary_key=True, sa_column_kwargs={"autoincrement": False})
    seq: int = Field(sa_type=BigInteger)


class NotificationStreamRow(SQLModel, table=True):
    """Each tenant's counter: it is locked while places are taken, so that commits are in their order."""

    __tablename__ = "notification_streams"
    __table_args__ = (_stored(dead=200, fillfactor="50"),)

    tenant: str = Field(sa_type=Text, primary_key=True)
    last_seq: int = Field(sa_type=BigInteger, sa_column_kwargs={"server_default": "0"})
    pruned_seq: int = Field(sa_type=BigInteger, sa_column_kwargs={"server_default": "0"})
    """The last place whose notification was removed for its age; 0 while none was."""


class NotificationRow(SQLModel, table=True):
    __tablename__ = "notifications"
    __table_args__ = (
        Index("notifications_event", "event_id", unique=True),
        Index("notifications_id", "id", unique=True),
        Index("notifications_by_task", "task_id", "seq"),
        Index("notifications_by_owner", "tenant", "owner", "seq", postgresql_where=text("owner is not null")),
        Index(
            "notifications_unread_by_owner",
            "tenant",
            "owner",
            "seq",
            postgresql_where=text("read_at is null and owner is not null"),
        ),
        Index("notifications_unread", "tenant", "seq", postgresql_where=text("read_at is null")),
        _stored(dead=20_000),
    )

    tenant: str = Field(sa_type=Text, primary_key=True)
    seq: int = Field(sa_type=BigInteger, primary_key=True)
    id: UUID
    event_id: str = Field(sa_type=Text)
    kind: NotificationKind = Field(sa_column=Column(NOTIFICATION_KIND, nullable=False))
    title: str = Field(sa_type=Text)
    body: str | None = Field(default=None, sa_type=Text)
    owner: str | None = Field(default=None, sa_type=Text)
    task_id: UUID | None = None
    created_at: datetime = Field(sa_type=INSTANT, sa_column_kwargs=_now())
    read_at: datetime | None = Field(default=None, sa_type=INSTANT)
    traceparent: str = Field(sa_type=Text)


class WebhookSecretRow(SQLModel, table=True):
    """Encrypted: its tenant, its origin and its id are part of what the ciphertext is bound to."""

    __tablename__ = "webhook_secrets"
    __table_args__ = (
        Index("webhook_secrets_by_origin", "tenant", "origin", "created_at"),
        Index(
            "webhook_secrets_active",
            "tenant",
            "origin",
            unique=True,
            postgresql_where=text("retires_at is null"),
        ),
    )

    id: UUID = Field(primary_key=True)
    tenant: str = Field(sa_type=Text)
    origin: str = Field(sa_type=Text)
    prefix: str = Field(sa_type=Text)
    key_id: str = Field(sa_type=Text)
    nonce: bytes = Field(sa_type=LargeBinary)
    ciphertext: bytes = Field(sa_type=LargeBinary)
    created_at: datetime = Field(sa_type=INSTANT, sa_column_kwargs=_now())
    retires_at: datetime | None = Field(default=None, sa_type=INSTANT)


class AccessTokenRow(SQLModel, table=True):
    """The text of a token is kept as its hash alone."""

    __tablename__ = "access_tokens"
    __table_args__ = (
        Index("access_tokens_prefix", "prefix", unique=True),
        Index("access_tokens_by_tenant", "tenant", "created_at", "id"),
    )

    id: UUID = Field(primary_key=True)
    tenant: str = Field(sa_type=Text)
    name: str = Field(sa_type=Text)
    prefix: str = Field(sa_type=Text)
    digest: bytes = Field(sa_type=LargeBinary)
    role: str = Field(sa_type=Text)
    owner: str | None = Field(default=None, sa_type=Text)
    created_at: datetime = Field(sa_type=INSTANT)
    expires_at: datetime | None = Field(default=None, sa_type=INSTANT)
    revoked_at: datetime | None = Field(default=None, sa_type=INSTANT)
    last_used_at: datetime | None = Field(default=None, sa_type=INSTANT)


class AuditLogRow(SQLModel, table=True):
    """A mutation that was asked for. Without an outcome its process ended before it could say."""

    __tablename__ = "audit_log"
    __table_args__ = (Index("audit_log_at", "at"), _stored(dead=20_000, fillfactor="70"))

    tenant: str = Field(sa_type=Text, primary_key=True)
    id: UUID = Field(primary_key=True)
    at: datetime = Field(sa_type=INSTANT)
    operation: str = Field(sa_type=Text)
    credential: str | None = Field(default=None, sa_type=Text)
    role: str = Field(sa_type=Text)
    owner: str | None = Field(default=None, sa_type=Text)
    trace_id: str = Field(sa_type=Text)
    outcome: str | None = Field(default=None, sa_type=Text)
    code: str | None = Field(default=None, sa_type=Text)
    ids: str | None = Field(default=None, sa_type=Text)
    count: int | None = None


class DocumentRow(SQLModel, table=True):
    """Of the installation, and so of no tenant. Each change of any has a revision of its own."""

    __tablename__ = "documents"
    __table_args__ = (Index("documents_by_revision", "revision"),)

    hash: str = Field(sa_type=Text, primary_key=True)
    text: str = Field(sa_type=Text)
    name: str | None = Field(default=None, sa_type=Text)
    kind: str = Field(sa_type=Text)
    revision: int = Field(sa_type=BigInteger)
    published_at: datetime = Field(sa_type=INSTANT, sa_column_kwargs=_now())
    retired_at: datetime | None = Field(default=None, sa_type=INSTANT)


class DocumentUsesRow(SQLModel, table=True):
    """Beside the documents, so that counting rewrites no texts."""

    __tablename__ = "document_uses"

    hash: str = Field(sa_type=Text, primary_key=True)
    uses: int = Field(sa_type=BigInteger)
    last_used_at: datetime = Field(sa_type=INSTANT, sa_column_kwargs=_now())
