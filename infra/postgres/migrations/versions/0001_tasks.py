"""Tasks, attempts, workers, the outbox and notifications."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TYPES = """
create type task_state as enum
    ('SCHEDULED', 'QUEUED', 'RUNNING', 'RETRYING', 'SUCCEEDED', 'FAILED', 'CANCELLED');
create type attempt_state as enum
    ('RUNNING', 'SUCCEEDED', 'FAILED', 'TIMED_OUT', 'CANCELLED', 'LOST', 'SNOOZED');
create type notification_kind as enum
    ('TASK_DUE', 'TASK_SUCCEEDED', 'TASK_FAILED', 'TASK_CANCELLED', 'SCHEDULE_MISFIRED');
"""

TABLES = """
create table tasks (
    id uuid not null,
    tenant text not null,
    title text not null,
    description text,
    state task_state default 'SCHEDULED' not null,
    scheduled_at timestamptz not null,
    action jsonb not null,
    queue text not null,
    priority smallint not null,
    key text,
    owner text,
    labels jsonb not null,
    concurrency_key text,
    timeout interval not null,
    max_attempts smallint not null,
    backoff text not null,
    backoff_base interval not null,
    backoff_cap interval not null,
    attempt integer default '0' not null,
    uncounted_attempts integer default '0' not null,
    losses smallint default '0' not null,
    fence bigint default '0' not null,
    version integer default '1' not null,
    created_at timestamptz default now() not null,
    updated_at timestamptz default now() not null,
    queued_at timestamptz,
    started_at timestamptz,
    finished_at timestamptz,
    cancel_requested_at timestamptz,
    worker_id uuid,
    result jsonb,
    error_type text,
    error_message text,
    error_attempt integer,
    traceparent text not null,
    fingerprint bytea not null,
    primary key (id)
) with (fillfactor = 80);
create index tasks_by_creation on tasks (tenant, created_at, id);
create index tasks_by_due on tasks (tenant, scheduled_at, id);
create index tasks_by_owner on tasks (tenant, owner, scheduled_at, id) where owner is not null;
create index tasks_by_queue on tasks (tenant, queue, scheduled_at, id);
create index tasks_by_update on tasks (tenant, updated_at, id);
create index tasks_claimable on tasks (priority, scheduled_at, id) where state in ('SCHEDULED', 'RETRYING');
create index tasks_given_up on tasks (tenant, scheduled_at, id) where state in ('FAILED', 'CANCELLED');
create unique index tasks_key on tasks (tenant, key) where key is not null;
create index tasks_queued on tasks (queued_at) where state = 'QUEUED';
create index tasks_running on tasks (worker_id) where state = 'RUNNING';
create index tasks_waiting on tasks (tenant, scheduled_at, id) where state in ('SCHEDULED', 'RETRYING');

create table task_labels (
    tenant text not null,
    name text not null,
    value text not null,
    task_id uuid not null,
    primary key (tenant, name, value, task_id),
    foreign key(task_id) references tasks (id) on delete cascade
);
create index ix_task_labels_task_id on task_labels (task_id);

create table task_words (
    task_id uuid not null,
    tenant text not null,
    words tsvector not null,
    primary key (task_id),
    foreign key(task_id) references tasks (id) on delete cascade
);
create index task_words_words on task_words using gin (words);

create table task_progress (
    task_id uuid not null,
    fence bigint not null,
    fraction float8 not null,
    message text,
    at timestamptz not null,
    primary key (task_id),
    foreign key(task_id) references tasks (id) on delete cascade
);

create table attempts (
    task_id uuid not null,
    number integer not null,
    tenant text not null,
    state attempt_state not null,
    due_at timestamptz not null,
    started_at timestamptz not null,
    finished_at timestamptz not null,
    worker text not null,
    error_type text,
    error_message text,
    primary key (task_id, number)
);

create table workers (
    id uuid not null,
    name text not null,
    slots integer not null,
    lease_until timestamptz not null,
    draining boolean default false not null,
    started_at timestamptz default now() not null,
    primary key (id)
) with (fillfactor = 50);

create table outbox (
    seq bigint generated always as identity,
    partition smallint not null,
    event jsonb not null,
    created_at timestamptz default now() not null,
    primary key (seq)
);

create table notification_streams (
    tenant text not null,
    last_seq bigint default '0' not null,
    primary key (tenant)
);

create table notifications (
    tenant text not null,
    seq bigint not null,
    id uuid not null,
    event_id text not null,
    kind notification_kind not null,
    title text not null,
    body text,
    owner text,
    task_id uuid,
    created_at timestamptz default now() not null,
    read_at timestamptz,
    traceparent text not null,
    primary key (tenant, seq)
);
create index notifications_by_owner on notifications (tenant, owner, seq) where owner is not null;
create index notifications_by_task on notifications (task_id, seq);
create unique index notifications_event on notifications (event_id);
create unique index notifications_id on notifications (id);
create index notifications_unread on notifications (tenant, seq) where read_at is null;
create index notifications_unread_by_owner on notifications (tenant, owner, seq)
    where read_at is null and owner is not null;
"""

# The wire form of domain.contracts.tasks.TaskChangedV1, made in the statement that changes the task.
FUNCTIONS = """
create function task_changed_v1(t tasks, kind text) returns jsonb language sql stable as $$
    select jsonb_build_object(
        'kind', kind, 'tenant', t.tenant, 'task_id', t.id, 'version', t.version, 'state', t.state,
        'attempt', t.attempt, 'at', t.updated_at, 'scheduled_at', t.scheduled_at, 'title', t.title,
        'owner', t.owner, 'queue', t.queue, 'labels', t.labels, 'action_kind', t.action->>'kind',
        'body', case when t.action->>'kind' = 'NOTIFY' then t.action->>'body' end,
        'error_type', t.error_type, 'error_message', t.error_message, 'traceparent', t.traceparent)
$$;

create function outbox_partition(task_id uuid) returns smallint language sql immutable as $$
    select (hashtextextended(task_id::text, 0) & 7)::smallint
$$;
"""


def upgrade() -> None:
    for statements in (TYPES, TABLES, FUNCTIONS):
        for statement in statements.split(";\n\n" if statements is FUNCTIONS else ";\n"):
            if statement.strip():
                op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("the first layout has none before it")
