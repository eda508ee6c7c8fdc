"""A database with a great many tasks in it, made by the server itself: for seeing what size costs."""

from __future__ import annotations

import asyncpg

CHUNK = 250_000

# Of every ten tasks: eight succeeded over the last four weeks, one failed, one is due in the weeks to come.
TASKS = """
insert into tasks (id, tenant, title, state, scheduled_at, action, queue, priority, owner, labels, timeout,
    max_attempts, backoff, backoff_base, backoff_cap, attempt, fence, version, created_at, updated_at,
    started_at, finished_at, error_type, error_message, error_attempt, traceparent, fingerprint)
select (lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') || left(md5(n::text), 20))::uuid,
    'acme', 'Water plant ' || n, state, due, '{"kind": "NOTIFY", "body": null}', 'default', 5,
    'owner-' || n % 1000, '[]', interval '60 s', 5, 'EXPONENTIAL', interval '2 s', interval '10 min',
    (ended is not null)::int, (ended is not null)::int, 4, at, coalesce(ended, at), ended, ended,
    case when state = 'FAILED' then 'Broken' end, case when state = 'FAILED' then 'It broke.' end,
    case when state = 'FAILED' then 1 end, '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', '\\x01'
from (
    select n, at,
        case n % 10 when 0 then 'FAILED' when 1 then 'SCHEDULED' else 'SUCCEEDED' end::task_state as state,
        case n % 10 when 1 then now() + interval '28 days' * random() + interval '1 day' else at end as due,
        case n % 10 when 1 then null else at + interval '5 s' end as ended
    from (select n, now() - interval '28 days' * (1 - n::float8 / $3) - interval '1 min' as at
        from generate_series($1::int, $2::int) as n) as numbered
) as made
"""
ATTEMPTS = """
insert into attempts (task_id, number, tenant, state, due_at, started_at, finished_at, worker)
select id, 1, tenant, case state when 'FAILED' then 'FAILED' else 'SUCCEEDED' end::attempt_state, scheduled_at,
    started_at, finished_at, 'worker-1'
from tasks where finished_at is not null
"""
WORDS = """
insert into task_words (task_id, tenant, words) select id, tenant, to_tsvector('simple', title) from tasks
"""
NOTIFICATIONS = """
insert into notifications (tenant, seq, id, event_id, kind, title, owner, task_id, created_at, traceparent,
    read_at)
select tenant, row_number() over (order by finished_at), gen_random_uuid(), id || ':4', 'TASK_DUE', title,
    owner, id, finished_at, traceparent, case when finished_at < now() - interval '1 hour' then finished_at end
from tasks where finished_at is not null
"""
STREAM = """
insert into notification_streams (tenant, last_seq) select tenant, max(seq) from notifications group by tenant
"""
# Made again once the rows are there, which is many times faster.
INDEXES = """
select indexrelid::regclass::text as name, pg_get_indexdef(indexrelid) as definition from pg_index
where indrelid in ('tasks'::regclass, 'task_words'::regclass, 'notifications'::regclass) and not indisprimary
"""
DAYS = """
do $$
declare day date;
begin
    for day in select (now() at time zone 'UTC')::date - ago from generate_series(1, 30) as ago loop
        execute format('create table %I partition of attempts for values from (%L) to (%L)',
            to_char(day, '"attempts_"YYYYMMDD'),
            day::timestamp at time zone 'UTC', (day + 1)::timestamp at time zone 'UTC');
    end loop;
end
$$
"""


async def fill(url: str, rows: int) -> None:
    """So many tasks, with their attempts, words and notifications; vacuumed and analysed at the end."""
    connection = await asyncpg.connect(url, timeout=10)
    try:
        await connection.execute("set synchronous_commit = off")
        await connection.execute("set maintenance_work_mem = '512MB'")
        await connection.execute("set session_replication_role = replica")  # no foreign keys are checked
        await connection.execute(DAYS)
        indexes = await connection.fetch(INDEXES)
        for index in indexes:
            await connection.execute(f"drop index {index['name']}")
        for first in range(1, rows + 1, CHUNK):
            await connection.execute(TASKS, first, min(first + CHUNK - 1, rows), rows)
        definitions = [index["definition"] for index in indexes]
        for statement in (ATTEMPTS, WORDS, NOTIFICATIONS, STREAM, *definitions, "vacuum (analyze)"):
            await connection.execute(statement)
    finally:
        await connection.close()
