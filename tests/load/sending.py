"""The ways in which a client may send a document: by which method, and under which name."""

from __future__ import annotations

import json
from typing import Any

import httpx2

from domain.documents.model import hash_of
from tests.load.frontend import DOCUMENTS
from tests.support.graphql_client import data_of

METHODS = ("POST", "GET")
WAYS = ("documentId", "apq", "text")


class Sender:
    def __init__(self, http: httpx2.AsyncClient, method: str, way: str) -> None:
        self._http = http
        self._method = method
        self._way = way

    async def send(self, name: str, variables: dict[str, Any]) -> dict[str, Any]:
        """The data of the answer; a hash that is not registered yet is sent again with its text."""
        text = DOCUMENTS[name]
        operation = _named(self._way, text) | {"variables": variables}
        body = await self._ask(operation)
        if (body.get("errors") or [{}])[0].get("message") == "PersistedQueryNotFound":
            body = await self._ask(operation | {"query": text})
        return data_of(body)

    async def _ask(self, operation: dict[str, Any]) -> dict[str, Any]:
        if self._method == "POST":
            answer = await self._http.post("/graphql", json=operation)
        else:
            headers = {"graphql-require-preflight": "1"}
            answer = await self._http.get("/graphql", params=_parameters(operation), headers=headers)
        body: dict[str, Any] = answer.json()
        return body


def _parameters(operation: dict[str, Any]) -> dict[str, str]:
    return {name: each if isinstance(each, str) else json.dumps(each) for name, each in operation.items()}


def _named(way: str, text: str) -> dict[str, Any]:
    match way:
        case "documentId":
            return {"documentId": f"sha256:{hash_of(text)}"}
        case "apq":
            return {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": hash_of(text)}}}
        case _:
            return {"query": text}
