"""The log of tasks."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TASK_LOG = """
create table task_log (
    task_id uuid not null,
    fence bigint not null,
    number integer not null,
    attempt integer not null,
    at timestamptz not null,
    message text not null,
    primary key (task_id, fence, number),
    foreign key(task_id) references tasks (id) on delete cascade
)
"""


def upgrade() -> None:
    op.execute(TASK_LOG)


def downgrade() -> None:
    op.execute("drop table task_log")
