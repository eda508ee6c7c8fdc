"""A client asks whether the answer it kept still holds, and is told so for its own rights alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx2
import pytest

from domain.budgets.ports import Rates
from domain.documents.model import hash_of
from domain.errors import Unauthenticated
from domain.tenancy.model import Caller, Role
from domain.tenancy.ports import Identified
from infra.budgets.leased import LeasedBudgets
from infra.budgets.memory import MemoryBuckets
from tests.support.graphql_client import HttpClient, http_client
from tests.support.serving import serving
from tests.support.small_graph import small_app
from tests.support.stored_documents import StoredDocuments

HELLO = 'query Hello($name: String! = "all") { hello(name: $name) }'
CALLER = "query Me { caller }"
PARTLY = "query Partly { hello unavailable }"
ASKED = {"graphql-require-preflight": "1"}
CALLERS = {
    "first": Caller(tenant="acme", role=Role.VIEWER),
    "tenant": Caller(tenant="other", role=Role.VIEWER),
    "owner": Caller(tenant="acme", role=Role.VIEWER, owner="ann"),
    "role": Caller(tenant="acme", role=Role.EDITOR),
}
RATES = Rates(limit=100, refill_per_second=1)


class Known:
    async def identify(self, credential: str | None) -> Identified:
        if credential not in CALLERS:
            raise Unauthenticated
        return Identified(caller=CALLERS[credential])


@pytest.fixture
def budgets() -> LeasedBudgets:
    return LeasedBudgets(MemoryBuckets(RATES, lambda: 0.0), RATES, lambda: 0.0)


@pytest.fixture
async def client(budgets: LeasedBudgets) -> AsyncIterator[HttpClient]:
    documents = StoredDocuments(HELLO, CALLER, PARTLY)
    app = small_app(documents=documents, callers=Known(), budgets=budgets)
    async with serving(app) as address, http_client(address) as client:
        yield client


def by_id(text: str, variables: str = "{}") -> dict[str, str]:
    return {"documentId": f"sha256:{hash_of(text)}", "variables": variables}


async def get(
    client: HttpClient, parameters: Mapping[str, str], who: str = "first", **headers: str
) -> httpx2.Response:
    given = ASKED | {"authorization": f"Bearer {who}"} | {k.replace("_", "-"): v for k, v in headers.items()}
    return await client.http.get("/graphql", params=parameters, headers=given)


async def test_an_answer_that_still_holds_is_not_sent_again(client: HttpClient) -> None:
    first = await get(client, by_id(HELLO))
    assert first.json() == {"data": {"hello": "hello all"}}
    again = await get(client, by_id(HELLO), if_none_match=f'"other", {first.headers["etag"]}')
    assert (again.status_code, again.content) == (304, b"")
    for answer in (first, again):
        assert answer.headers["etag"] == first.headers["etag"]
        assert answer.headers["cache-control"] == "private, no-cache"
        varying = answer.headers["vary"].lower().replace(" ", "").split(",")
        assert {"accept", "authorization"} <= set(varying)


async def test_another_answer_is_sent(client: HttpClient) -> None:
    first = await get(client, by_id(HELLO))
    changed = await get(client, by_id(HELLO, '{"name": "Ann"}'), if_none_match=first.headers["etag"])
    assert (changed.status_code, changed.json()) == (200, {"data": {"hello": "hello Ann"}})
    as_response = {"accept": "application/graphql-response+json", "if_none_match": first.headers["etag"]}
    assert (await get(client, by_id(HELLO), **as_response)).status_code == 200


@pytest.mark.parametrize("who", ["tenant", "owner", "role"])
async def test_what_one_was_told_does_not_hold_for_another(client: HttpClient, who: str) -> None:
    first = await get(client, by_id(CALLER))
    other = await get(client, by_id(CALLER), who, if_none_match=first.headers["etag"])
    assert other.status_code == 200
    assert other.json() != first.json()
    assert other.headers["etag"] != first.headers["etag"]


async def test_the_same_answer_is_told_to_hold_however_much_of_the_budget_is_left(
    client: HttpClient, budgets: LeasedBudgets
) -> None:
    sent = {"documentId": by_id(CALLER)["documentId"]}
    posted = await client.http.post("/graphql", json=sent, headers={"authorization": "Bearer first"})
    assert posted.json()["extensions"]["cost"]["limit"] == 100
    first = await get(client, by_id(CALLER))
    assert first.json().keys() == {"data"}, "what is left is another with each answer"
    assert (await get(client, by_id(CALLER), if_none_match=first.headers["etag"])).status_code == 304


async def test_an_answer_that_holds_is_paid_for_like_any_other() -> None:
    rates = Rates(limit=30, refill_per_second=1)
    budgets = LeasedBudgets(MemoryBuckets(rates, lambda: 0.0), rates, lambda: 0.0)
    app = small_app(documents=StoredDocuments(INTROSPECTION), callers=Known(), budgets=budgets)
    async with serving(app) as address, http_client(address) as client:
        first = await get(client, by_id(INTROSPECTION))
        for status in (304, 304, 429):
            again = await get(client, by_id(INTROSPECTION), if_none_match=first.headers["etag"])
            assert again.status_code == status


INTROSPECTION = "query Type { __schema { queryType { name } } }"
"""Which costs ten."""


@pytest.mark.parametrize(
    ("parameters", "who", "status"),
    [
        (by_id(PARTLY), "first", 200),
        (by_id(HELLO, '{"name": null}'), "first", 200),
        (by_id("{ hello }"), "first", 200),
        (by_id(HELLO, "{"), "first", 400),
        (by_id(HELLO), "stranger", 401),
        ({"query": HELLO}, "first", 200),
    ],
    ids=["in part", "variables", "unknown", "unreadable", "stranger", "text"],
)
async def test_errors_and_answers_to_texts_are_kept_by_nobody(
    client: HttpClient, parameters: dict[str, Any], who: str, status: int
) -> None:
    answer = await get(client, parameters, who, if_none_match="*")
    assert answer.status_code == status
    assert answer.headers["cache-control"] == "no-store"
    assert "etag" not in answer.headers
