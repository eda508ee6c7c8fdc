"""GraphiQL is complete in this repository, and works in a browser."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
import strawberry
import uvicorn
from graphql import OperationDefinitionNode, build_schema, parse, validate
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.testclient import TestClient
from strawberry.asgi import GraphQL
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL
from typing_extensions import override

from api.graphiql import assets, page
from domain.documents.manifests import read_manifest
from domain.documents.model import hash_of
from tests.support.browser import Browser, chromium, needs_chromium

ROOT = Path(__file__).parents[2]
STATIC = ROOT / "api/graphiql/static"
CONTRACT = ROOT / "schema/schema.graphql"
TABS = "Array.from(document.querySelectorAll('.graphiql-tab'), tab => tab.innerText)"
MOST_SHOWN = 46
"""Characters of a line that can be seen in a window 1,300 pixels wide."""
EDITORS = "document.querySelectorAll('.CodeMirror')"  # query, variables, headers, result


@strawberry.type
class Query:
    @strawberry.field
    def header(self, info: strawberry.Info, name: str) -> str | None:
        value: str | None = info.context["request"].headers.get(name)
        return value


@strawberry.type
class Mutation:
    @strawberry.mutation
    def due_in(self, scheduled_at: datetime) -> float:
        return (scheduled_at - datetime.now(UTC)) / timedelta(seconds=1)


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def secret(self, info: strawberry.Info) -> AsyncGenerator[str, None]:
        for turn in ("first", "second"):
            yield f"{turn} for {info.context['connection_params']['x-secret']}"


def graphql_app() -> Starlette:
    graph: GraphQL[Any, Any] = GraphQL(
        strawberry.Schema(Query, Mutation, Subscription),
        graphql_ide=None,
        subscription_protocols=[GRAPHQL_TRANSPORT_WS_PROTOCOL],
    )

    async def show(_: Request) -> Response:
        return page()

    here = [
        assets,
        Route("/graphql", show, methods=["GET"]),
        Route("/graphql", graph, methods=["POST"]),
        WebSocketRoute("/graphql", graph),
    ]
    return Starlette(routes=[Mount("/behind/a/prefix", routes=here), *here])


class Links(HTMLParser):
    """What a page makes a browser load, and any script written into the page itself."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.inline_scripts = 0
        self.feed(html)

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.found += [link for name in ("src", "href") if (link := given.get(name))]
        self.inline_scripts += tag == "script" and "src" not in given


@pytest.fixture
def client() -> TestClient:
    return TestClient(graphql_app(), "http://here")


@pytest.mark.parametrize("path", ["/graphql", "/behind/a/prefix/graphql"])
def test_the_page_and_every_file_it_names_come_from_the_same_server(client: TestClient, path: str) -> None:
    shown = client.get(path)
    links = Links(shown.text)

    assert shown.headers["content-type"] == "text/html; charset=utf-8"
    assert links.inline_scripts == 0
    assert len(links.found) == 7
    for link in links.found:
        url = urljoin(f"http://here{path}", link)
        assert urlsplit(url).netloc == "here"
        assert client.get(url).status_code == 200


def test_the_page_lets_a_browser_load_nothing_from_elsewhere_and_run_no_inline_script(
    client: TestClient,
) -> None:
    headers = client.get("/graphql").headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))

    assert policy["default-src"] == "'self'"
    assert "script-src" not in policy
    assert policy["connect-src"] == "'self' ws: wss:"
    assert policy["frame-ancestors"] == "'none'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["vary"] == "Accept, Authorization"


def test_our_files_name_no_other_host_and_the_style_sheet_carries_its_fonts() -> None:
    ours = ["index.html", "sign-in.html", *(f"static/{path.name}" for path in STATIC.glob("*.[cj]s*"))]
    for file in ours:
        assert not re.search(r"https?://|[\"'(]//", (ROOT / "api/graphiql" / file).read_text()), file

    style = (ROOT / "api/graphiql/vendored/graphiql.min.css").read_text()
    assert set(re.findall(r"url\(\"?(\w+:|[^)]{20})", style)) == {"data:"}
    assert "@import" not in style


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("boot.js", "text/javascript; charset=utf-8"),
        ("graphiql.min.css", "text/css; charset=utf-8"),
        ("favicon.svg", "image/svg+xml"),
        ("tasks.graphql", "text/plain; charset=utf-8"),
        ("create-task.json", "application/json"),
        ("THIRD_PARTY.txt", "text/plain; charset=utf-8"),
    ],
)
def test_a_file_says_what_it_is(client: TestClient, name: str, media_type: str) -> None:
    headers = client.get(f"/graphql/assets/{name}").headers

    assert headers["content-type"] == media_type
    assert headers["x-content-type-options"] == "nosniff"


def test_a_link_that_names_the_bytes_is_kept_for_ever_and_any_other_is_asked_about_again(
    client: TestClient,
) -> None:
    named = next(link for link in Links(client.get("/graphql").text).found if "boot.js" in link)
    kept = client.get(named)
    plain = client.get("/graphql/assets/boot.js?v=of-another-version")
    again = client.get(
        "/graphql/assets/boot.js", headers={"If-None-Match": f'"other", W/{plain.headers["etag"]}'}
    )

    assert kept.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert plain.headers["cache-control"] == "no-cache"
    assert kept.content == plain.content
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    "name", ["../serving.py", "..%2fserving.py", "%2e%2e/serving.py", "%2fetc%2fpasswd", "none.js", ""]
)
def test_only_the_known_files_are_served(client: TestClient, name: str) -> None:
    assert client.get(f"/graphql/assets/{name}").status_code == 404


@pytest.mark.skipif(not CONTRACT.exists(), reason="schema/schema.graphql is not there")
@pytest.mark.parametrize("tab", sorted(STATIC.glob("*.graphql")), ids=lambda path: path.stem)
def test_a_tab_of_the_page_is_valid_in_the_schema(tab: Path) -> None:
    assert validate(build_schema(CONTRACT.read_text()), parse(tab.read_text())) == []


def test_the_tab_for_a_published_document_names_the_one_that_the_manifest_beside_it_publishes() -> None:
    manifest = json.loads((ROOT / "api/graphiql/published-documents.json").read_text())
    (text,) = read_manifest(manifest)
    comments, _, rest = (
        (STATIC / "published.graphql").read_text().rpartition("# and whether it is a subscription.\n")
    )
    assert rest.strip() == text
    assert f"# documentId: sha256:{hash_of(text)}\n" in comments


@pytest.mark.parametrize("tab", sorted(STATIC.glob("*.graphql")), ids=lambda path: path.stem)
def test_no_line_of_a_tab_runs_under_the_buttons_of_the_editor(tab: Path) -> None:
    lines = tab.read_text().splitlines()
    # An id is as long as it is, and a text that is published is as its manifest has it.
    apart = ("# documentId:", "  tasks(first:")
    assert [line for line in lines if len(line) > MOST_SHOWN and not line.startswith(apart)] == []


def test_what_a_tab_lists_first_needs_no_variable_that_is_to_be_found_out() -> None:
    first = parse((STATIC / "task-activity.graphql").read_text()).definitions[0]
    assert isinstance(first, OperationDefinitionNode)
    assert not first.variable_definitions


def test_the_page_opens_each_tab_there_is() -> None:
    named = re.findall(r'"([\w-]+\.(?:graphql|json))"', (STATIC / "boot.js").read_text())

    assert sorted(named) == sorted(
        path.name for path in STATIC.iterdir() if path.suffix in {".graphql", ".json"}
    )


READY = f"{EDITORS}.length === 4"


async def run(browser: Browser, query: str, *, variables: str = "", headers: str = "", until: str) -> str:
    """Types an operation, presses the button, and returns what is shown once it has `until` in it."""
    for place, text in enumerate((query, variables, headers)):
        await browser.evaluate(f"{EDITORS}[{place}].CodeMirror.setValue({json.dumps(text)})")
    # GraphiQL looks at what was typed a moment later, and by that knows a subscription from a query.
    await browser.until(f"{EDITORS}[0].CodeMirror.documentAST?.loc.source.body === {json.dumps(query)}")
    await browser.evaluate("document.querySelector('.graphiql-execute-button').click()")
    result = f"{EDITORS}[3].CodeMirror.getValue()"
    await browser.until(f"{result}.includes({json.dumps(until)})")
    return str(await browser.evaluate(result))


@asynccontextmanager
async def serving(app: Starlette) -> AsyncIterator[str]:
    listening = socket.create_server(
        ("127.0.0.1", 0)
    )  # whoever connects before the server runs is kept waiting
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
    async with asyncio.TaskGroup() as group:
        group.create_task(server.serve(sockets=[listening]))
        try:
            yield f"127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True


@needs_chromium
async def test_the_page_starts_in_a_browser_without_an_error_and_asks_no_other_host() -> None:
    async with serving(graphql_app()) as here, chromium() as browser:
        await browser.open(f"http://{here}/graphql", until=READY)

        assert await browser.evaluate(TABS) == [
            "CreateTask",
            "Tasks",
            "Notifications",
            "TaskEvents",
            "CreateSchedule",
            "TaskToFollow",
            "PublishedTasks",
        ]
        assert browser.errors == []
        assert browser.asked == {here}


@needs_chromium
async def test_the_first_tab_opens_with_its_variables_and_the_page_opens_again_as_it_was_left() -> None:
    async with serving(graphql_app()) as here, chromium() as browser:
        await browser.open(f"http://{here}/graphql", until=READY)
        shown = [await browser.evaluate(TABS), await browser.evaluate(f"{EDITORS}[1].CodeMirror.getValue()")]
        await browser.until("Object.keys(localStorage).some(key => key.endsWith(':tabState'))")
        await browser.open(f"http://{here}/graphql?again", until=READY)
        again = [await browser.evaluate(TABS), await browser.evaluate(f"{EDITORS}[1].CodeMirror.getValue()")]

        assert shown[1] == (STATIC / "create-task.json").read_text()
        assert again == shown


@needs_chromium
async def test_a_query_a_mutation_and_a_subscription_run_in_it_behind_a_prefix() -> None:
    async with serving(graphql_app()) as here, chromium() as browser:
        await browser.open(f"http://{here}/behind/a/prefix/graphql", until=READY)
        secret = json.dumps({"x-secret": "a secret"})
        header = await run(browser, '{ header(name: "x-secret") }', headers=secret, until='"header"')
        due_in = await run(
            browser,
            "mutation ($scheduledAt: DateTime!) { dueIn(scheduledAt: $scheduledAt) }",
            variables='{"scheduledAt": "now+5s"}',
            until='"dueIn"',
        )
        told = await run(browser, "subscription { secret }", headers=secret, until="second")

        assert json.loads(header) == {"data": {"header": "a secret"}}
        assert 4 < json.loads(due_in)["data"]["dueIn"] <= 5
        assert json.loads(told) == {"data": {"secret": "second for a secret"}}
        assert browser.errors == []
        assert browser.asked == {here}


@needs_chromium
async def test_headers_are_kept_by_the_history_only_when_the_reader_has_chosen_so() -> None:
    async with serving(graphql_app()) as here, chromium() as browser:
        await browser.open(f"http://{here}/graphql", until=READY)
        stored = "Object.entries(localStorage).find(([key]) => key.endsWith(':queries'))?.[1] ?? ''"
        for name, chosen in (("First", "false"), ("Second", "true")):
            choose = f"localStorage.setItem('carillon:/graphql:graphiql:shouldPersistHeaders', '{chosen}')"
            await browser.evaluate(choose)
            query = f'query {name} {{ header(name: "x-secret") }}'
            await run(browser, query, headers=json.dumps({"x-secret": name}), until=f'"{name}"')
            await browser.until(f"({stored}).includes('query {name}')")
            kept = {each["operationName"]: each.get("headers") for each in
                    json.loads(await browser.evaluate(stored))["queries"]}  # fmt: skip
            assert (kept[name] is not None) is (chosen == "true")
