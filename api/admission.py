"""Which documents are executed, for whom, and by which names clients may call for them."""

from __future__ import annotations

from typing import Literal

from api.payloads import SentOperation
from domain.documents.known import KnownDocuments
from domain.documents.model import hash_in, hash_of
from domain.documents.ports import RegisteredDocuments
from domain.documents.refusals import (
    DocumentNotFound,
    DocumentNotTrusted,
    HashMismatch,
    PersistedQueryNotFound,
    PersistedQueryNotSupported,
)
from domain.tenancy.model import Caller
from domain.tenancy.permissions import Permission, may
from schema.operations import OperationRequest, Operations

Mode = Literal["open", "apq", "trusted"]


class Admission:
    def __init__(
        self, mode: Mode, known: KnownDocuments, registered: RegisteredDocuments, operations: Operations
    ) -> None:
        self._mode = mode
        self._known = known
        self._registered = registered
        self._operations = operations

    async def admit(self, sent: SentOperation, caller: Caller) -> OperationRequest:
        """With its document. Raises a Refusal, and Unavailable when it cannot be told which it is."""
        if sent.document_id is not None:
            return await self._published(sent, hash_in(sent.document_id))
        if sent.query is None:
            return await self._persisted(sent, sent.persisted_query or "")
        return await self._text(sent, sent.query, caller)

    def takes_any(self, caller: Caller) -> bool:
        """Whether any document of theirs is executed, not only those that were published."""
        return self._mode != "trusted" or may(caller, Permission.EXECUTE_ANY_DOCUMENT)

    async def _published(self, sent: SentOperation, hash: str | None) -> OperationRequest:
        text = None if hash is None else await self._known.find(hash)
        if text is None:
            raise DocumentNotFound
        return sent.of(text, published=True)

    async def _persisted(self, sent: SentOperation, hash: str) -> OperationRequest:
        text = await self._known.find(hash)
        if text is not None:
            return sent.of(text, published=True)
        if self._mode == "open":
            raise PersistedQueryNotSupported
        text = await self._registered.find(hash) if self._mode == "apq" else None
        if text is None:
            raise PersistedQueryNotFound
        return sent.of(text)

    async def _text(self, sent: SentOperation, text: str, caller: Caller) -> OperationRequest:
        if sent.persisted_query is not None and sent.persisted_query != hash_of(text):
            raise HashMismatch
        if self._mode == "trusted":
            if (known := await self._known.find(hash_of(text))) is not None:
                return sent.of(known, published=True)
            if not self.takes_any(caller):
                raise DocumentNotTrusted
        elif self._mode == "apq" and sent.persisted_query is not None and self._operations.is_good(text):
            await self._registered.keep(sent.persisted_query, text)
        return sent.of(text)
