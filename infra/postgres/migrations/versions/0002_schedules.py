"""Schedules, and which of them made a task."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SCHEDULES = """
create table schedules (
    id uuid not null,
    tenant text not null,
    name text not null,
    recurrence jsonb not null,
    zone text not null,
    starts_at timestamptz,
    ends_at timestamptz,
    jitter interval not null,
    misfire_policy text not null,
    catch_up_window interval not null,
    overlap_policy text not null,
    paused boolean not null,
    fault text,
    task jsonb not null,
    owner text,
    revision integer not null,
    version integer not null,
    anchor timestamptz not null,
    settled_until timestamptz not null,
    next_fire_time timestamptz,
    held_fire_time timestamptz,
    zone_version text not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (id)
) with (fillfactor = 80);
create index schedules_by_tenant on schedules (tenant, id);
create index schedules_by_owner on schedules (tenant, owner, id) where owner is not null;
create index schedules_due on schedules (next_fire_time, id) where next_fire_time is not null and not paused;
create index schedules_held on schedules (held_fire_time) where held_fire_time is not null
"""

# No foreign key: a task outlives its schedule.
TASKS = """
alter table tasks add column schedule_id uuid;
alter table tasks add column schedule_revision integer;
alter table tasks add column fire_time timestamptz;
create unique index tasks_fire on tasks (schedule_id, schedule_revision, fire_time)
    where schedule_id is not null;
create index tasks_by_schedule on tasks (tenant, schedule_id, scheduled_at, id) where schedule_id is not null;
create index tasks_unfinished_of_schedule on tasks (schedule_id)
    where schedule_id is not null and state in ('SCHEDULED', 'QUEUED', 'RUNNING', 'RETRYING')
"""

# As in 0001, with the schedule.
TASK_CHANGED_V1 = """
create or replace function task_changed_v1(t tasks, kind text) returns jsonb language sql stable as $$
    select jsonb_build_object(
        'kind', kind, 'tenant', t.tenant, 'task_id', t.id, 'version', t.version, 'state', t.state,
        'attempt', t.attempt, 'at', t.updated_at, 'scheduled_at', t.scheduled_at, 'title', t.title,
        'owner', t.owner, 'queue', t.queue, 'labels', t.labels, 'action_kind', t.action->>'kind',
        'body', case when t.action->>'kind' = 'NOTIFY' then t.action->>'body' end,
        'error_type', t.error_type, 'error_message', t.error_message, 'traceparent', t.traceparent,
        'schedule_id', t.schedule_id)
$$
"""


def upgrade() -> None:
    for statements in (SCHEDULES, TASKS):
        for statement in statements.split(";\n"):
            op.execute(statement)
    op.execute(TASK_CHANGED_V1)


def downgrade() -> None:
    raise NotImplementedError("schedules cannot be kept in the layout before them")
