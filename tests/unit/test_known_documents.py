"""A process knows the published documents: within a second, without a query for each, and with their uses."""

from __future__ import annotations

import pytest

from domain.documents.known import KNOWN_FOR, KnownDocuments
from domain.documents.model import Publication, hash_of
from domain.errors import Unavailable
from tests.support.face import StillClock
from tests.support.stored_documents import StoredDocuments

HELLO, OTHER = "{ hello }", "{ other }"


async def test_what_is_published_or_retired_is_known_after_a_second() -> None:
    documents, clock = StoredDocuments(HELLO), StillClock()
    known = KnownDocuments(documents, clock)
    assert await known.find(hash_of(HELLO)) == HELLO
    assert await known.find(hash_of(OTHER)) is None
    await documents.publish([Publication(hash=hash_of(OTHER), text=OTHER, name=None, kind="query")])
    await documents.retire(hash_of(HELLO))
    clock.time += KNOWN_FOR
    assert await known.find(hash_of(HELLO)) is None
    assert await known.find(hash_of(OTHER)) == OTHER


async def test_wrong_hashes_cost_no_queries_of_their_own() -> None:
    documents, clock = StoredDocuments(HELLO), StillClock()
    known = KnownDocuments(documents, clock)
    for number in range(50):
        assert await known.find(hash_of(str(number))) is None
    clock.time += KNOWN_FOR
    assert await known.find(hash_of(HELLO)) == HELLO
    assert documents.asked == ["revision", "texts", "revision"]


async def test_what_was_known_stays_known_while_storage_is_away() -> None:
    documents, clock = StoredDocuments(HELLO), StillClock()
    documents.away = True
    known = KnownDocuments(documents, clock)
    with pytest.raises(Unavailable):
        await known.find(hash_of(HELLO))
    documents.away = False
    assert await known.find(hash_of(HELLO)) == HELLO
    documents.away = True
    clock.time += KNOWN_FOR
    assert await known.find(hash_of(HELLO)) == HELLO


async def test_uses_are_written_together_and_not_lost_while_storage_is_away() -> None:
    documents = StoredDocuments(HELLO)
    known = KnownDocuments(documents, StillClock())
    for _ in range(3):
        await known.find(hash_of(HELLO))
    documents.away = True
    with pytest.raises(Unavailable):
        await known.note_once()
    documents.away = False
    assert await known.note_once() == 1
    assert await known.note_once() == 0
    [listed] = await documents.all()
    assert listed.uses == 3
