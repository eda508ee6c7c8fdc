"""Tokens that callers are known by, as hashes."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TABLE = """
create table access_tokens (
    id uuid not null,
    tenant text not null,
    name text not null,
    prefix text not null,
    digest bytea not null,
    role text not null,
    owner text,
    created_at timestamptz not null,
    expires_at timestamptz,
    revoked_at timestamptz,
    last_used_at timestamptz,
    primary key (id)
)
"""
BY_PREFIX = "create unique index access_tokens_prefix on access_tokens (prefix)"
BY_TENANT = "create index access_tokens_by_tenant on access_tokens (tenant, created_at, id)"


def upgrade() -> None:
    for statement in (TABLE, BY_PREFIX, BY_TENANT):
        op.execute(statement)


def downgrade() -> None:
    op.execute("drop table access_tokens")
