"""Dead letters in PostgreSQL: events of the outbox that could not be read, and failed tasks."""

from __future__ import annotations

import json
from uuid import UUID

import pytest

from domain.actions.model import Http
from domain.dead_letters.failed_tasks import FailedTasks
from domain.dead_letters.model import Chosen, LetterPlace
from domain.tasks.states import TaskState
from infra.postgres import set_aside as adapter
from infra.postgres.set_aside import PostgresSetAside
from tests.support.storage import Storage, a_task

pytestmark = pytest.mark.postgres
ALL = Chosen()


async def unreadable(storage: Storage, *tenants: str) -> PostgresSetAside:
    """The events of new tasks, as a relay that cannot read them leaves them."""
    await storage.added(*(a_task(tenant=tenant) for tenant in tenants))
    await storage.execute("update outbox set partition = -1")
    return PostgresSetAside(storage.database)


async def waiting(storage: Storage) -> int:
    async with storage.outbox.lead() as lead:
        await lead.acquire()
        return len(await lead.oldest(100))


async def test_events_set_aside_are_listed_and_published_once_when_they_are_replayed(storage: Storage) -> None:
    dead = await unreadable(storage, "acme", "other")
    first, second = (await dead.listed()).items
    assert (first.tenant, second.tenant) == ("acme", "other")
    assert json.loads(first.body)["title"] == "Water the plants"
    assert await waiting(storage) == 0
    chosen = Chosen(keys=frozenset([first.key]))
    assert await dead.replay(chosen) == 1
    assert await dead.replay(chosen) == 0
    assert await waiting(storage) == 1
    assert [letter.id for letter in (await dead.listed()).items] == [second.id]


async def test_a_tenant_reaches_its_own_events_alone(storage: Storage) -> None:
    dead = await unreadable(storage, "acme", "other")
    [theirs] = (await dead.listed("other")).items
    [mine] = (await dead.listed("acme")).items
    foreign = Chosen(keys=frozenset([mine.key]), tenant="other")
    assert await dead.replay(foreign) == await dead.purge(foreign) == 0
    assert await dead.purge(Chosen(tenant="other")) == 1
    assert [letter.id for letter in (await dead.listed()).items] == [mine.id] != [theirs.id]


async def test_an_event_that_waits_to_be_published_cannot_be_purged(storage: Storage) -> None:
    await storage.added(a_task())
    dead = PostgresSetAside(storage.database)
    assert await dead.purge(ALL) == await dead.replay(ALL) == 0
    assert await waiting(storage) == 1


async def test_an_event_that_names_nothing_stays_and_holds_up_no_other(storage: Storage) -> None:
    dead = await unreadable(storage, "acme")
    await storage.execute(
        """insert into outbox (partition, event) values (-1, '{"task_id": "x"}'), (-1, '[]')"""
    )
    assert await dead.replay(ALL) == 1
    assert [letter.tenant for letter in (await dead.listed()).items] == [None, None]
    assert await dead.purge(ALL) == 2


async def test_beyond_what_is_listed_at_once_a_tenant_finds_the_rest(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "LOOKED_AT", 2)
    monkeypatch.setattr(adapter, "LIST", adapter.LIST.replace("limit 1001", "limit 3"))
    dead = await unreadable(storage, *["other"] * 5, *["acme"] * 3)
    found = await dead.listed("acme")
    assert (len(found.items), found.more) == (2, True)
    rest = await dead.listed("acme", found.items[-1].place)
    assert (len(rest.items), rest.more, rest.unseen) == (1, False, False)
    assert await dead.count() == 8
    nowhere = LetterPlace("outbox", None, "nonsense")
    assert [each.key for each in (await dead.listed("acme", nowhere)).items] == [
        each.key for each in found.items
    ]


async def failed(storage: Storage, **changes: object) -> UUID:
    [id] = await storage.added(a_task(**changes))
    await storage.execute(
        "update tasks set state = 'FAILED', attempt = 1, finished_at = now(), error_type = 'Boom', "
        "error_message = 'It broke', error_attempt = 1 where id = $1",
        id,
    )
    return id


async def test_a_failed_task_is_shown_without_credentials_and_runs_again_once(storage: Storage) -> None:
    http = Http(url="https://example.com/a", headers={"Authorization": "hunter2", "X-A": "b"}, body={"n": 1})
    id, dead = await failed(storage, action=http), FailedTasks(storage.tasks, "acme")
    await storage.added(a_task())
    [letter] = (await dead.listed()).items
    assert (letter.id, letter.what) == (f"task:{id}", "Boom")
    shown = json.loads(letter.body)
    assert shown["action"]["headers"] == {"Authorization": "[redacted]", "X-A": "b"}
    assert "hunter2" not in letter.body
    assert shown["error"] == {"type": "Boom", "message": "It broke"}
    assert await dead.replay(Chosen(keys=frozenset([letter.key, "nonsense"]))) == 1
    again = await storage.task(id)
    assert (again.state, again.error) == (TaskState.SCHEDULED, None)
    assert await dead.replay(Chosen(keys=frozenset([letter.key]))) == 0
    assert (await storage.task(id)).version == again.version
    assert (await storage.event_kinds(id))[-1] == "UPDATED"


async def test_only_failed_tasks_are_purged_and_only_the_tenants(storage: Storage) -> None:
    mine, foreign = await failed(storage), await failed(storage, tenant="other")
    [waits] = await storage.added(a_task())
    dead = FailedTasks(storage.tasks, "acme")
    assert await dead.purge(Chosen(keys=frozenset([str(waits), str(foreign)]))) == 0
    assert (await dead.listed("other")).items == []
    assert await dead.purge(Chosen(tenant="other")) == 0
    assert await dead.purge(ALL) == 1
    assert await storage.tasks.find("acme", [mine]) == [None]
    assert (await storage.task(foreign, "other")).state is TaskState.FAILED
