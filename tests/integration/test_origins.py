"""Pages of other origins: those of the list may use GraphQL, and browsers are told nothing for the rest."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator

import pytest
from websockets.exceptions import InvalidStatus

from api.graphql import LARGE_ANSWER
from tests.support.graphql_client import HttpClient, graphql_socket, http_client
from tests.support.serving import serving
from tests.support.small_graph import small_app

FRIEND = "https://app.example.com"
PREFLIGHT = {
    "access-control-request-method": "POST",
    "access-control-request-headers": "content-type,traceparent",
}
STRANGERS = [
    "https://evil.example",
    "http://app.example.com",
    "https://app.example.com:8443",
    "https://app.example.com.evil.example",
    "https://sub.app.example.com",
    "null",
    "",
    "http://[",
]


@pytest.fixture(scope="module")
async def address() -> AsyncIterator[str]:
    async with serving(small_app(allowed_origins=[FRIEND])) as address:
        yield address


@pytest.fixture
async def client(address: str) -> AsyncIterator[HttpClient]:
    async with http_client(address) as client:
        yield client


async def test_a_page_of_an_allowed_origin_may_ask_and_read(client: HttpClient) -> None:
    asked = await client.http.options("/graphql", headers={"origin": FRIEND, **PREFLIGHT})
    assert asked.status_code == 200
    assert asked.headers["access-control-allow-origin"] == FRIEND
    assert {"GET", "POST"} == set(asked.headers["access-control-allow-methods"].split(", "))
    for header in (
        "authorization",
        "content-type",
        "graphql-require-preflight",
        "last-event-id",
        "traceparent",
    ):
        assert header in asked.headers["access-control-allow-headers"].lower()
    answer = await client.post("{ hello }", headers={"origin": FRIEND})
    assert answer.json() == {"data": {"hello": "hello world"}}
    assert answer.headers["access-control-allow-origin"] == FRIEND
    assert "origin" in answer.headers["vary"].lower()
    assert "access-control-allow-credentials" not in answer.headers
    refused = await client.http.post("/graphql", content=b"", headers={"origin": FRIEND})
    assert refused.headers["access-control-allow-origin"] == FRIEND


@pytest.mark.parametrize("origin", STRANGERS)
async def test_a_page_of_any_other_origin_may_not(client: HttpClient, origin: str) -> None:
    asked = await client.http.options("/graphql", headers={"origin": origin, **PREFLIGHT})
    assert asked.status_code == 400
    assert "access-control-allow-origin" not in asked.headers
    answer = await client.post("{ hello }", headers={"origin": origin})
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("origin", [FRIEND, *STRANGERS])
async def test_without_a_list_no_page_of_another_origin_may(origin: str) -> None:
    async with serving(small_app()) as address, http_client(address) as client:
        asked = await client.http.options("/graphql", headers={"origin": origin, **PREFLIGHT})
        assert asked.status_code == 405
        answer = await client.post("{ hello }", headers={"origin": origin})
        for each in (asked, answer):
            assert "access-control-allow-origin" not in each.headers


@pytest.mark.parametrize("origin", STRANGERS)
async def test_a_socket_of_any_other_origin_is_refused_and_one_of_an_allowed_origin_is_not(
    address: str, origin: str
) -> None:
    with pytest.raises(InvalidStatus, match="403"):
        async with graphql_socket(address, headers={"origin": origin}):
            pass
    async with graphql_socket(address, headers={"origin": FRIEND}) as socket:
        assert await socket.execute("{ hello }") == {"hello": "hello world"}


async def test_a_get_of_an_allowed_origin_needs_no_header_as_event_sources_have_none(
    client: HttpClient,
) -> None:
    asked = await client.http.get("/graphql", params={"query": "{ hello }"}, headers={"origin": FRIEND})
    assert asked.json() == {"data": {"hello": "hello world"}}
    asked = await client.http.get("/graphql", params={"query": "{ hello }"}, headers={"origin": STRANGERS[0]})
    assert asked.status_code == 403


async def test_large_answers_are_compressed_for_who_accepts_it(client: HttpClient) -> None:
    request = client.http.build_request(
        "POST", "/graphql", json={"query": f'{{ hello(name: "{"x" * LARGE_ANSWER}") }}'}
    )
    request.headers["accept-encoding"] = "gzip, br"
    answer = await client.http.send(request, stream=True)
    sent = b"".join([part async for part in answer.aiter_raw()])
    await answer.aclose()
    assert answer.headers["content-encoding"] == "gzip"
    assert "accept-encoding" in answer.headers["vary"].lower()
    assert len(sent) < LARGE_ANSWER / 10
    assert gzip.decompress(sent).startswith(b'{"data":{"hello":"hello xxx')


@pytest.mark.parametrize(("accepted", "size"), [("identity", LARGE_ANSWER), ("gzip", 100)])
async def test_other_answers_are_sent_as_they_are(client: HttpClient, accepted: str, size: int) -> None:
    headers = {"accept-encoding": accepted}
    answer = await client.post("query($name: String!) { hello(name: $name) }", headers, name="x" * size)
    assert "content-encoding" not in answer.headers
    assert len(answer.json()["data"]["hello"]) == size + 6
