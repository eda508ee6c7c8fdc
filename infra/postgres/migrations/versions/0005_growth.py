"""Attempts by day, what pruning looks for, and tables that are vacuumed by what changed, not by their size."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# Workers of the version before go on writing to it meanwhile: they wait for this transaction.
ATTEMPTS = (
    "alter table attempts rename to attempts_before",
    "alter index attempts_pkey rename to attempts_before_pkey",
    """
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
        primary key (task_id, number, finished_at)
    ) partition by range (finished_at)
    """,
    "create table attempts_default partition of attempts default",
    """
    do $$
    declare
        day date;
    begin
        for day in
            select distinct (finished_at at time zone 'UTC')::date from attempts_before
            union select (now() at time zone 'UTC')::date + ahead from generate_series(0, 3) as ahead
        loop
            execute format('create table %I partition of attempts for values from (%L) to (%L)',
                to_char(day, '"attempts_"YYYYMMDD'),
                day::timestamp at time zone 'UTC', (day + 1)::timestamp at time zone 'UTC');
        end loop;
    end
    $$
    """,
    """
    insert into attempts
        (task_id, number, tenant, state, due_at, started_at, finished_at, worker, error_type, error_message)
    select task_id, number, tenant, state, due_at, started_at, finished_at, worker, error_type, error_message
    from attempts_before
    """,
    "drop table attempts_before",
)

PRUNING = (
    "create index tasks_ended on tasks (state, finished_at) where finished_at is not null",
    "alter table notification_streams add column pruned_seq bigint default '0' not null",
)

OUTBOX = """
create table outbox_floors (
    partition smallint not null,
    seq bigint not null,
    primary key (partition)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200)
"""

# A share of the table, the default, means that the more is stored, the later what died is cleared away.
VACUUM = (
    """
    alter table tasks set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000,
        autovacuum_vacuum_cost_delay = 1, autovacuum_vacuum_cost_limit = 1000)
    """,
    "alter table task_labels set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000)",
    "alter table task_words set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000)",
    "alter table task_log set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000)",
    """
    alter table task_progress set (fillfactor = 80, autovacuum_vacuum_scale_factor = 0,
        autovacuum_vacuum_threshold = 5000)
    """,
    """
    alter table outbox set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_cost_delay = 0)
    """,
    "alter table workers set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200)",
    """
    alter table notification_streams set (fillfactor = 50, autovacuum_vacuum_scale_factor = 0,
        autovacuum_vacuum_threshold = 200)
    """,
    "alter table notifications set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000)",
)


def upgrade() -> None:
    for statement in (*ATTEMPTS, *PRUNING, OUTBOX, *VACUUM):
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("attempts are not put back into one table")
