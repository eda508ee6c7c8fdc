"""Queues with limits, lanes to claim from, and indexes that claims walk from a floor."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    create table lanes (
        tenant text not null,
        queue text not null,
        priority smallint not null,
        reopened_at timestamptz default now() not null,
        primary key (tenant, queue, priority)
    ) with (fillfactor = 50)
    """,
    """
    create table queues (
        tenant text not null,
        name text not null,
        paused boolean default false not null,
        concurrency integer,
        rate_per_second float8,
        tokens float8 default 0 not null,
        refilled_at timestamptz default now() not null,
        primary key (tenant, name)
    ) with (fillfactor = 50)
    """,
    "alter table tasks add column awaits_key boolean default false not null",
    "alter table tasks add column limited boolean default false not null",
    # Until now a key excluded nothing: of those at work with one key, one keeps it.
    """
    update tasks as t set concurrency_key = null
    where t.state in ('QUEUED', 'RUNNING') and t.concurrency_key is not null and exists (
        select from tasks as o
        where o.tenant = t.tenant and o.concurrency_key = t.concurrency_key and o.id < t.id
            and o.state in ('QUEUED', 'RUNNING'))
    """,
    "drop index tasks_claimable",
    "drop index tasks_queued",
    """
    create index tasks_claimable on tasks (tenant, queue, priority, scheduled_at, id)
        where state in ('SCHEDULED', 'RETRYING') and not awaits_key
    """,
    """
    create index tasks_keyed on tasks (tenant, concurrency_key, scheduled_at)
        where concurrency_key is not null and state in ('SCHEDULED', 'RETRYING') and not awaits_key
    """,
    """
    create index tasks_awaiting_key on tasks (tenant, concurrency_key, queue, priority, scheduled_at, id)
        where state in ('SCHEDULED', 'RETRYING') and awaits_key
    """,
    """
    create unique index tasks_holding_key on tasks (tenant, concurrency_key)
        where concurrency_key is not null and state in ('QUEUED', 'RUNNING')
    """,
    "create index tasks_in_flight on tasks (updated_at) where state in ('QUEUED', 'RUNNING')",
    """
    insert into lanes (tenant, queue, priority)
    select distinct tenant, queue, priority from tasks
    where state in ('SCHEDULED', 'RETRYING', 'QUEUED', 'RUNNING')
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("tasks that wait for a key would be claimed beside its holder")
