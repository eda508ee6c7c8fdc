"""The rows of a tenant are shown to that tenant alone, by PostgreSQL itself; mutations are in an audit log."""

from alembic import op
from sqlalchemy import text

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

AUDIT_LOG = """
create table audit_log (
    tenant text not null,
    id uuid not null,
    at timestamptz not null,
    operation text not null,
    credential text,
    role text not null,
    owner text,
    trace_id text not null,
    outcome text,
    code text,
    ids text,
    count integer,
    primary key (tenant, id)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, fillfactor = 70)
"""
AUDIT_LOG_AT = "create index audit_log_at on audit_log (at)"

# Whoever owns the tables is not bound by their policies: the engine serves all tenants. Days of attempts have
# none of their own, and are granted to nobody.
ROLE = "carillon_tenant"
MINE = "tenant = current_setting('carillon.tenant', true)"
MY_TASKS = "exists (select from tasks as t where t.id = task_id)"
POLICIES = {
    "tasks": MINE,
    "task_words": MINE,
    "task_labels": MINE,
    "task_progress": MY_TASKS,
    "task_log": MY_TASKS,
    "attempts": MINE,
    "schedules": MINE,
    "lanes": MINE,
    "queues": MINE,
    "notifications": MINE,
    "notification_streams": MINE,
    "webhook_secrets": MINE,
    "access_tokens": MINE,
    "audit_log": MINE,
}
GRANTS = {
    "select, insert, update, delete": "tasks, task_words, task_labels, schedules, queues, webhook_secrets",
    "select, insert, update": "lanes",
    "select, delete": "attempts",
    "select, update": "notifications",
    "select": "task_progress, task_log, notification_streams, workers, audit_log",
    "insert": "outbox",
}

# A condition that is not leakproof, as that on words, may use no index beside a policy. As its owner, and with
# the policy's own condition; planned for the words at hand each time. `most` null is without limit.
FIND_WORDS = """
create function find_words_v1(tenant text, query text, most bigint) returns setof uuid
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
    return query execute
        'select task_id from {schema}.task_words
         where tenant = $1 and tenant = current_setting(''carillon.tenant'', true) and words @@ $2::tsquery
         limit $3' using tenant, query, most;
end
$$
"""


def upgrade() -> None:
    op.execute(AUDIT_LOG)
    op.execute(AUDIT_LOG_AT)
    for table, rule in POLICIES.items():
        op.execute(f"alter table {table} enable row level security")
        op.execute(f"create policy of_tenant on {table} to {ROLE} using ({rule})")
    for privileges, tables in GRANTS.items():
        op.execute(f"grant {privileges} on {tables} to {ROLE}")
    schema = op.get_bind().scalar(text("select quote_ident(current_schema)"))
    op.execute(f"grant usage on schema {schema} to {ROLE}")
    op.execute(FIND_WORDS.format(schema=schema))
    op.execute("revoke execute on function find_words_v1 from public")
    op.execute(f"grant execute on function find_words_v1 to {ROLE}")


def downgrade() -> None:
    op.execute("drop function find_words_v1")
    for privileges, tables in GRANTS.items():
        op.execute(f"revoke {privileges} on {tables} from {ROLE}")
    for table in POLICIES:
        op.execute(f"drop policy of_tenant on {table}")
        op.execute(f"alter table {table} disable row level security")
    op.execute("drop table audit_log")
