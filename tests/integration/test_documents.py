"""Documents by their hashes, over HTTP and websockets, in each mode."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NoReturn

import pytest

from api.admission import Mode
from domain.documents.model import hash_of
from domain.tenancy.model import Caller, Role
from domain.tenancy.ports import Identified
from tests.support.graphql_client import HttpClient, http_client, raw_socket
from tests.support.serving import serving
from tests.support.small_graph import small_app
from tests.support.socket_talk import ACK, INIT, hear, say, subscribe
from tests.support.stored_documents import StoredDocuments

PUBLISHED = 'query Hello($name: String! = "all") { hello(name: $name) }'
OTHER = "{ hello }"
GREETED = {"data": {"hello": "hello all"}}
PLAIN = {"data": {"hello": "hello world"}}
COUNT = "subscription { count(to: 1) }"
DOUBLE = "mutation { double(number: 4) }"


class Roles:
    """Whoever says `admin` is one; the others are editors."""

    async def identify(self, credential: str | None) -> Identified:
        return Identified(
            caller=Caller(tenant="acme", role=Role.ADMIN if credential == "admin" else Role.EDITOR)
        )


@asynccontextmanager
async def client_of(mode: Mode) -> AsyncIterator[HttpClient]:
    documents = StoredDocuments(PUBLISHED, COUNT, DOUBLE)
    app = small_app(documents=documents, mode=mode, callers=Roles())
    async with serving(app) as address, http_client(address) as client:
        yield client


@pytest.fixture(scope="module")
async def clients() -> AsyncIterator[dict[str, HttpClient]]:
    async with AsyncExitStack() as stack:
        modes: tuple[Mode, ...] = ("open", "apq", "trusted")
        yield {mode: await stack.enter_async_context(client_of(mode)) for mode in modes}


def by_id(text: str) -> dict[str, Any]:
    return {"documentId": f"sha256:{hash_of(text)}"}


def apq(text: str, *, send: bool = False) -> dict[str, Any]:
    extensions = {"persistedQuery": {"version": 1, "sha256Hash": hash_of(text)}}
    return {"extensions": extensions} | ({"query": text} if send else {})


async def told(client: HttpClient, body: dict[str, Any], **headers: str) -> Any:
    return (await client.http.post("/graphql", json=body, headers=headers)).json()


def code(body: Any) -> str:
    [error] = body["errors"]
    assert "data" not in body
    return str(error["extensions"]["code"])


@pytest.mark.parametrize("mode", ["open", "apq", "trusted"])
async def test_a_published_document_is_executed_by_its_id_and_by_its_hash(
    clients: dict[str, HttpClient], mode: str
) -> None:
    client = clients[mode]
    assert await told(client, by_id(PUBLISHED)) == GREETED
    named = by_id(PUBLISHED) | {"variables": {"name": "Ann"}, "operationName": "Hello"}
    assert await told(client, named) == {"data": {"hello": "hello Ann"}}
    assert await told(client, apq(PUBLISHED)) == GREETED
    assert await told(client, apq(PUBLISHED, send=True)) == GREETED
    assert await told(client, {"query": PUBLISHED}) == GREETED


@pytest.mark.parametrize("mode", ["open", "apq", "trusted"])
async def test_an_empty_text_beside_a_name_is_none(clients: dict[str, HttpClient], mode: str) -> None:
    """The client of graphql-ws sends nothing without a text."""
    for named in (by_id(PUBLISHED), apq(PUBLISHED)):
        assert await told(clients[mode], named | {"query": ""}) == GREETED
    assert code(await told(clients["open"], {"query": ""})) == "INVALID"


@pytest.mark.parametrize("mode", ["open", "apq", "trusted"])
async def test_an_unknown_id_is_one_error(clients: dict[str, HttpClient], mode: str) -> None:
    for id in (by_id(OTHER)["documentId"], "", "nonsense", "x-own:1"):
        assert code(await told(clients[mode], {"documentId": id})) == "DOCUMENT_NOT_FOUND"


async def test_a_get_names_a_document_but_no_mutation(clients: dict[str, HttpClient]) -> None:
    http, headers = clients["open"].http, {"graphql-require-preflight": "1"}
    assert (await http.get("/graphql", params=by_id(PUBLISHED), headers=headers)).json() == GREETED
    assert (await http.get("/graphql", params=by_id(DOUBLE), headers=headers)).status_code == 405


async def test_clients_register_as_they_go_in_the_mode_apq(clients: dict[str, HttpClient]) -> None:
    client = clients["apq"]
    unknown = await told(client, apq(OTHER))
    assert code(unknown) == "PERSISTED_QUERY_NOT_FOUND"
    assert unknown["errors"][0]["message"] == "PersistedQueryNotFound"
    assert await told(client, apq(OTHER, send=True)) == PLAIN
    assert await told(client, apq(OTHER)) == PLAIN
    assert code(await told(client, by_id(OTHER))) == "DOCUMENT_NOT_FOUND"


async def test_what_is_not_valid_is_not_registered(clients: dict[str, HttpClient]) -> None:
    client, wrong = clients["apq"], "{ goodbye }"
    assert code(await told(client, apq(wrong, send=True))) == "INVALID"
    assert code(await told(client, apq(wrong))) == "PERSISTED_QUERY_NOT_FOUND"


@pytest.mark.parametrize("mode", ["open", "apq", "trusted"])
async def test_a_hash_of_another_text_is_refused(clients: dict[str, HttpClient], mode: str) -> None:
    body = apq("{ trace }") | {"query": OTHER}
    refused = await told(clients[mode], body)
    assert refused["errors"][0]["message"] == "provided sha does not match query"
    assert "errors" in await told(clients[mode], apq("{ trace }"))


async def test_clients_are_told_to_send_texts_in_the_mode_open(clients: dict[str, HttpClient]) -> None:
    refused = await told(clients["open"], apq(OTHER))
    assert refused["errors"][0]["message"] == "PersistedQueryNotSupported"
    assert code(refused) == "PERSISTED_QUERY_NOT_SUPPORTED"
    assert await told(clients["open"], apq(OTHER, send=True)) == PLAIN


async def test_nothing_else_is_executed_in_the_mode_trusted_but_for_administrators(
    clients: dict[str, HttpClient],
) -> None:
    client, introspection = clients["trusted"], "{ __schema { queryType { name } } }"
    for text in (OTHER, introspection, f"{PUBLISHED} "):
        assert code(await told(client, {"query": text})) == "DOCUMENT_NOT_TRUSTED"
    assert code(await told(client, apq(OTHER, send=True))) == "DOCUMENT_NOT_TRUSTED"
    assert code(await told(client, apq(OTHER))) == "PERSISTED_QUERY_NOT_FOUND"
    assert await told(client, {"query": OTHER}, authorization="Bearer admin") == PLAIN
    assert "data" in await told(client, {"query": introspection}, authorization="Bearer admin")


@pytest.mark.parametrize(
    "body",
    [
        by_id(PUBLISHED) | {"query": PUBLISHED},
        {"documentId": 1},
        {"extensions": {"persistedQuery": {"version": 2, "sha256Hash": hash_of(OTHER)}}},
        {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": "short"}}},
        {"extensions": {"persistedQuery": []}},
    ],
)
async def test_what_names_no_document_cannot_be_read(
    clients: dict[str, HttpClient], body: dict[str, Any]
) -> None:
    answer = await clients["open"].http.post("/graphql", json=body)
    assert answer.status_code == 400
    assert code(answer.json()) == "BAD_REQUEST"


async def test_sockets_name_documents_too(clients: dict[str, HttpClient]) -> None:
    address = str(clients["trusted"].http.base_url).rstrip("/")
    async with raw_socket(address) as socket:
        await say(socket, INIT)
        assert await hear(socket) == ACK
        for id, payload in (("1", by_id(COUNT)), ("2", apq(PUBLISHED))):
            await say(socket, {"id": id, "type": "subscribe", "payload": payload})
            data = (await hear(socket))["payload"]["data"]
            assert data == ({"count": 0} if id == "1" else GREETED["data"])
            assert await hear(socket) == {"id": id, "type": "complete"}
        await say(socket, {"id": "3", "type": "subscribe", "payload": {"query": OTHER}})
        refused = await hear(socket)
        assert refused["type"] == "error"
        assert refused["payload"][0]["extensions"]["code"] == "DOCUMENT_NOT_TRUSTED"


async def test_what_is_not_trusted_is_not_even_parsed(
    clients: dict[str, HttpClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    def parse(*_: object, **__: object) -> NoReturn:
        raise AssertionError

    monkeypatch.setattr("schema.documents.parse", parse)
    client, text = clients["trusted"], "{ neverSeenBefore }"
    async with raw_socket(str(client.http.base_url).rstrip("/")) as socket:
        await say(socket, INIT, subscribe(text))
        assert await hear(socket) == ACK
        assert (await hear(socket))["payload"][0]["extensions"]["code"] == "DOCUMENT_NOT_TRUSTED"
    assert code(await told(client, {"query": text})) == "DOCUMENT_NOT_TRUSTED"
