"""Stored access tokens: found by their prefix, listed and revoked within their tenant, never kept as text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domain.errors import NotFound
from domain.tenancy.model import Role
from domain.tenancy.tokens import AccessToken, Kept, digest, new_text, prefix_of
from infra.system import random_bytes
from tests.support.storage import Storage, ids

pytestmark = pytest.mark.postgres

MADE = datetime(2030, 1, 31, 8, tzinfo=UTC)


async def keep(storage: Storage, **fields: Any) -> tuple[AccessToken, str]:
    text = new_text(random_bytes)
    token = AccessToken(
        **{
            "id": ids.next(),
            "tenant": "acme",
            "name": "shop",
            "prefix": prefix_of(text),
            "role": Role.EDITOR,
            "created_at": MADE,
            **fields,
        }
    )
    await storage.access_tokens.add(Kept(token, digest(text)))
    return token, text


async def test_a_token_is_found_by_its_prefix_as_it_was_kept(storage: Storage) -> None:
    plain, text = await keep(storage)
    bound, _ = await keep(storage, role=Role.VIEWER, owner="alice", expires_at=MADE + timedelta(days=90))
    for token in (plain, bound):
        kept = await storage.access_tokens.find(token.prefix)
        assert kept is not None
        assert kept.token == token
    kept = await storage.access_tokens.find(plain.prefix)
    assert kept is not None
    assert kept.is_of(text)
    assert not kept.is_of(new_text(random_bytes))
    assert await storage.access_tokens.find("crl_aaaaaaaa") is None


async def test_what_is_stored_does_not_tell_the_token(storage: Storage) -> None:
    _, text = await keep(storage)
    async with storage.database.work("test") as connection:
        row = await connection.fetchval("select to_jsonb(t)::text from access_tokens as t")
    assert text.rpartition("_")[2] not in row


async def test_tokens_are_listed_for_each_tenant_oldest_first(storage: Storage) -> None:
    late, _ = await keep(storage, created_at=MADE + timedelta(seconds=1))
    early, _ = await keep(storage)
    other, _ = await keep(storage, tenant="other")
    assert await storage.access_tokens.all("acme") == [early, late]
    assert await storage.access_tokens.all("other") == [other]


async def test_revoking_is_for_good_and_within_the_tenant(storage: Storage) -> None:
    token, _ = await keep(storage)
    with pytest.raises(NotFound):
        await storage.access_tokens.revoke("other", token.prefix)
    revoked = await storage.access_tokens.revoke("acme", token.prefix)
    assert revoked.revoked_at is not None
    assert not revoked.is_valid(MADE)
    assert await storage.access_tokens.revoke("acme", token.prefix) == revoked
    kept = await storage.access_tokens.find(token.prefix)
    assert kept is not None
    assert kept.token == revoked


async def test_a_use_is_noted_to_the_hour(storage: Storage) -> None:
    token, _ = await keep(storage)

    async def used() -> datetime | None:
        kept = await storage.access_tokens.find(token.prefix)
        assert kept is not None
        return kept.token.last_used_at

    await storage.access_tokens.note_use("other", token.id)
    assert await used() is None
    await storage.access_tokens.note_use("acme", token.id)
    first = await used()
    await storage.access_tokens.note_use("acme", token.id)
    assert await used() == first
    await storage.execute("update access_tokens set last_used_at = now() - interval '61 min'")
    stale = await used()
    await storage.access_tokens.note_use("acme", token.id)
    assert first is not None
    assert stale is not None
    assert stale < first <= (await used() or stale)
