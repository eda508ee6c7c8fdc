"""Headers that carry credentials are encrypted from their first row on, sent in plain, and shown to nobody."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any
from uuid import UUID

import pytest

from domain.actions.credentials import REDACTED, is_credential, shown
from domain.actions.model import Failed, Http, SealedValue, Succeeded
from domain.contracts.tasks import TaskEventKind
from domain.errors import Invalid, NothingEncrypts
from domain.tasks.fingerprint import fingerprint
from domain.tasks.model import Task
from infra.cache.task_json import decode, encode
from infra.encryption.headers import HeaderSeals
from infra.encryption.keys import KeyRing, new_key, read_keys
from infra.http.client import build_webhooks
from infra.postgres.tasks import PostgresTasks
from tests.support.schedules import TEMPLATE, Garden
from tests.support.storage import KEYS, Storage, a_task
from tests.support.webhook_receiver import CALL, Told, receiving, settings

TOKEN = "tok-5ecret-0f-the-tests"
HEADERS = {"Authorization": f"Bearer {TOKEN}", "X-Kind": "t", "X-Api-Key": TOKEN}


def webhook(url: str = "https://hooks.example.com/a", **headers: str) -> Http:
    return Http(url=url, headers=headers or HEADERS, body={"a": 1})


@pytest.mark.parametrize(
    "name",
    ["Authorization", "authorization", "Cookie", "X-Api-Key", "x-apikey", "X-API-KEY", "Api_Key",
     "X-Auth-Token",
     "X-Vault-Token", "X-Shop-Access-Token", "PRIVATE-TOKEN", "X-Secret", "Client-Secret", "X-Password",
     "X-Amz-Security-Token", "X-Hub-Signature-256", "X-Auth", "X-Session-Id", "Ocp-Apim-Subscription-Key",
     "X-Functions-Key", "X-Access-Key", "X-JWT", "X-Credentials"],
)  # fmt: skip
def test_headers_that_carry_credentials_are_known(name: str) -> None:
    assert is_credential(name)
    assert shown({name: "x"}) == {name: REDACTED}


@pytest.mark.parametrize(
    "name",
    ["Content-Type", "Accept", "X-Kind", "X-Author", "Idempotency-Key", "X-Request-Id", "User-Agent",
     "X-Monkey",
     "X-Key-Id", "X-Inside"],
)  # fmt: skip
def test_other_headers_are_shown_as_they_are(name: str) -> None:
    assert not is_credential(name)
    assert shown({name: "x"}) == {name: "x"}


@pytest.mark.postgres
async def test_they_are_encrypted_in_every_row_and_event(storage: Storage) -> None:
    (added,) = await storage.tasks.add([a_task(action=webhook())])
    await storage.tasks.change(
        "acme", added.task.id, lambda task, _: replace(task, title="Other"), TaskEventKind.UPDATED
    )
    async with storage.database.work("test") as connection:
        for table in ("tasks", "outbox"):
            rows = await connection.fetch(f"select to_jsonb(t)::text as row from {table} as t")
            assert rows
            assert not [row for row in rows if TOKEN in row["row"]], table
        action = json.loads(await connection.fetchval("select action from tasks"))
    assert set(action["headers"]["Authorization"]) == {"sealed"}
    assert action["headers"]["X-Kind"] == "t"
    assert isinstance(added.task.action, Http)
    assert isinstance(added.task.action.headers["Authorization"], SealedValue)


@pytest.mark.postgres
async def test_an_edit_of_something_else_keeps_them(storage: Storage) -> None:
    (added,) = await storage.tasks.add([a_task(action=webhook())])
    edited = await storage.tasks.change(
        "acme", added.task.id, lambda task, _: replace(task, title="Other"), TaskEventKind.UPDATED
    )
    assert edited.action == added.task.action
    assert isinstance(edited.action, Http)
    assert HeaderSeals(KEYS).opened("acme", edited.action) == HEADERS
    changed = await storage.tasks.change(
        "acme",
        added.task.id,
        lambda task, _: replace(task, action=webhook(Cookie="a=b")),
        TaskEventKind.UPDATED,
    )
    assert isinstance(changed.action, Http)
    assert HeaderSeals(KEYS).opened("acme", changed.action) == {"Cookie": "a=b"}


@pytest.mark.postgres
async def test_a_schedule_keeps_them_encrypted_and_so_do_its_tasks(storage: Storage) -> None:
    made = await Garden(storage).add_passed(1, task=replace(TEMPLATE, action=webhook()))
    await storage.schedules.change("acme", made.id, lambda schedule, _: replace(schedule, name="Other"))
    assert (await storage.firing.fire(10)).tasks == 1
    worker = await storage.a_worker()
    [claimed] = await _all_ids(storage)
    await storage.claimed(10)
    (started,) = await storage.attempts.start(worker, [claimed])
    async with storage.database.work("test") as connection:
        for table in ("schedules", "tasks", "outbox"):
            rows = await connection.fetch(f"select to_jsonb(t)::text as row from {table} as t")
            assert rows
            assert not [row for row in rows if TOKEN in row["row"]], table
    assert isinstance(started.action, Http)
    assert HeaderSeals(KEYS).opened("acme", started.action) == HEADERS
    assert started.fire_time is not None
    await storage.schedules.change(
        "acme",
        made.id,
        lambda schedule, _: replace(schedule, task=replace(schedule.task, action=webhook(Cookie="a=b"))),
    )
    (changed,) = await storage.schedules.find("acme", [made.id])
    assert changed is not None
    assert isinstance(changed.task.action, Http)
    assert HeaderSeals(KEYS).opened("acme", changed.task.action) == {"Cookie": "a=b"}


async def _all_ids(storage: Storage) -> list[UUID]:
    async with storage.database.work("test") as connection:
        return [record["id"] for record in await connection.fetch("select id from tasks")]


@pytest.mark.postgres
async def test_without_keys_a_task_can_still_be_cancelled(storage: Storage) -> None:
    (added,) = await storage.tasks.add([a_task(action=webhook())])
    keyless = PostgresTasks(storage.database, HeaderSeals(KeyRing()))
    cancelled = await keyless.change("acme", added.task.id, Task.cancelled, TaskEventKind.UPDATED)
    assert cancelled.action == added.task.action


async def test_the_cache_and_the_fingerprint_do_not_hold_them() -> None:
    for action in (webhook(), HeaderSeals(KEYS).sealed("acme", webhook())):
        task = a_task(action=action)
        kept = encode(task)
        assert TOKEN.encode() not in kept
        read = decode(kept).action
        assert isinstance(read, Http)
        assert read.headers == {"Authorization": REDACTED, "X-Kind": "t", "X-Api-Key": REDACTED}
    other = a_task(action=webhook(**{**HEADERS, "Authorization": "Bearer guess"}))
    first = replace(other, action=webhook())
    assert fingerprint(first, at_once=True) == fingerprint(other, at_once=True), (
        "nothing to compare guesses with"
    )
    third = replace(other, action=webhook(**{**HEADERS, "X-Kind": "other"}))
    assert fingerprint(third, at_once=True) != fingerprint(first, at_once=True)


async def test_they_are_sent_in_plain_and_what_is_sent_back_of_them_is_cut() -> None:
    answer = f"You said Bearer {TOKEN}!"
    async with receiving(
        f"HTTP/1.1 200 OK\r\nContent-Length: {len(answer)}\r\n\r\n{answer}".encode()
    ) as receiver:
        webhooks = build_webhooks(settings(), Told(), keys=KEYS)
        sealed = HeaderSeals(KEYS).sealed("default", webhook(receiver.url))
        assert isinstance(sealed, Http)
        assert TOKEN not in repr(asdict(sealed))
        outcome = await webhooks.send(sealed, CALL)
    (request,) = receiver.received
    assert (request.header("authorization"), request.header("x-api-key")) == (f"Bearer {TOKEN}", TOKEN)
    assert isinstance(outcome, Succeeded)
    assert outcome.result["body"] == f"You said Bearer {REDACTED}!"


@pytest.mark.parametrize("moved", ["tenant", "url", "name", "key"])
async def test_what_was_moved_elsewhere_is_not_sent(moved: str) -> None:
    async with receiving() as receiver:
        sealed = HeaderSeals(KEYS).sealed("default", webhook(receiver.url))
        assert isinstance(sealed, Http)
        call, keys = CALL, KEYS
        match moved:
            case "tenant":
                call = replace(CALL, tenant="other")
            case "url":
                sealed = replace(sealed, url=f"{receiver.url}/elsewhere")
            case "name":
                value = sealed.headers["Authorization"]
                sealed = replace(sealed, headers={"Cookie": value})
            case _:
                keys = read_keys(new_key("another"))
        outcome = await build_webhooks(settings(), Told(), keys=keys).send(sealed, call)
    assert isinstance(outcome, Failed)
    assert (outcome.type, outcome.retryable) == ("Undecryptable", True)
    assert receiver.connections == 0


@pytest.mark.parametrize("text", ["", ":", "x", "tests:", "tests:!", "tests:AAAA", "unknown:AAAA", "\u00e9"])
async def test_what_is_no_encrypted_value_fails_its_own_attempt_alone(text: str) -> None:
    webhooks = build_webhooks(settings(), Told(), keys=KEYS)
    outcome = await webhooks.send(Http(url="http://127.0.0.1:9/", headers={"Cookie": SealedValue(text)}), CALL)
    assert isinstance(outcome, Failed)
    assert outcome.type == "Undecryptable"


async def test_without_keys_they_are_refused_when_the_task_is_made() -> None:
    webhooks = build_webhooks(settings(http_allowed_networks=(), http_allow_insecure=False), Told())
    await webhooks.check(webhook(**{"X-Kind": "t"}))
    with pytest.raises(NothingEncrypts, match="set CARILLON_ENCRYPTION_KEYS") as refusal:
        await webhooks.check(webhook())
    assert refusal.value.path == ("headers", "Authorization")


async def test_the_stand_in_for_a_value_is_refused_in_its_place() -> None:
    webhooks = build_webhooks(settings(http_allowed_networks=(), http_allow_insecure=False), Told(), keys=KEYS)
    headers: dict[str, Any] = shown(HEADERS)
    with pytest.raises(Invalid, match="give the value itself") as refusal:
        await webhooks.check(Http(url="https://hooks.example.com/", headers=headers))
    assert refusal.value.path == ("headers", "Authorization")
