"""What kind of answer a client asks for (RFC 9110, Accept)."""

from __future__ import annotations

import re
from functools import lru_cache

from starlette.datastructures import Headers

GRAPHQL_RESPONSE = "application/graphql-response+json"
JSON = "application/json"
EVENT_STREAM = "text/event-stream"
_ANY_JSON = (GRAPHQL_RESPONSE, JSON, "application/*", "*/*")
LONGEST_REMEMBERED = 256
"""Characters of what was read before: clients of one kind send the same with each request."""
_WEIGHT = re.compile(r"[01](\.[0-9]*)?|\.[0-9]+")


def answer_type(headers: Headers) -> str:
    """The draft's media type for who asks for it by name; plain JSON for everyone else, wildcards included."""
    weights = _weights(headers)
    asked = weights.get(GRAPHQL_RESPONSE, 0)
    return GRAPHQL_RESPONSE if asked > 0 and asked >= weights.get(JSON, 0) else JSON


def wants_events(headers: Headers, *, subscription: bool) -> bool:
    """Whether the answer is a stream of events. Clients list it on every request, whatever they ask for.

    So for what has one result it counts only when no JSON is taken.
    """
    weights = _weights(headers)
    takes_json = any(weights.get(media_range, 0) > 0 for media_range in _ANY_JSON)
    return weights.get(EVENT_STREAM, 0) > 0 and (subscription or not takes_json)


def accepts_html(headers: Headers) -> bool:
    """By name: a browser does, a tool that takes anything does not."""
    return _weights(headers).get("text/html", 0) > 0


def _weights(headers: Headers) -> dict[str, float]:
    """Each media range named, and its q (1 when absent, 0 when it cannot be read)."""
    accept = ",".join(headers.getlist("accept"))
    return _read(accept) if len(accept) <= LONGEST_REMEMBERED else _read.__wrapped__(accept)


@lru_cache(maxsize=1_000)
def _read(accept: str) -> dict[str, float]:
    weights = {}
    for part in accept.split(","):
        media_range, *parameters = part.lower().replace(" ", "").split(";")
        weight = next((p.removeprefix("q=") for p in parameters if p.startswith("q=")), "1")
        weights[media_range] = float(weight) if _WEIGHT.fullmatch(weight) else 0
    return weights
