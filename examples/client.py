"""A client in Python: makes a task and follows it to its end; tells notifications, and misses none.

    python -m examples.client run "Count" count_to '{"n": 3, "delay": 0.2}'
    python -m examples.client notifications

CARILLON_ADDRESS says where Carillon is, and CARILLON_TOKEN is an access token, where one is needed.
"""

from __future__ import annotations

import json
import secrets
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import httpx2
import typer

CREATE: Final = """mutation ($input: CreateTaskInput!) {
  createTask(input: $input) { task { id } errors { code message path } } }"""
FOLLOW: Final = """subscription ($id: ID!) { taskActivity(taskId: $id) {
  ... on LogLine { line: message } ... on Progress { fraction } ... on TaskEvent { kind } } }"""
READ: Final = "query ($id: ID!) { task(id: $id) { state result error { message } } }"
NOTIFICATIONS: Final = "subscription { notifications { kind title body } }"

AGAIN: Final = (429, 502, 503, 504)
"""Statuses of answers that will be others in a moment."""
WAIT: Final = 1.0
"""Seconds before a stream that was cut off is taken up again."""
SILENCE: Final = 30.0
"""Seconds after which a stream is taken for dead: a silent one has a comment every 12."""

LOCAL: Final = "http://127.0.0.1:8000"
Json = dict[str, Any]
Address = Annotated[str, typer.Option(envvar="CARILLON_ADDRESS")]
Token = Annotated[str, typer.Option(envvar="CARILLON_TOKEN")]
cli = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class Refused(Exception):  # noqa: N818  an answer, not a fault
    """What the server said instead of data."""

    def __init__(self, errors: list[Json]) -> None:
        super().__init__("; ".join(map(said, errors)))


def said(error: Json) -> str:
    """Errors of a response have their code in the extensions, those of a payload beside the path."""
    code = error.get("code") or error["extensions"]["code"]
    place = f" at {'.'.join(map(str, path))}" if (path := error.get("path")) else ""
    return f"{error['message']} ({code}{place})"


@cli.command()
def run(
    title: str,
    handler: str,
    payload: Annotated[str, typer.Argument(help="The handler's arguments by name, as JSON.")] = "{}",
    address: Address = LOCAL,
    token: Token = "",
) -> None:
    """Has a handler run, and tells what it does until it is done."""
    action = {"run": {"handler": handler, "payload": read(payload)}}
    with connected(address, token) as http:
        id = create(http, {"title": title, "action": action})
        for _, data in follow(http, FOLLOW, {"id": id}):
            print(*data["taskActivity"].values(), flush=True)
        task = ask(http, READ, {"id": id})["task"]
    print(task["state"], task["error"]["message"] if task["error"] else json.dumps(task["result"]))


@cli.command()
def notifications(place: Path = Path(".cursor"), address: Address = LOCAL, token: Token = "") -> None:
    """Tells them as they come, from now on; the next time, from where it was, which it keeps in a file.

    It keeps the place once the notification is told: killed in between, it tells that one again.
    """
    seen = place.read_text() if place.exists() else None
    with connected(address, token) as http:
        for cursor, data in follow(http, NOTIFICATIONS, {}, seen):
            print(*(text for text in data["notifications"].values() if text), flush=True)
            if cursor:
                keep(place, cursor)


def read(payload: str) -> Json:
    """Raises BadParameter, which a shell shows in place of a traceback."""
    try:
        found = json.loads(payload)
    except ValueError as error:
        raise typer.BadParameter(f"the payload is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise typer.BadParameter('the payload is an object, such as {"n": 3}')
    return found


def complain(fault: httpx2.TransportError) -> None:
    """An outage passes; a wrong address does not, so it is named."""
    reason = str(fault) or type(fault).__name__
    print(f"{fault.request.url} was not reached, trying again: {reason}", file=sys.stderr, flush=True)


def keep(place: Path, cursor: str) -> None:
    """All of it or nothing: half a place would be none."""
    new = place.with_suffix(".new")
    new.write_text(cursor)
    new.replace(place)


def connected(address: str, token: str) -> httpx2.Client:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return httpx2.Client(base_url=address, headers=headers, timeout=httpx2.Timeout(10, read=SILENCE))


def create(http: httpx2.Client, task: Json) -> str:
    """Its id. Under its key it is made once, however often an answer is lost and it is sent again."""
    task = task | {"key": secrets.token_hex(16)}
    while True:
        try:
            made = ask(http, CREATE, {"input": task})["createTask"]
        except httpx2.TransportError as fault:
            complain(fault)
            time.sleep(WAIT)
            continue
        if made["errors"]:
            raise Refused(made["errors"])
        return str(made["task"]["id"])


def ask(http: httpx2.Client, document: str, variables: Json) -> Json:
    """The data of a query or mutation; raises Refused."""
    return data_of(http.post("/graphql", json={"query": document, "variables": variables}).json())


def follow(
    http: httpx2.Client, document: str, variables: Json, seen: str | None = None
) -> Iterator[tuple[str | None, Json]]:
    """The data of each result, and the place to go on from, until the subscription is complete.

    A stream that was cut off, or that we read too slowly (RESYNC), is taken up again behind what was seen.
    """
    while True:
        headers = {"accept": "text/event-stream"} | ({"last-event-id": seen} if seen else {})
        body = {"query": document, "variables": variables}
        try:
            with http.stream("POST", "/graphql", json=body, headers=headers) as answer:
                if answer.status_code not in AGAIN:
                    for event in events(answer):
                        if event.event == "complete":
                            return
                        result = json.loads(event.data)
                        if is_behind(result):
                            break
                        seen = event.id or seen
                        yield seen, data_of(result)
        except httpx2.TransportError as fault:
            complain(fault)
        time.sleep(WAIT)


def events(answer: httpx2.Response) -> Iterator[httpx2.ServerSentEvent]:
    """Raises Refused when it is no stream."""
    if "text/event-stream" not in answer.headers.get("content-type", ""):
        raise Refused(json.loads(answer.read())["errors"])
    yield from httpx2.EventSource(answer)


def is_behind(result: Json) -> bool:
    return any(error["extensions"]["code"] == "RESYNC" for error in result.get("errors", ()))


def data_of(result: Json) -> Json:
    if result.get("errors"):
        raise Refused(result["errors"])
    data: Json = result["data"]
    return data


if __name__ == "__main__":
    try:
        cli()
    except Refused as refused:
        raise SystemExit(str(refused)) from None
