"""Over PostgreSQL and the live feeds, too: what is another tenant's or owner's is as if it did not exist."""

from __future__ import annotations

import pytest

from domain.tenancy.model import Caller
from schema.ids import dead_letter_id, webhook_secret_id
from tests.support.foreign_rows import TENANT, Asked, Bodies, open_foreign_rows
from tests.support.storage import Storage
from tests.unit import test_owners as of_owners
from tests.unit import test_tenants as of_tenants

pytestmark = pytest.mark.postgres

ALICE = Caller(tenant=TENANT, owner="alice")
WHO = [
    pytest.param(ALICE, "bob", id="another's"),
    pytest.param(ALICE, None, id="nobody's"),
    pytest.param(Caller(tenant="other"), "bob", id="another tenant's"),
    pytest.param(Caller(tenant="other", owner="bob"), "bob", id="another tenant's, of the same owner's name"),
]
NO_IDS = {
    **of_owners.NO_IDS,
    "secret": webhook_secret_id(of_owners.NOTHING),
    "dead letter": dead_letter_id("outbox:0"),
}
BY_ID = list(of_tenants.ASKED.values())
LIVE = [(kind, query) for kind, query in BY_ID if query.startswith("subscription")]
ALONE = "subscription { notifications { id } }"


@pytest.mark.parametrize(("caller", "owner"), WHO)
async def test_a_foreign_id_answers_as_one_of_nothing_and_changes_nothing(
    storage: Storage, caller: Caller, owner: str | None
) -> None:
    async with open_foreign_rows(storage, owner) as asked:
        before = await asked.stored()
        for kind, query in BY_ID:
            if (kind, query) not in LIVE:
                told = await asked.answer(query, caller, asked.ids[kind])
                assert told == await asked.answer(query, caller, NO_IDS[kind]), query
        told_live = await asked.follow([(query, asked.ids[kind]) for kind, query in LIVE], caller)
        assert told_live == await asked.follow([(query, NO_IDS[kind]) for kind, query in LIVE], caller)
        # Something happened to what is followed, and was noted: nothing else has changed.
        assert await asked.stored() == before.replace('"read" : [null]', '"read" : [null, null, null]')


@pytest.mark.parametrize(("caller", "owner"), WHO)
async def test_lists_counts_cursors_bulk_changes_and_feeds_are_as_if_there_were_nothing(
    storage: Storage, caller: Caller, owner: str | None
) -> None:
    nobody = Caller(tenant="empty", owner=caller.owner)
    async with open_foreign_rows(storage, owner) as asked:
        before = await asked.stored()
        lists = [query for query in of_tenants.LISTS if not query.startswith("subscription")]
        for query in lists:
            assert await asked.answer(query, caller) == await asked.answer(query, nobody), query
        assert await asked.stored() == before
        feeds = [(query, "") for query in of_tenants.LISTS if query.startswith("subscription")]
        assert await asked.follow(feeds, caller) == await asked.follow(feeds, nobody)


async def test_to_whom_it_belongs_all_of_it_is_there_and_is_told(storage: Storage) -> None:
    bob = Caller(tenant=TENANT, owner="bob")
    async with open_foreign_rows(storage, "bob") as asked:
        for kind in ("task", "schedule", "notification", "attempt"):
            found = await asked.answer("{ node(id: $id) { id } }", bob, asked.ids[kind])
            assert found == {"data": {"node": {"id": asked.ids[kind]}}}
        told = await asked.follow([(query, asked.ids[kind]) for kind, query in LIVE] + [(ALONE, "")], bob)
        assert all(data_alone(bodies) for bodies in told), told
        assert (await all_of(asked, bob))["tasks"]["totalCount"] == 2
        letters = await asked.answer("{ deadLetters { nodes { id } } }", Caller(tenant=TENANT))
        assert letters == {"data": {"deadLetters": {"nodes": [{"id": asked.ids["dead letter"]}]}}}


def data_alone(bodies: Bodies) -> bool:
    return bool(bodies) and not any("errors" in body for body in bodies)


async def all_of(asked: Asked, caller: Caller) -> dict[str, dict[str, int]]:
    data: dict[str, dict[str, int]] = (await asked.answer("{ tasks { totalCount } }", caller))["data"]
    return data
