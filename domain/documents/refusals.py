"""Why a document is not executed. `PersistedQuery...` have the words and codes that Apollo's clients know."""

from __future__ import annotations

from domain.errors import Refusal


class DocumentNotFound(Refusal):
    """No document is published under this `documentId`."""

    code = "DOCUMENT_NOT_FOUND"


class DocumentNotTrusted(Refusal):
    """Only published documents are executed here."""

    code = "DOCUMENT_NOT_TRUSTED"


class PersistedQueryNotFound(Refusal):
    """PersistedQueryNotFound"""

    code = "PERSISTED_QUERY_NOT_FOUND"


class PersistedQueryNotSupported(Refusal):
    """PersistedQueryNotSupported"""

    code = "PERSISTED_QUERY_NOT_SUPPORTED"


class HashMismatch(Refusal):
    """provided sha does not match query"""
