"""Documents that clients name by the hashes of their texts."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

TABLE = """
create table documents (
    hash text not null,
    text text not null,
    name text,
    kind text not null,
    revision bigint not null,
    published_at timestamptz not null default now(),
    retired_at timestamptz,
    primary key (hash)
)
"""
BY_REVISION = "create index documents_by_revision on documents (revision)"
USES = """
create table document_uses (
    hash text not null,
    uses bigint not null,
    last_used_at timestamptz not null default now(),
    primary key (hash)
)
"""


def upgrade() -> None:
    for statement in (TABLE, BY_REVISION, USES):
        op.execute(statement)


def downgrade() -> None:
    op.execute("drop table document_uses")
    op.execute("drop table documents")
