"""A published document is parsed and checked once, whatever else is sent."""

from __future__ import annotations

from schema.build import build_schema
from schema.documents import LONGEST_REMEMBERED, REMEMBERED, Documents

TEXT = "{ tasks { totalCount } }"


def test_a_published_document_is_not_driven_out_by_what_others_send() -> None:
    documents = Documents(build_schema()._schema)
    published = documents.read(TEXT, published=True)
    unpublished = documents.read("{ notifications { unreadCount } }")
    for number in range(REMEMBERED // LONGEST_REMEMBERED + 2):
        documents.read(f"{{ tasks {{ totalCount }} }} # {number}".ljust(LONGEST_REMEMBERED))
    assert not documents.remembers("{ notifications { unreadCount } }")
    assert documents.read("{ notifications { unreadCount } }") is not unpublished
    assert documents.remembers(TEXT)
    assert documents.read(TEXT, published=True) is published
