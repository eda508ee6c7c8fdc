"""Every code of `errors[].extensions.code`: python -m schema.error_codes writes docs/errors.md."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

PAGE = Path(__file__).parents[1] / "docs/errors.md"


class ErrorCode(NamedTuple):
    name: str
    status: str
    """Of HTTP, when nothing else was answered; none where it is met over websockets alone."""
    retry: str
    """Whether the same request may succeed later."""
    meaning: str


NO, LATER, AT_ONCE = "no", "after `retryAfter` seconds", "at once"

CODES = (
    ErrorCode("ANSWER_TOO_LARGE", "200", NO, "The answer is left out; a mutation was executed all the same."),
    ErrorCode("BAD_REQUEST", "400", NO, "The body is no operation in JSON, or the host named is none of ours."),
    ErrorCode("BATCHING_DISABLED", "400", NO, "Lists of operations are not taken here: send each by itself."),
    ErrorCode("BATCH_TOO_LARGE", "400", NO, "The list has more operations than one request may hold."),
    ErrorCode("BODY_TOO_LARGE", "413", NO, "The body has more bytes than are read."),
    ErrorCode("BODY_TOO_SLOW", "408", LATER, "The body did not arrive in time."),
    ErrorCode("BUDGET_EXCEEDED", "429", LATER, "The tenant has spent its budget."),
    ErrorCode("COST_EXCEEDED", "400", NO, "It may cost more than one operation may: `cost`, `limit`."),
    ErrorCode(
        "CURSOR_EXPIRED", "", NO, "The place is none of this stream any more: read, and go on from there."
    ),
    ErrorCode("DOCUMENT_NOT_FOUND", "400", NO, "No published document has this id."),
    ErrorCode("DOCUMENT_NOT_TRUSTED", "400", NO, "Only published documents are executed here."),
    ErrorCode("DOCUMENT_TOO_LARGE", "400", NO, "The document has too many characters."),
    ErrorCode("FIELD_REPEATED", "400", NO, "One name stands too often in one place."),
    ErrorCode(
        "FORBIDDEN",
        "200",
        NO,
        "The caller lacks a right, which the message names, by their role or as bound to an owner.",
    ),
    ErrorCode(
        "INTERNAL", "500, a field's 200", "perhaps", "A fault of ours; its cause is logged under the `id`."
    ),
    ErrorCode("INTROSPECTION_DISABLED", "400", NO, "The schema is not told here."),
    ErrorCode(
        "INVALID", "400, a field's 200", NO, "The document or a value is not valid; `argument` names it."
    ),
    ErrorCode("LISTS_TOO_LONG", "400", NO, "The lists in the variables have too many items in all."),
    ErrorCode("LIST_TOO_LONG", "400", NO, "One list has too many items; in variables, `argument` names it."),
    ErrorCode("METHOD_NOT_ALLOWED", "405", NO, "Operations are sent as POST."),
    ErrorCode("NESTED_TOO_DEEPLY", "400", NO, "Selections or values lie too deep within each other."),
    ErrorCode("NOT_ACCEPTABLE", "406", NO, "A subscription is followed as events, or over a websocket."),
    ErrorCode("NOT_FOUND", "200", NO, "There is no such thing, or it is not the caller's."),
    ErrorCode(
        "OVERLOADED",
        "503",
        LATER,
        "Too much is due, so that no tasks are made; or more is asked at once than can be answered soon.",
    ),
    ErrorCode(
        "PAGE_TOO_LARGE",
        "400",
        NO,
        "A page has too many items; `argument` names it. (Fewer than 1 are `INVALID`.)",
    ),
    ErrorCode("PERSISTED_QUERY_NOT_FOUND", "400", NO, "Send it once more with its text, to register it."),
    ErrorCode("PERSISTED_QUERY_NOT_SUPPORTED", "400", NO, "Send texts: none are registered here."),
    ErrorCode("PREFLIGHT_REQUIRED", "403", NO, "A GET needs a header that no page of another site can send."),
    ErrorCode(
        "RATE_LIMITED",
        "429",
        LATER,
        "The tenant sends more operations each second than it may.",
    ),
    ErrorCode("RESYNC", "", AT_ONCE, "A subscriber fell behind: subscribe again, from the last cursor."),
    ErrorCode("TENANT_BUSY", "429", LATER, "Too much is under way for the tenant just now."),
    ErrorCode("TENANT_CONNECTIONS", "429", LATER, "The tenant has too many live connections."),
    ErrorCode("TENANT_SUBSCRIPTIONS", "200", LATER, "The tenant follows too much that is not the same."),
    ErrorCode("TIMEOUT", "504", "queries", "It took too long; a mutation may have taken effect."),
    ErrorCode("TOO_DEEP", "400", NO, "The operation has too many levels of fields."),
    ErrorCode("TOO_MANY", "200", NO, "There are more than may be taken at once."),
    ErrorCode("TOO_MANY_ALIASES", "400", NO, "The operation has too many aliases."),
    ErrorCode("TOO_MANY_DIRECTIVES", "400", NO, "The operation has too many directives."),
    ErrorCode("TOO_MANY_FRAGMENTS", "400", NO, "The document has too many fragments."),
    ErrorCode("TOO_MANY_OPERATIONS", "400", NO, "The document has too many operations."),
    ErrorCode("TOO_MANY_ROOT_FIELDS", "400", NO, "The operation has too many fields at its root."),
    ErrorCode("TOO_MANY_SELECTIONS", "400", NO, "The document asks for too much, fragments spread out."),
    ErrorCode("TOO_MANY_TOKENS", "400", NO, "The document has too many words and signs."),
    ErrorCode("UNAUTHENTICATED", "401", NO, "There is no valid token."),
    ErrorCode("UNAVAILABLE", "503", LATER, "A part it needs cannot be reached just now."),
    ErrorCode("UNSUPPORTED_MEDIA_TYPE", "415", NO, "Operations are sent as JSON in UTF-8."),
)
"""By name."""

LIMITS = frozenset(
    {
        "ANSWER_TOO_LARGE",
        "BUDGET_EXCEEDED",
        "COST_EXCEEDED",
        "DOCUMENT_TOO_LARGE",
        "FIELD_REPEATED",
        "LISTS_TOO_LONG",
        "LIST_TOO_LONG",
        "NESTED_TOO_DEEPLY",
        "OVERLOADED",
        "PAGE_TOO_LARGE",
        "RATE_LIMITED",
        "TENANT_BUSY",
        "TENANT_SUBSCRIPTIONS",
        "TOO_DEEP",
        "TOO_MANY",
        "TOO_MANY_ALIASES",
        "TOO_MANY_DIRECTIVES",
        "TOO_MANY_FRAGMENTS",
        "TOO_MANY_OPERATIONS",
        "TOO_MANY_ROOT_FIELDS",
        "TOO_MANY_SELECTIONS",
        "TOO_MANY_TOKENS",
    }
)
"""Of an operation, or an answer, that was too much: each is counted."""

FAULTS = frozenset({"INTERNAL", "TIMEOUT", "UNAVAILABLE"})
"""Of an operation that failed through no fault of its caller's: counted as `failed`."""

USER_ERRORS = frozenset({"CONFLICT", "STALE_VERSION", "ILLEGAL_STATE", "UNKNOWN_HANDLER", "FORBIDDEN_URL"})
"""Told in the payloads of mutations alone, as the enum UserErrorCode has them."""


def page() -> str:
    rows = "\n".join(f"| `{each.name}` | {each.status} | {each.retry} | {each.meaning} |" for each in CODES)
    return f"""# Errors

Made by `python -m schema.error_codes`.

What the caller of a mutation can put right is in the `errors` of its payload, with a `UserErrorCode`, which the
schema describes. Everything else is in `errors` of the response, with one of these in `extensions.code`. The
status is that of HTTP when no field was answered; with a part of an answer it is 200.
What is not executed is a 200 where the client asked for `application/json`. What may succeed after a while has
`retryable: true` and `retryAfter`, in seconds, in its `extensions`, and with any other status the header
Retry-After. Messages are for people and may change, codes do not.

| code | status | again? | meaning |
| --- | --- | --- | --- |
{rows}
"""


def main() -> None:
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
