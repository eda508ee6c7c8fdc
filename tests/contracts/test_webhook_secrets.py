"""What the stored secrets of webhooks promise: two valid at once, encrypted, and each tenant's its own."""

from __future__ import annotations

import asyncio
import base64
from datetime import timedelta
from uuid import UUID

import pytest

from domain.errors import Conflict, NotFound, NothingEncrypts, TooMany
from domain.webhooks.model import Made
from domain.webhooks.ports import Unreadable
from infra.encryption.keys import KeyRing, new_key, read_keys
from infra.postgres.webhook_secrets import PostgresWebhookSecrets
from tests.support.storage import Storage, ids

pytestmark = pytest.mark.postgres

HOOKS, OTHER = "https://hooks.example.com", "https://other.example.com:8443"
DAY = timedelta(days=1)


async def make(storage: Storage, origin: str | None = HOOKS, tenant: str = "acme") -> Made:
    return await storage.webhook_secrets.add(tenant, ids.next(), origin, 100)


async def rotate(storage: Storage, id: UUID, overlap: timedelta = DAY, tenant: str = "acme") -> Made:
    return await storage.webhook_secrets.rotate(tenant, id, ids.next(), overlap)


async def keys(storage: Storage, origin: str = HOOKS, tenant: str = "acme") -> list[str]:
    """The secrets that sign for this origin, as they were shown when they were made."""
    signing = await storage.webhook_secrets.signing(tenant, origin)
    return ["whsec_" + base64.b64encode(each.key).decode() for each in signing]


async def lapse(storage: Storage, id: UUID) -> None:
    await storage.execute("update webhook_secrets set retires_at = now() where id = $1", id)


async def test_a_secret_signs_for_its_origin_and_is_known_by_its_first_characters(storage: Storage) -> None:
    made = await make(storage)
    assert await keys(storage) == [made.secret]
    assert await keys(storage, OTHER) == []
    assert made.secret.startswith(made.record.prefix)
    assert len(made.record.prefix) == 10
    assert len(base64.b64decode(made.secret.removeprefix("whsec_"))) == 32
    assert await storage.webhook_secrets.valid("acme") == [made.record]
    assert await storage.webhook_secrets.find("acme", made.record.id) == made.record
    assert made.secret not in repr(made)


async def test_the_one_without_an_origin_signs_where_there_is_none_of_the_origins_own(storage: Storage) -> None:
    every, own = await make(storage, None), await make(storage)
    assert await keys(storage) == [own.secret]
    assert await keys(storage, OTHER) == [every.secret]
    await storage.webhook_secrets.delete("acme", own.record.id)
    assert await keys(storage) == [every.secret]


@pytest.mark.parametrize("origin", [HOOKS, None])
async def test_an_origin_has_one_active_secret(storage: Storage, origin: str | None) -> None:
    await make(storage, origin)
    with pytest.raises(Conflict, match="rotate it"):
        await make(storage, origin)
    await make(storage, OTHER)


async def test_both_sign_until_the_old_one_retires(storage: Storage) -> None:
    old = await make(storage)
    new = await rotate(storage, old.record.id)
    assert await keys(storage) == [new.secret, old.secret]
    retiring, active = await storage.webhook_secrets.valid("acme")
    assert (retiring.id, active.id) == (old.record.id, new.record.id)
    assert retiring.retires_at == active.created_at + DAY
    assert active.retires_at is None
    await lapse(storage, old.record.id)
    assert await keys(storage) == [new.secret]
    assert await storage.webhook_secrets.valid("acme") == [active]
    assert await storage.webhook_secrets.find("acme", old.record.id) is None


async def test_never_more_than_two_are_valid(storage: Storage) -> None:
    first = await make(storage)
    second = await rotate(storage, first.record.id)
    with pytest.raises(Conflict, match="Two sign already"):
        await rotate(storage, second.record.id)
    with pytest.raises(Conflict, match="rotated already"):
        await rotate(storage, first.record.id)
    third = await rotate(storage, second.record.id, timedelta(0))
    assert await keys(storage) == [third.secret, first.secret]
    await storage.webhook_secrets.delete("acme", first.record.id)
    fourth = await rotate(storage, third.record.id)
    assert await keys(storage) == [fourth.secret, third.secret]


async def test_whoever_asks_at_once_one_of_them_makes_it_and_one_rotates_it(storage: Storage) -> None:
    made = await asyncio.gather(*(make(storage) for _ in range(8)), return_exceptions=True)
    [one] = [each for each in made if isinstance(each, Made)]
    assert sum(isinstance(each, Conflict) for each in made) == 7
    rotated = await asyncio.gather(*(rotate(storage, one.record.id) for _ in range(8)), return_exceptions=True)
    [new] = [each for each in rotated if isinstance(each, Made)]
    assert sum(isinstance(each, Conflict) for each in rotated) == 7
    assert await keys(storage) == [new.secret, one.secret]


async def test_what_is_another_tenants_is_not_there(storage: Storage) -> None:
    theirs = await make(storage, tenant="other")
    mine = await make(storage)
    assert await keys(storage, tenant="other") == [theirs.secret] != [mine.secret]
    assert await storage.webhook_secrets.find("acme", theirs.record.id) is None
    for refused in (
        storage.webhook_secrets.delete("acme", theirs.record.id),
        rotate(storage, theirs.record.id),
        rotate(storage, ids.next()),
    ):
        with pytest.raises(NotFound):
            await refused
    assert await keys(storage, tenant="other") == [theirs.secret]


async def test_there_are_only_so_many(storage: Storage) -> None:
    first = await storage.webhook_secrets.add("acme", ids.next(), None, 2)
    await storage.webhook_secrets.add("acme", ids.next(), HOOKS, 2)
    with pytest.raises(TooMany):
        await storage.webhook_secrets.add("acme", ids.next(), OTHER, 2)
    await rotate(storage, first.record.id, timedelta(0))
    with pytest.raises(TooMany):
        await storage.webhook_secrets.add("acme", ids.next(), OTHER, 2)


async def test_the_secret_is_nowhere_in_the_table(storage: Storage) -> None:
    made = await make(storage)
    key = base64.b64decode(made.secret.removeprefix("whsec_"))
    async with storage.database.work("test") as connection:
        row = await connection.fetchrow("select * from webhook_secrets")
    assert row is not None
    stored = b"".join(value if isinstance(value, bytes) else str(value).encode() for value in row.values())
    assert key not in stored
    assert made.secret[10:].encode() not in stored


@pytest.mark.parametrize("moved", ["tenant = 'other'", f"origin = '{OTHER}'", "id = gen_random_uuid()"])
async def test_a_row_that_was_moved_is_not_decrypted(storage: Storage, moved: str) -> None:
    await make(storage)
    await storage.execute(f"update webhook_secrets set {moved}")
    for tenant, origin in (("other", HOOKS), ("acme", OTHER), ("acme", HOOKS)):
        try:
            assert await keys(storage, origin, tenant) == []
        except Unreadable:
            continue


async def test_another_ring_reads_it_only_with_the_key_it_was_made_with(storage: Storage) -> None:
    old = new_key("old")
    before = PostgresWebhookSecrets(storage.database, read_keys(old))
    made = await before.add("acme", ids.next(), HOOKS, 9)
    after = PostgresWebhookSecrets(storage.database, read_keys(f"{new_key('new')},{old}"))
    assert [each.key for each in await after.signing("acme", HOOKS)] == [
        base64.b64decode(made.secret.removeprefix("whsec_"))
    ]
    for ring in (read_keys(new_key("new")), KeyRing()):
        with pytest.raises(Unreadable, match="the key old is not among CARILLON_ENCRYPTION_KEYS"):
            await PostgresWebhookSecrets(storage.database, ring).signing("acme", HOOKS)


async def test_without_a_key_none_is_made_and_none_lost(storage: Storage) -> None:
    made = await make(storage)
    keyless = PostgresWebhookSecrets(storage.database, KeyRing())
    with pytest.raises(NothingEncrypts, match="CARILLON_ENCRYPTION_KEYS"):
        await keyless.add("acme", ids.next(), OTHER, 9)
    with pytest.raises(NothingEncrypts):
        await keyless.rotate("acme", made.record.id, ids.next(), DAY)
    assert await keys(storage) == [made.secret]
    assert await storage.webhook_secrets.valid("acme") == [made.record]
