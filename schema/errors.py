"""Errors as responses show them: nothing of our inside gets out, and its cause is in the log under an id."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from graphql import GraphQLError

from domain.budgets.ports import BudgetExceeded
from domain.clock import Ids
from domain.errors import Forbidden, Refusal, Unavailable
from domain.live.ports import Resync
from domain.resilience.backlogs import Overloaded
from schema.echoes import shortened

logger = logging.getLogger(__name__)


def present(errors: Iterable[GraphQLError | Exception], ids: Ids) -> list[dict[str, Any]]:
    """One entry for each error, every one with an `extensions.code`.

    What was not foreseen is shown as an internal error with an opaque id, and logged once under that id,
    however many fields it hit.
    """
    logged: dict[int, str] = {}
    return [_entry(error, ids, logged) for error in errors]


def _entry(error: GraphQLError | Exception, ids: Ids, logged: dict[int, str]) -> dict[str, Any]:
    cause = _cause(error)
    if cause is None and isinstance(error, GraphQLError):
        message = shortened(error.message)
        extensions = {"code": "INVALID", **(error.extensions or {})}
    elif isinstance(cause, Unavailable | BudgetExceeded | Overloaded):
        message = str(cause)
        extensions = {"code": cause.code, "retryable": True, "retryAfter": round(cause.retry_after, 3)}
    elif isinstance(cause, Refusal | Resync | Forbidden):
        message = str(cause)
        extensions = {"code": cause.code}
    else:
        message = "Internal error"
        extensions = {"code": "INTERNAL", "id": _logged(cause or error, ids, logged)}
    entry: dict[str, Any] = {"message": message}
    if isinstance(error, GraphQLError):
        shown = error.formatted
        entry.update((key, shown[key]) for key in ("locations", "path") if key in shown)
    return {**entry, "extensions": extensions}


def _cause(error: Exception) -> Exception | None:
    """The exception that is not GraphQL's own; None when GraphQL, or a resolver in its words, refused."""
    cause: Exception | None = error
    while isinstance(cause, GraphQLError):
        cause = cause.original_error
    return cause


def _logged(cause: Exception, ids: Ids, logged: dict[int, str]) -> str:
    """The id it is logged under; `logged` maps the identity of each exception to it."""
    if id(cause) not in logged:
        logged[id(cause)] = ids.next().hex
        logger.error("internal error", exc_info=cause, extra={"error_id": logged[id(cause)]})
    return logged[id(cause)]
