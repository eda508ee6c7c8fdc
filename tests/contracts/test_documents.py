"""Published documents: published together, retired, listed with their uses, and never changed unseen."""

from __future__ import annotations

import pytest

from domain.documents import model
from domain.documents.model import Publication, hash_of
from domain.documents.ports import Documents
from domain.errors import NotFound, TooMany
from tests.support.storage import Storage
from tests.support.stored_documents import StoredDocuments


def publication(text: str = "{ hello }") -> Publication:
    return Publication(hash=hash_of(text), text=text, name="Hello", kind="query")


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.postgres)])
def documents(request: pytest.FixtureRequest) -> Documents:
    if request.param == "memory":
        return StoredDocuments()
    storage: Storage = request.getfixturevalue("storage")
    return storage.documents


async def test_a_published_document_has_its_text_and_is_listed(documents: Documents) -> None:
    one = publication()
    assert await documents.publish([one, one]) == 1
    assert await documents.texts() == {one.hash: one.text}
    [listed] = await documents.all()
    assert (listed.hash, listed.name, listed.kind) == (one.hash, "Hello", "query")
    assert (listed.retired_at, listed.uses, listed.last_used_at) == (None, 0, None)


async def test_publishing_again_changes_nothing(documents: Documents) -> None:
    await documents.publish([publication()])
    before, revision = await documents.all(), await documents.revision()
    assert await documents.publish([publication()]) == 0
    assert await documents.publish([]) == 0
    assert (await documents.all(), await documents.revision()) == (before, revision)


async def test_a_retired_document_is_listed_alone_until_it_is_published_again(documents: Documents) -> None:
    one = publication()
    await documents.publish([one])
    retired = await documents.retire(one.hash)
    assert retired.retired_at is not None
    assert await documents.retire(one.hash) == retired
    assert await documents.texts() == {}
    assert await documents.all() == [retired]
    assert await documents.publish([one]) == 1
    assert await documents.texts() == {one.hash: one.text}


async def test_what_was_never_published_is_not_retired(documents: Documents) -> None:
    with pytest.raises(NotFound):
        await documents.retire(hash_of("{ other }"))


async def test_every_change_is_another_revision(documents: Documents) -> None:
    one, other = publication(), publication("{ other }")
    revisions = [await documents.revision()]
    for change in (
        lambda: documents.publish([one]),
        lambda: documents.publish([other]),
        lambda: documents.retire(one.hash),
        lambda: documents.publish([one]),
    ):
        await change()
        revisions.append(await documents.revision())
    assert revisions == sorted(set(revisions))


async def test_uses_add_up_and_change_no_revision(documents: Documents) -> None:
    one, other = publication(), publication("{ other }")
    await documents.publish([one, other])
    revision = await documents.revision()
    await documents.note_uses({one.hash: 3})
    await documents.note_uses({one.hash: 2, other.hash: 1})
    listed = {each.hash: each for each in await documents.all()}
    assert (listed[one.hash].uses, listed[other.hash].uses) == (5, 1)
    assert listed[one.hash].last_used_at is not None
    assert await documents.revision() == revision


async def test_more_than_may_be_published_are_refused_all_together(documents: Documents) -> None:
    many = [publication(f"{{ field{number} }}") for number in range(model.MOST_PUBLISHED + 1)]
    with pytest.raises(TooMany):
        await documents.publish(many)
    assert await documents.texts() == {}
    assert await documents.publish(many[1:]) == model.MOST_PUBLISHED
