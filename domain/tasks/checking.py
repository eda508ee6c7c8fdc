"""Checks all that a caller asks for, and finds every fault of it at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any, Final

from domain.actions.model import Notify
from domain.actions.ports import Handlers, Webhooks
from domain.attempts.retry import RetryPolicy
from domain.errors import Refusal, Refusals
from domain.tasks.drafts import ActionDraft, HttpDraft, RetryDraft, RunDraft, TaskDraft, TaskEdit, as_action
from domain.tasks.validation import (
    MAX_NAME,
    MAX_TITLE,
    MAX_URL,
    Faults,
    instant_fault,
    json_fault,
    line_fault,
    note_label_faults,
    note_retry_faults,
    priority_fault,
    prose_fault,
    queue_fault,
    timeout_fault,
)
from domain.tenancy.model import Caller

DEFAULT_TIMEOUT: Final = timedelta(seconds=60)

_PLAIN: Final[dict[str, tuple[str, Callable[[Any], str | None]]]] = {
    "title": ("title", lambda title: line_fault(title, MAX_TITLE)),
    "description": ("description", prose_fault),
    "queue": ("queue", queue_fault),
    "priority": ("priority", priority_fault),
    "key": ("key", lambda key: line_fault(key, MAX_NAME)),
    "owner": ("owner", lambda owner: line_fault(owner, MAX_NAME)),
    "concurrency_key": ("concurrencyKey", lambda key: line_fault(key, MAX_NAME)),
    "timeout": ("timeout", timeout_fault),
}
"""Fields that are checked by their value alone: their name here, in an input, and the check."""

_NEVER_TAKEN_AWAY: Final = {
    "title": "title",
    "scheduled_at": "scheduledAt",
    "action": "action",
    "queue": "queue",
    "priority": "priority",
}


class Checker:
    """Paths of faults use the names of the public inputs."""

    def __init__(self, handlers: Handlers, webhooks: Webhooks) -> None:
        self._handlers = handlers
        self._webhooks = webhooks

    async def note_draft(self, caller: Caller, draft: TaskDraft, now: datetime, faults: Faults) -> None:
        asked = {field.name: getattr(draft, field.name) for field in fields(draft)}
        await self._note(caller, asked, now, faults)
        note_retry_faults(retry_policy(draft.retry), faults.under("retry"))

    async def note_edit(self, caller: Caller, edit: TaskEdit, now: datetime, faults: Faults) -> None:
        given = edit.given()
        for name, path in _NEVER_TAKEN_AWAY.items():
            if name in given and given[name] is None:
                faults.note("It can be changed, not taken away.", path)
        if "owner" in given and given["owner"] is None and caller.owner is not None:
            faults.note("You act for one owner: what is yours stays yours.", "owner")
        await self._note(caller, given, now, faults)

    async def _note(self, caller: Caller, asked: dict[str, Any], now: datetime, faults: Faults) -> None:
        for name, (path, check) in _PLAIN.items():
            if (value := asked.get(name)) is not None:
                faults.note(check(value), path)
        if (instant := asked.get("scheduled_at")) is not None:
            faults.note(instant_fault(instant, now), "scheduledAt")
        if (owner := asked.get("owner")) is not None and not caller.may_see(owner):
            faults.note("You act for one owner, and this is another.", "owner")
        note_label_faults(asked.get("labels", ()), faults.under("labels"))
        if (action := asked.get("action")) is not None:
            await self._note_action(action, faults.under("action"))

    async def _note_action(self, draft: ActionDraft, faults: Faults) -> None:
        match draft:
            case Notify(body=body):
                if body is not None:
                    faults.note(prose_fault(body), "notify", "body")
            case HttpDraft():
                await self._note_http(draft, faults.under("http"))
            case RunDraft():
                self._note_run(draft, faults.under("run"))

    async def _note_http(self, draft: HttpDraft, faults: Faults) -> None:
        url_fault = line_fault(draft.url, MAX_URL)
        headers_fault = None if draft.headers is None else _headers_fault(draft.headers)
        faults.note(url_fault, "url")
        faults.note(headers_fault, "headers")
        faults.note(json_fault(draft.body), "body")
        if url_fault or headers_fault:
            return
        try:
            await self._webhooks.check(as_action(draft))
        except (Refusal, Refusals) as refused:
            faults.take(refused)

    def _note_run(self, draft: RunDraft, faults: Faults) -> None:
        name_fault = line_fault(draft.handler, MAX_NAME)
        payload_fault = json_fault(draft.payload)
        if payload_fault is None and not isinstance(draft.payload, dict):
            payload_fault = "It must be an object: the arguments of the handler by name."
        faults.note(name_fault, "handler")
        faults.note(payload_fault, "payload")
        if name_fault or payload_fault:
            return
        try:
            self._handlers.check(as_action(draft))
        except (Refusal, Refusals) as refused:
            faults.take(refused)


def retry_policy(draft: RetryDraft) -> RetryPolicy:
    """The default policy with what `draft` sets; a longer base alone raises the default cap to it."""
    default = RetryPolicy()
    base = default.base if draft.base is None else draft.base
    return RetryPolicy(
        max_attempts=default.max_attempts if draft.max_attempts is None else draft.max_attempts,
        backoff=default.backoff if draft.backoff is None else draft.backoff,
        base=base,
        cap=max(default.cap, base) if draft.cap is None else draft.cap,
    )


def _headers_fault(headers: object) -> str | None:
    if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
        return "It must be an object whose values are texts."
    return json_fault(headers)
