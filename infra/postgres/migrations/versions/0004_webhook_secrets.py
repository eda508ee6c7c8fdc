"""The secrets that sign webhooks, encrypted."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TABLE = """
create table webhook_secrets (
    id uuid not null,
    tenant text not null,
    origin text not null,
    prefix text not null,
    key_id text not null,
    nonce bytea not null,
    ciphertext bytea not null,
    created_at timestamptz default now() not null,
    retires_at timestamptz,
    primary key (id)
)
"""
BY_ORIGIN = "create index webhook_secrets_by_origin on webhook_secrets (tenant, origin, created_at)"
ACTIVE = (
    "create unique index webhook_secrets_active on webhook_secrets (tenant, origin) where retires_at is null"
)


def upgrade() -> None:
    for statement in (TABLE, BY_ORIGIN, ACTIVE):
        op.execute(statement)


def downgrade() -> None:
    op.execute("drop table webhook_secrets")
