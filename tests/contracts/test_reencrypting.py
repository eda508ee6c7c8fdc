"""After a rotation of keys everything is encrypted with the newest, and the older ones can go."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from functools import partial
from uuid import UUID

import pytest

from domain.actions.model import Http, SealedValue
from domain.paging import PageRequest
from infra.encryption.headers import HeaderSeals
from infra.encryption.keys import KeyRing, new_key, read_keys
from infra.postgres import reencrypting
from infra.postgres.reencrypting import Reencrypted, reencrypt
from infra.postgres.schedules import PostgresSchedules
from infra.postgres.tasks import PostgresTasks
from infra.postgres.webhook_secrets import PostgresWebhookSecrets
from tests.support.schedules import TEMPLATE, a_schedule
from tests.support.storage import Storage, a_task, ids

pytestmark = pytest.mark.postgres

ORIGIN = "https://hooks.example.com"
OLD, NEW = new_key("old"), new_key("new")
WEBHOOK = Http(url=f"{ORIGIN}/a", headers={"Authorization": "Bearer 17", "X-Kind": "t"}, body={"a": 1})


async def filled(storage: Storage, ring: KeyRing) -> list[UUID]:
    tasks = PostgresTasks(storage.database, HeaderSeals(ring))
    added = await tasks.add([a_task(action=WEBHOOK), a_task(), a_task(action=WEBHOOK)])
    schedules = PostgresSchedules(storage.database, HeaderSeals(ring))
    await schedules.add("acme", partial(a_schedule, task=replace(TEMPLATE, action=WEBHOOK)))
    secrets = PostgresWebhookSecrets(storage.database, ring)
    made = await secrets.add("acme", ids.next(), ORIGIN, 9)
    await secrets.rotate("acme", made.record.id, ids.next(), timedelta(days=1))
    return [one.task.id for one in added]


async def headers(storage: Storage, id: UUID, ring: KeyRing) -> dict[str, str]:
    action = (await storage.task(id)).action
    assert isinstance(action, Http)
    assert isinstance(action.headers["Authorization"], SealedValue)
    return HeaderSeals(ring).opened("acme", action)


async def test_everything_is_encrypted_with_the_newest_key(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reencrypting, "BATCH", 1)
    first, _, last = await filled(storage, read_keys(OLD))
    before = await PostgresWebhookSecrets(storage.database, read_keys(OLD)).signing("acme", ORIGIN)
    version = (await storage.task(first)).version
    both = read_keys(f"{NEW},{OLD}")
    assert await reencrypt(storage.database, both) == Reencrypted(changed=5, unreadable=0)
    alone = read_keys(NEW)
    for id in (first, last):
        assert await headers(storage, id, alone) == WEBHOOK.headers
    assert await PostgresWebhookSecrets(storage.database, alone).signing("acme", ORIGIN) == before
    assert (await storage.task(first)).version == version, "nobody's copy of it is stale"
    page = await storage.schedules.page("acme", PageRequest(size=2))
    [schedule] = page.items
    assert isinstance(schedule.task.action, Http)
    assert HeaderSeals(alone).opened("acme", schedule.task.action) == WEBHOOK.headers
    assert await reencrypt(storage.database, both) == Reencrypted(changed=0, unreadable=0)


async def test_what_cannot_be_decrypted_is_told_of_and_left_alone(storage: Storage) -> None:
    first, *_ = await filled(storage, read_keys(OLD))
    done = await reencrypt(storage.database, read_keys(NEW))
    assert (done.changed, done.unreadable, len(done.reasons)) == (0, 5, 1)
    assert "the key old is not among" in done.reasons.pop()
    assert await headers(storage, first, read_keys(OLD)) == WEBHOOK.headers


async def test_credentials_of_before_there_was_a_key_are_encrypted(storage: Storage) -> None:
    (id,) = await storage.added(a_task(action=Http(url=WEBHOOK.url)))
    plain = json.dumps({"kind": "HTTP", "url": WEBHOOK.url, "headers": WEBHOOK.headers, "body": None})
    await storage.execute("update tasks set action = $2::jsonb where id = $1", id, plain)
    assert await reencrypt(storage.database, read_keys(NEW)) == Reencrypted(changed=1, unreadable=0)
    assert await headers(storage, id, read_keys(NEW)) == WEBHOOK.headers
