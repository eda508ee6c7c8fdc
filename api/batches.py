"""Several requests in one, each on its own: a list of them is answered by the list of their responses.

After the draft's appendix on request batching: all are executed at the same time, so that none may count on
another, and the status of each is only told by its errors.
"""

from __future__ import annotations

import asyncio

from api.answers import Room
from api.graph import Graph
from api.payloads import Malformed, error_entry, is_object, read_operation, write_json
from domain.tenancy.model import Caller
from schema.operations import Result


async def answers_of(graph: Graph, batch: list[object], caller: Caller) -> bytes:
    """JSON, in the order of the requests. Raises Malformed for what holds none."""
    if not batch or not all(map(is_object, batch)):
        raise Malformed("a batch is a list of operations, each a JSON object")
    room = graph.room()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_answer(graph, each, caller, room)) for each in batch]
    return b"[%b]" % b",".join(task.result() for task in tasks)


async def _answer(graph: Graph, request: object, caller: Caller, room: Room) -> bytes:
    try:
        sent, _ = read_operation(request)
    except Malformed as error:
        return _refused("BAD_REQUEST", f"The request cannot be read: {error}.")
    operation = await graph.admit(sent, caller)
    if isinstance(operation, Result):
        return write_json(operation.body)
    kind = graph.kind(operation)
    if kind == "subscription":
        return _refused("NOT_ACCEPTABLE", "A subscription is not followed in a batch.")
    return (await graph.execute(kind, operation, caller, room)).json


def _refused(code: str, message: str) -> bytes:
    return write_json({"errors": [error_entry(code, message)]})
