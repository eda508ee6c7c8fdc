"""Documents that are to be published: only those that can be executed, whatever their variables cost."""

from __future__ import annotations

from collections.abc import Sequence

from graphql import GraphQLError

from domain.documents.model import Publication, hash_of
from domain.errors import Invalid, Refusal, Refusals
from schema.documents import LONGEST_REMEMBERED, Document, Documents


def publications(documents: Documents, texts: Sequence[str]) -> list[Publication]:
    """One for each text. Raises Refusals, each with the hash it is about."""
    read = [(text, documents.read(text)) for text in texts]
    refusals = [refusal for text, document in read for refusal in _refusals(documents, text, document)]
    if refusals:
        raise Refusals(refusals)
    return [_publication(text, document) for text, document in read]


def _refusals(documents: Documents, text: str, document: Document) -> list[Refusal]:
    reasons = [error.message for error in document.errors]
    if len(text) > LONGEST_REMEMBERED:
        reasons.append(f"It has over {LONGEST_REMEMBERED} characters.")
    if not reasons and not document.operations:
        reasons.append("It has no operation.")
    if not reasons:
        try:
            documents.check_cost(document)
        except GraphQLError as error:
            reasons.append(error.message)
    return [Invalid(reason, (hash_of(text),)) for reason in reasons]


def _publication(text: str, document: Document) -> Publication:
    names = [name for name, _ in document.operations if name]
    kinds = [kind.value for _, kind in document.operations]
    return Publication(
        hash=hash_of(text), text=text, name=", ".join(names) or None, kind=", ".join(dict.fromkeys(kinds))
    )
