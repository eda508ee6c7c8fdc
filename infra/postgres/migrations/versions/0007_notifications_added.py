"""Notifications are added by one call."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# Each statement of a volatile function sees what is committed when it begins (READ COMMITTED): the last one,
# begun under the streams' locks, sees whoever wrote one of these events before. One statement could not: it
# would look with the eyes of before it waited. A version that does otherwise is a new function beside this one.
ADD = """
create function add_notifications_v1(ids uuid[], event_ids text[], tenants text[], kinds notification_kind[],
    titles text[], bodies text[], owners text[], task_ids uuid[], traceparents text[])
returns setof text language plpgsql volatile as $$
begin
    insert into notification_streams (tenant)
    select distinct t.tenant from unnest(tenants) as t(tenant) order by 1 on conflict do nothing;

    perform from notification_streams as s where s.tenant = any(tenants) order by s.tenant for update;

    return query
    with new as materialized (
        select distinct on (d.event_id) d.*
        from unnest(ids, event_ids, tenants, kinds, titles, bodies, owners, task_ids, traceparents)
            with ordinality as d(id, event_id, tenant, kind, title, body, owner, task_id, traceparent, place)
        where not exists (select from notifications as n where n.event_id = d.event_id)
        order by d.event_id, d.place
    ), added as (
        insert into notifications
            (tenant, seq, id, event_id, kind, title, body, owner, task_id, traceparent)
        select new.tenant, s.last_seq + row_number() over (partition by new.tenant order by new.place),
            new.id, new.event_id, new.kind, new.title, new.body, new.owner, new.task_id, new.traceparent
        from new join notification_streams as s on s.tenant = new.tenant
        returning notifications.tenant, notifications.seq
    ), moved as (
        update notification_streams as s set last_seq = a.last
        from (select added.tenant, max(added.seq) as last from added group by added.tenant) as a
        where s.tenant = a.tenant
    )
    select distinct added.tenant from added;
end
$$
"""


def upgrade() -> None:
    op.execute(ADD)


def downgrade() -> None:
    op.execute("drop function add_notifications_v1")
