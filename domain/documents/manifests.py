"""Manifests of documents, as Relay, Apollo and GraphQL Codegen write them."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import md5, sha1

from domain.documents.model import hash_in, hash_of
from domain.errors import Invalid, Refusal, Refusals

APOLLO = "apollo-persisted-query-manifest"


def read_manifest(manifest: object) -> list[str]:
    """The texts of its documents, whose ids are their hashes.

    Relay's compiler and GraphQL Codegen write `{id: text}`, Apollo a list of operations.

    Raises Refusals, each with the id it is about.
    """
    refusals: list[Refusal] = []
    texts: list[str] = []
    for id, text in _entries(manifest):
        reason = _wrong(id, text)
        if reason is None:
            texts.append(text)
        else:
            refusals.append(Invalid(reason, (id,)))
    if refusals:
        raise Refusals(refusals)
    return texts


def _entries(manifest: object) -> Iterator[tuple[str, str]]:
    if not isinstance(manifest, dict):
        raise Refusals([Invalid("A manifest is a JSON object.")])
    if "format" in manifest or isinstance(manifest.get("operations"), list):
        yield from _apollo(manifest)
        return
    for id, text in manifest.items():
        if not isinstance(text, str):
            raise Refusals([Invalid("It must be the text of a document.", (str(id),))])
        yield str(id), text


def _apollo(manifest: dict[object, object]) -> Iterator[tuple[str, str]]:
    if manifest.get("format") != APOLLO or manifest.get("version") != 1:
        raise Refusals([Invalid(f"Only version 1 of the format {APOLLO} is read.")])
    operations = manifest.get("operations")
    if not isinstance(operations, list):
        raise Refusals([Invalid("`operations` must be a list.")])
    for number, operation in enumerate(operations):
        fields = operation if isinstance(operation, dict) else {}
        id, body = fields.get("id"), fields.get("body")
        if not isinstance(id, str) or not isinstance(body, str):
            raise Refusals([Invalid("`id` and `body` must be strings.", (f"operations[{number}]",))])
        yield id, body


def _wrong(id: str, text: str) -> str | None:
    """Why this id is not that of the text."""
    if hash_in(id) == hash_of(text):
        return None
    content = text.encode(errors="surrogatepass")
    if id == md5(content, usedforsecurity=False).hexdigest():
        return 'Its id is an MD5 hash: set `"algorithm": "SHA256"` in Relay\'s persistConfig.'
    if id == sha1(content, usedforsecurity=False).hexdigest():
        return "Its id is a SHA-1 hash: set `hashAlgorithm: 'sha256'` in Codegen's persistedDocuments."
    return f"Its id is not the SHA-256 hash of its text, {hash_of(text)}."
