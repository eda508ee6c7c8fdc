"""GraphiQL asks for a token where callers have to be known, and is for administrators where documents are."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from api.admission import Mode
from domain.documents.model import hash_of
from domain.errors import Unauthenticated, Unavailable
from domain.tenancy.model import Caller, Role
from domain.tenancy.ports import Identified
from schema.limits import Limits
from tests.integration.test_graphiql import EDITORS, READY, Links, run
from tests.support.browser import DEADLINE, Browser, chromium, needs_chromium
from tests.support.graphql_client import HttpClient, http_client
from tests.support.serving import serving
from tests.support.small_graph import small_app
from tests.support.stored_documents import StoredDocuments

PUBLISHED = "query Hello($name: String!) { hello(name: $name) }"
COUNT = "subscription Count { count(to: 3) }"
ANSWER = "document.getElementById('answer')?.textContent"
SCHEMA = f"{EDITORS}[0].CodeMirror.options.lint.schema?.getQueryType?.()"
BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


class Known:
    """Whoever says so is an administrator, a viewer, or an administrator bound to an owner."""

    async def identify(self, credential: str | None) -> Identified:
        match credential:
            case "admin":
                return Identified(caller=Caller(tenant="acme", role=Role.ADMIN))
            case "viewer":
                return Identified(caller=Caller(tenant="acme", role=Role.VIEWER))
            case "bound":
                return Identified(caller=Caller(tenant="acme", role=Role.ADMIN, owner="alice"))
            case "later":
                raise Unavailable("PostgreSQL")
        raise Unauthenticated


@asynccontextmanager
async def address_of(mode: Mode) -> AsyncIterator[str]:
    documents = StoredDocuments(PUBLISHED, COUNT)
    limits = Limits(introspection="administrators")
    async with serving(small_app(documents=documents, mode=mode, callers=Known(), limits=limits)) as address:
        yield address


@asynccontextmanager
async def client_of(mode: Mode) -> AsyncIterator[HttpClient]:
    async with address_of(mode) as address, http_client(address) as client:
        yield client


@pytest.mark.parametrize(
    ("mode", "statuses"),
    [
        ("open", {None: 401, "nobody": 401, "viewer": 200, "bound": 200, "admin": 200, "later": 503}),
        ("apq", {None: 401, "nobody": 401, "viewer": 200, "bound": 200, "admin": 200, "later": 503}),
        ("trusted", {None: 401, "nobody": 401, "viewer": 403, "bound": 403, "admin": 200, "later": 503}),
    ],
)
async def test_the_page_is_for_those_who_may_run_what_they_type_there(
    mode: Mode, statuses: dict[str | None, int]
) -> None:
    async with client_of(mode) as client:
        for token, status in statuses.items():
            bearer = {} if token is None else {"authorization": f"Bearer {token}"}
            answer = await client.http.get("/graphql", headers=BROWSER | bearer)
            assert answer.status_code == status, token
            assert ("boot.js" in answer.text) is (status == 200)
            assert ("sign-in.js" in answer.text) is (status in {401, 403})
            assert ("www-authenticate" in answer.headers) is (status == 401)


async def test_no_cache_gives_the_page_of_one_to_another() -> None:
    async with client_of("trusted") as client:
        for bearer in ({}, {"authorization": "Bearer admin"}):
            headers = (await client.http.get("/graphql", headers=BROWSER | bearer)).headers
            assert headers["cache-control"] == "private, no-cache"
            assert headers["vary"] == "Accept, Authorization"


async def test_the_page_that_asks_comes_from_the_same_server_and_runs_no_inline_script() -> None:
    async with client_of("trusted") as client:
        asked = await client.http.get("/graphql", headers=BROWSER)
        links = Links(asked.text)
        assert links.inline_scripts == 0
        assert len(links.found) == 3
        for link in links.found:
            assert (await client.http.get(f"/{link}")).status_code == 200
        assert "default-src 'self'" in asked.headers["content-security-policy"]


async def give(browser: Browser, token: str, until: str) -> None:
    """Types the token, presses the button, and waits; from outside, as the page is replaced meanwhile."""
    await browser.until("document.querySelector('form button:enabled')")
    field = f"document.getElementById('token').value = {json.dumps(token)}"
    await browser.evaluate(f"{field}; document.querySelector('form button').click()")
    async with asyncio.timeout(DEADLINE):
        while not await browser.evaluate(f"Boolean({until})"):  # noqa: ASYNC110  the event is the browser's
            await asyncio.sleep(0.05)


@needs_chromium
async def test_an_administrator_signs_in_and_everything_carries_the_token() -> None:
    async with address_of("trusted") as address, chromium() as browser:
        await browser.open(f"{address}/graphql", until="document.querySelector('form')")
        await give(browser, "nobody", f"{ANSWER}?.includes('not known')")
        await give(browser, "viewer", f"{ANSWER}?.includes('administrators')")
        await give(browser, "admin", READY)
        await browser.until(SCHEMA)  # introspected

        assert json.loads(await run(browser, "{ hello }", until="hello"))["data"] == {"hello": "hello world"}
        assert json.loads(await run(browser, COUNT, until='"count": 2'))["data"] == {"count": 2}
        assert "Bearer" not in await browser.evaluate("JSON.stringify(localStorage)")
        assert browser.of("Runtime.exceptionThrown") == []

        other = json.dumps({"Authorization": "Bearer nobody"})
        assert "UNAUTHENTICATED" in await run(browser, "{ hello }", headers=other, until="errors")


@needs_chromium
async def test_a_published_document_is_run_by_its_id_alone() -> None:
    async with address_of("trusted") as address, chromium() as browser:
        await browser.open(f"{address}/graphql", until="document.querySelector('form')")
        await give(browser, "admin", READY)
        # Of the text below only the variables count: it is another.
        query = f"# documentId: sha256:{hash_of(PUBLISHED)}\nquery Hello($name: String!) {{ trace }}"
        answer = await run(browser, query, variables='{"name": "Ann"}', until='"hello"')
        assert json.loads(answer)["data"] == {"hello": "hello Ann"}

        told = await run(browser, f"# documentId: sha256:{hash_of(COUNT)}\n{COUNT}", until='"count": 2')
        assert json.loads(told)["data"] == {"count": 2}
        sent = [frame["response"]["payloadData"] for frame in browser.of("Network.webSocketFrameSent")]
        (payload,) = [message["payload"] for message in map(json.loads, sent) if message["type"] == "subscribe"]
        assert payload["documentId"] == f"sha256:{hash_of(COUNT)}"
        assert "query" not in payload


@needs_chromium
async def test_whoever_may_not_see_the_schema_runs_what_they_type_all_the_same() -> None:
    async with address_of("open") as address, chromium() as browser:
        await browser.open(f"{address}/graphql", until="document.querySelector('form')")
        await give(browser, "viewer", READY)
        assert await browser.evaluate(f"{EDITORS}[3].CodeMirror.getValue()") == ""
        assert "hello world" in await run(browser, "{ hello }", until='"data"')
        assert not await browser.evaluate(f"Boolean({SCHEMA})")


@needs_chromium
async def test_on_a_phone_the_answer_is_under_the_question_and_nothing_is_wider_than_the_screen() -> None:
    async with serving(small_app()) as address, chromium() as browser:
        screen = {"width": 390, "height": 780, "deviceScaleFactor": 1, "mobile": True}
        await browser.call("Emulation.setDeviceMetricsOverride", **screen)
        await browser.open(f"{address}/graphql", until=READY)
        editor, result = [
            await browser.evaluate(f"document.querySelector('{place}').getBoundingClientRect().toJSON()")
            for place in (".graphiql-editors", ".graphiql-response")
        ]
        assert editor["bottom"] <= result["top"] + 1
        assert min(editor["width"], result["width"]) > 300
        assert min(editor["height"], result["height"]) > 150
        assert await browser.evaluate("document.documentElement.scrollWidth <= innerWidth")
