"""Queries over GET: what is read from the query string, and what no page of another site can have sent."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.graphql_client import HttpClient, http_client
from tests.support.node_clients import run_client
from tests.support.serving import serving
from tests.support.small_graph import small_app

ASKED = {"graphql-require-preflight": "1"}
"""What no browser sends for a page of another site without asking us first."""


@pytest.fixture(scope="module")
async def client() -> AsyncIterator[HttpClient]:
    async with serving(small_app()) as address, http_client(address) as client:
        yield client


async def test_a_query_is_answered_with_its_variables_and_kept_by_nobody(client: HttpClient) -> None:
    parameters = {
        "query": "query A { hello } query B($n: String!) { hello(name: $n) }",
        "operationName": "B",
        "variables": '{"n": "Käthe & co"}',
        "extensions": "{}",
        "something": "else",
    }
    answer = await client.http.get("/graphql", params=parameters, headers=ASKED)
    assert answer.json() == {"data": {"hello": "hello Käthe & co"}}
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    assert "accept" in answer.headers["vary"]


@pytest.mark.parametrize(
    "query_string",
    [
        "",
        "query",
        "variables={}",
        "query={hello}&query={trace}",
        "query={hello}&variables=",
        "query={hello}&variables=[]",
        "query={hello}&variables={",
        "query={hello}&variables=5",
        "query={hello}&extensions=null!",
        "query=%ff",
        "query={hello}" + "&a=" * 30,
    ],
)
async def test_a_query_string_that_is_no_operation_is_a_400(client: HttpClient, query_string: str) -> None:
    headers = ASKED | {"accept": "application/graphql-response+json"}
    answer = await client.http.get(f"/graphql?{query_string}", headers=headers)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["extensions"]["code"] in {"BAD_REQUEST", "INVALID"}


async def test_a_mutation_is_refused_and_told_to_post(client: HttpClient) -> None:
    parameters = {"query": "query Q { hello } mutation M { double(number: 4) }", "operationName": "M"}
    answer = await client.http.get("/graphql", params=parameters, headers=ASKED)
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"
    assert answer.json()["errors"][0]["extensions"]["code"] == "METHOD_NOT_ALLOWED"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"accept": "application/graphql-response+json"},
        {"content-type": "text/plain"},
        {"content-type": "text/plain; application/json"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "multipart/form-data; boundary=x"},
        {"graphql-require-preflight": ""},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"last-event-id": "1"},
    ],
)
async def test_what_a_page_of_another_site_can_make_a_browser_send_is_refused(
    client: HttpClient, headers: dict[str, str]
) -> None:
    answer = await client.http.get("/graphql", params={"query": "{ hello }"}, headers=headers)
    assert answer.status_code == 403
    assert answer.json()["errors"][0]["extensions"]["code"] == "PREFLIGHT_REQUIRED"
    assert "data" not in answer.json()


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "application/json"},
        {"graphql-require-preflight": "1"},
        {"apollo-require-preflight": "true"},
        {"x-apollo-operation-name": "A"},
        {"sec-fetch-site": "same-origin"},
    ],
)
async def test_what_only_our_own_pages_and_programs_send_is_answered(
    client: HttpClient, headers: dict[str, str]
) -> None:
    answer = await client.http.get("/graphql", params={"query": "{ hello }"}, headers=headers)
    assert answer.json() == {"data": {"hello": "hello world"}}


@pytest.mark.node
async def test_every_audit_of_the_draft_passes(client: HttpClient) -> None:
    results = await run_client("audit.js", f"{client.http.base_url}/graphql")
    assert len(results) > 50
    assert [result for result in results if result["status"] != "ok"] == []
