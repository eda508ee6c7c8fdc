"""GraphQL over HTTP: what is answered, and what is refused and how."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import httpx2
import pytest
from prometheus_client import CollectorRegistry
from starlette.types import Receive, Scope, Send

from api import graphql
from api.metrics import ApiMetrics
from api.payloads import MAX_BYTES
from api.trace import Traced
from domain.budgets.ports import Balance, BudgetExceeded
from domain.errors import TenantBusy
from infra.system import TimeOrderedIds
from schema.errors import present
from tests.support.graphql_client import HttpClient, http_client
from tests.support.serving import serving
from tests.support.small_graph import small_app
from tests.support.waiting import until

JSON = {"content-type": "application/json"}
UNFINISHED = (
    b"POST /graphql HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{"
)
GRAPHQL_RESPONSE = "application/graphql-response+json"
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture(scope="module")
async def client() -> AsyncIterator[HttpClient]:
    async with serving(small_app()) as address, http_client(address) as client:
        yield client


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
async def counted(registry: CollectorRegistry) -> AsyncIterator[HttpClient]:
    """A client of a server of its own, which counts in `registry`."""
    async with serving(small_app(registry=registry)) as address, http_client(address) as client:
        yield client


async def test_queries_and_mutations_are_answered(client: HttpClient) -> None:
    assert await client.execute("query($name: String!) { hello(name: $name) }", name="Käthe") == {
        "hello": "hello Käthe"
    }
    assert await client.execute("mutation { double(number: 4) }") == {"double": 8}


async def test_one_of_several_operations_is_chosen_by_name(client: HttpClient) -> None:
    body = {"query": 'query A { hello } query B { hello(name: "B") }', "operationName": "B", "extensions": {}}
    answer = await client.http.post("/graphql", json=body)
    assert answer.json() == {"data": {"hello": "hello B"}}


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (None, "application/json"),
        ("*/*", "application/json"),
        ("text/html", "application/json"),
        (GRAPHQL_RESPONSE, GRAPHQL_RESPONSE),
        (f"{GRAPHQL_RESPONSE}, application/json;q=0.9", GRAPHQL_RESPONSE),
        (f"application/json, {GRAPHQL_RESPONSE}", GRAPHQL_RESPONSE),
        (f"{GRAPHQL_RESPONSE};q=0.5, application/json", "application/json"),
        (f"{GRAPHQL_RESPONSE};q=0", "application/json"),
        (f"{GRAPHQL_RESPONSE};q=nonsense, application/json", "application/json"),
        (f"{GRAPHQL_RESPONSE};q=\xb2, application/json", "application/json"),
        (f"{GRAPHQL_RESPONSE};q=., application/json", "application/json"),
        (f"{GRAPHQL_RESPONSE};q=0.5, application/json;q=\xb2", GRAPHQL_RESPONSE),
    ],
)
async def test_the_media_type_is_the_one_asked_for(
    client: HttpClient, accept: str | None, media_type: str
) -> None:
    request = client.http.build_request("POST", "/graphql", json={"query": "{ hello }"})
    del request.headers["accept"]
    if accept is not None:
        request.headers.encoding = "latin-1"  # as servers read what is not ASCII
        request.headers["accept"] = accept
    answer = await client.http.send(request)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == f"{media_type}; charset=utf-8"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"5",
        b"null",
        b"true",
        b'"{ hello }"',
        b"{}",
        b"{",
        b'{"query": null}',
        b'{"query": 5}',
        b'{"query": {"a": 1}}',
        b'{"query": "{ hello }", "variables": 5}',
        b'{"query": "{ hello }", "variables": "{}"}',
        b'{"query": "{ hello }", "variables": []}',
        b'{"query": "{ hello }", "variables": {"x": NaN}}',
        b'{"query": "{ hello }", "variables": {"x": Infinity}}',
        b'{"query": "{ hello }", "variables": {"x": -1e999}}',
        b'{"query": "{ hello }", "variables": {"x": ' + b"9" * 5000 + b"}}",
        b'{"query": "{ hello }", "variables": {"x": "half a pair: \\ud800"}}',
        b'{"query": "{ hello }", "operationName": 5}',
        b'{"query": "{ hello }", "operationName": []}',
        b'{"query": "{ hello }", "extensions": "x"}',
        b'{"query": "{ hello \xff}"}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
    ids=lambda body: body[:50],
)
async def test_a_body_that_is_no_request_is_a_400_that_says_so(client: HttpClient, body: bytes) -> None:
    answer = await client.http.post("/graphql", content=body, headers=JSON)
    assert answer.status_code == 400
    (error,) = answer.json()["errors"]
    assert error["extensions"]["code"] == "BAD_REQUEST"
    assert error["message"].startswith("The request cannot be read: ")


async def test_a_whole_surrogate_pair_is_text_like_any_other(client: HttpClient) -> None:
    body = rb'{"query": "query($n: String!) { hello(name: $n) }", "variables": {"n": "\ud83d\ude00 \\ud800"}}'
    answer = await client.http.post("/graphql", content=body, headers=JSON)
    assert answer.json() == {"data": {"hello": "hello \N{GRINNING FACE} \\ud800"}}


@pytest.mark.parametrize(("accept", "status"), [("application/json", 200), (GRAPHQL_RESPONSE, 400)])
@pytest.mark.parametrize(
    "query",
    [
        "{",
        "{ nothing }",
        "query A { hello } query B { hello }",
        "",
        "{ hello(name: 5) }",
        "fragment F on Query { hello }",
    ],
)
async def test_graphql_that_cannot_be_executed_has_no_data_and_is_a_400_in_the_media_type_of_the_draft(
    client: HttpClient, query: str, accept: str, status: int
) -> None:
    answer = await client.post(query, headers={"accept": accept})
    assert answer.status_code == status
    assert set(answer.json()) == {"errors"}


async def test_bad_variables_are_a_400_without_data(client: HttpClient) -> None:
    answer = await client.post("query($n: Int!) { hello }", {"accept": GRAPHQL_RESPONSE}, n="five")
    assert answer.status_code == 400
    assert "data" not in answer.json()


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "text/plain; application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/graphql",
        "application/jsonp",
        "application/json; charset=latin-1",
    ],
)
async def test_only_json_is_accepted_so_that_no_foreign_page_can_post(
    client: HttpClient, content_type: str
) -> None:
    answer = await client.http.post(
        "/graphql", content=b'{"query": "{ hello }"}', headers={"content-type": content_type}
    )
    assert answer.status_code == 415
    assert answer.json()["errors"][0]["extensions"]["code"] == "UNSUPPORTED_MEDIA_TYPE"


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", 'Application/JSON;charset="UTF-8"']
)
async def test_json_is_recognised_however_it_is_written(client: HttpClient, content_type: str) -> None:
    answer = await client.http.post(
        "/graphql", content=b'{"query": "{ hello }"}', headers={"content-type": content_type}
    )
    assert answer.json() == {"data": {"hello": "hello world"}}


async def test_a_body_over_the_limit_is_a_413_and_counted(
    counted: HttpClient, registry: CollectorRegistry
) -> None:
    query = "{ hello } #"
    fits = json.dumps({"query": query + "x" * (MAX_BYTES - len(query) - 13)})
    assert len(fits) == MAX_BYTES
    assert (await counted.http.post("/graphql", content=fits, headers=JSON)).status_code != 413
    answer = await counted.http.post("/graphql", content=fits + " ", headers=JSON)
    assert answer.status_code == 413
    assert answer.json()["errors"][0]["extensions"]["code"] == "BODY_TOO_LARGE"
    assert registry.get_sample_value("carillon_api_limits_hit_total", {"limit": "body_too_large"}) == 1
    assert await counted.execute("{ hello }") == {"hello": "hello world"}


async def test_a_body_of_unknown_length_is_bounded_too(client: HttpClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(2 * MAX_BYTES // 65536):
            yield b" " * 65536

    answer = await client.http.post("/graphql", content=endless(), headers=JSON)
    assert answer.status_code == 413


async def test_a_body_that_does_not_come_is_a_408(client: HttpClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphql, "BODY_TIMEOUT", 0.05)
    address = urlsplit(str(client.http.base_url))
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    head = UNFINISHED
    writer.write(head)
    async with asyncio.timeout(5):
        assert (await reader.readline()).startswith(b"HTTP/1.1 408")
    writer.close()
    await writer.wait_closed()


async def test_a_client_that_leaves_before_its_body_came_is_no_fault(
    counted: HttpClient, registry: CollectorRegistry
) -> None:
    address = urlsplit(str(counted.http.base_url))
    _, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(UNFINISHED)
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    labels = {"method": "POST", "route": "/graphql", "status": "400"}
    await until(lambda: registry.get_sample_value("carillon_http_request_duration_seconds_count", labels) == 1)
    assert registry.get_sample_value("carillon_api_faults_total") == 0


@pytest.mark.parametrize("accept", ["*/*", "application/json", f"{GRAPHQL_RESPONSE}, text/event-stream;q=0"])
async def test_a_subscription_in_plain_json_is_a_406_that_says_how_it_is_followed(
    client: HttpClient, accept: str
) -> None:
    answer = await client.post("subscription { count(to: 3) }", {"accept": accept})
    assert answer.status_code == 406
    message = answer.json()["errors"][0]["message"]
    assert "text/event-stream" in message
    assert "graphql-transport-ws" in message


async def test_a_browser_gets_graphiql(client: HttpClient) -> None:
    browser = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
    answer = await client.http.get("/graphql", headers=browser)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    answer = await client.http.get("/", headers=browser, follow_redirects=True)
    assert answer.url.path == "/graphql"
    assert (await client.http.get("/graphql/assets/page.css")).status_code == 200


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "PATCH"])
async def test_other_methods_are_told_what_is_taken(client: HttpClient, method: str) -> None:
    answer = await client.http.request(method, "/graphql", params={"query": "{ hello }"})
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, POST"
    assert "POST" in answer.json()["errors"][0]["message"]


async def test_an_internal_fault_tells_an_id_and_nothing_else(
    client: HttpClient, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await client.post("{ fault }")
    assert answer.status_code == 200
    (error,) = answer.json()["errors"]
    assert error["extensions"]["code"] == "INTERNAL"
    assert "hunter2" not in answer.text
    assert any(error["extensions"]["id"] in vars(record).values() for record in caplog.records)


async def test_a_dependency_that_is_gone_is_a_503_to_be_retried(client: HttpClient) -> None:
    answer = await client.post("{ unavailable }")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert answer.json()["errors"][0]["extensions"]["code"] == "UNAVAILABLE"
    partly = await client.post("{ unavailable hello }")
    assert (partly.status_code, partly.headers.get("retry-after")) == (200, None)
    assert partly.json()["errors"][0]["extensions"]["retryAfter"] == 1


async def test_an_operation_over_its_time_is_stopped() -> None:
    async with serving(small_app(timeout=0.05)) as address, http_client(address) as client:
        answer = await client.post("{ slow(seconds: 60) }")
    assert answer.status_code == 504
    assert answer.json()["errors"][0]["extensions"]["code"] == "TIMEOUT"


async def test_a_spent_budget_is_a_429_that_says_when_to_try_again() -> None:
    async with serving(small_app(budgets=_Spent())) as address, http_client(address) as client:
        answer = await client.post("{ hello }")
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "3"
    assert answer.json()["errors"][0]["extensions"] == {
        "code": "BUDGET_EXCEEDED",
        "retryable": True,
        "retryAfter": 2.5,
    }


async def test_too_much_under_way_for_a_tenant_is_a_429() -> None:
    async with serving(small_app(budgets=_Busy())) as address, http_client(address) as client:
        answer = await client.post("{ hello }")
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "1"
    assert answer.json()["errors"][0]["extensions"] == {
        "code": "TENANT_BUSY",
        "retryable": True,
        "retryAfter": 1,
    }


class _Busy:
    async def spend(self, tenant: str, points: int) -> Balance:
        raise TenantBusy

    async def balance(self, tenant: str) -> Balance:
        raise NotImplementedError


class _Spent:
    async def spend(self, tenant: str, points: int) -> Balance:
        raise BudgetExceeded(2.5)

    async def balance(self, tenant: str) -> Balance:
        raise NotImplementedError


async def test_a_trace_is_taken_up_and_returned(client: HttpClient) -> None:
    answer = await client.post("{ trace }", headers={"traceparent": TRACEPARENT})
    assert answer.headers["traceparent"] == TRACEPARENT
    assert answer.json() == {"data": {"trace": TRACEPARENT}}


@pytest.mark.parametrize(
    "given", ["", "nonsense", TRACEPARENT.upper(), f"{TRACEPARENT},{TRACEPARENT}", "00-" + "0" * 52]
)
async def test_an_invalid_trace_is_replaced_by_a_new_one(client: HttpClient, given: str) -> None:
    answer = await client.post("{ trace }", headers={"traceparent": given})
    assert answer.json()["data"]["trace"] == answer.headers["traceparent"]
    assert len(answer.headers["traceparent"]) == 55
    assert answer.headers["traceparent"] != given


async def test_requests_and_operations_are_counted_under_bounded_labels(
    counted: HttpClient, registry: CollectorRegistry
) -> None:
    await counted.post("{ hello }")
    await counted.post("{ fault }")
    await counted.post("{", {"accept": GRAPHQL_RESPONSE})
    await counted.http.get("/somewhere/else")
    await counted.http.get("/graphql/assets/page.css")
    outcomes = [
        (sample.labels, sample.value)
        for metric in registry.collect()
        for sample in metric.samples
        if sample.name == "carillon_graphql_operations_total"
    ]
    assert ({"kind": "query", "outcome": "ok"}, 1) in outcomes
    assert ({"kind": "query", "outcome": "errors"}, 0) in outcomes
    assert ({"kind": "query", "outcome": "failed"}, 1) in outcomes
    assert ({"kind": "unknown", "outcome": "refused"}, 1) in outcomes
    for route, status in [("/graphql", "400"), ("other", "404"), ("/graphql/assets", "200")]:
        labels = {"method": "POST" if route == "/graphql" else "GET", "route": route, "status": status}
        assert registry.get_sample_value("carillon_http_request_duration_seconds_count", labels) == 1


async def test_what_graphql_core_executes_of_repeated_operations_is_counted(
    counted: HttpClient, registry: CollectorRegistry
) -> None:
    for query in ("{ hello }", "{ __schema { queryType { name } } }"):
        for _ in range(2):
            await counted.post(query)
    assert registry.get_sample_value("carillon_graphql_fallbacks_total", {"reason": "value"}) == 1


@pytest.mark.parametrize("begun", [False, True])
async def test_a_fault_of_our_own_is_logged_once_under_the_id_that_is_told(
    registry: CollectorRegistry, caplog: pytest.LogCaptureFixture, begun: bool
) -> None:
    async def fails(scope: Scope, receive: Receive, send: Send) -> None:
        if begun:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("password=hunter2")

    metrics = ApiMetrics(registry)
    app = Traced(fails, metrics, lambda fault: present([fault], TimeOrderedIds())[0])
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://here") as client:
        answer = await client.post("/graphql")
    (logged,) = [record for record in caplog.records if record.exc_info]
    if not begun:
        assert answer.status_code == 500
        assert answer.json()["errors"][0]["extensions"]["id"] in vars(logged).values()
        assert "hunter2" not in answer.text


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "localhost.evil.example:8000"])
async def test_a_name_that_is_not_ours_is_not_answered(client: HttpClient, host: str) -> None:
    """A page of that name, pointed at this machine, would else be a client like any other."""
    answer = await client.post("{ __typename }", headers={"host": host})
    assert answer.status_code == 400
    assert "__typename" not in answer.text
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    [error] = answer.json()["errors"]
    assert error["extensions"] == {"code": "BAD_REQUEST"}


async def test_a_name_that_is_not_ours_is_refused_in_the_type_that_was_asked_for(client: HttpClient) -> None:
    asked = {"host": "evil.example", "accept": "application/graphql-response+json"}
    answer = await client.post("{ __typename }", headers=asked)
    assert answer.headers["content-type"] == "application/graphql-response+json; charset=utf-8"
    assert answer.json()["errors"]


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:1", "[::1]:8000"])
async def test_names_of_this_machine_are_answered(client: HttpClient, host: str) -> None:
    assert (await client.post("{ __typename }", headers={"host": host})).status_code == 200
