"""Actions as they are stored."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from domain.actions.model import Action, ActionKind, Http, Notify, Run, SealedValue
from infra.encryption.headers import HeaderSeals

SEALED = "sealed"
_PLAIN_NOTIFY = '{"body": null, "kind": "NOTIFY"}'
"""As jsonb writes what most reminders are."""
_NOTIFY = Notify()


def action_to_json(action: Action, tenant: str, seals: HeaderSeals) -> str:
    """Headers that carry credentials are encrypted, for this tenant."""
    match seals.sealed(tenant, action):
        case Notify(body=body):
            return json.dumps({"kind": action.kind, "body": body})
        case Http(url=url, headers=headers, body=body):
            fields = {"url": url, "headers": _stored(headers), "body": body}
            return json.dumps({"kind": action.kind, **fields})
        case Run(handler=handler, payload=payload):
            return json.dumps({"kind": action.kind, "handler": handler, "payload": payload})


def action_from_json(text: str) -> Action:
    return _NOTIFY if text == _PLAIN_NOTIFY else action_from(json.loads(text))


def action_from(stored: dict[str, Any]) -> Action:
    match stored["kind"]:
        case ActionKind.NOTIFY:
            return Notify(body=stored["body"])
        case ActionKind.HTTP:
            return Http(url=stored["url"], headers=_read(stored["headers"]), body=stored["body"])
        case _:
            return Run(handler=stored["handler"], payload=stored["payload"])


def _stored(headers: Mapping[str, str | SealedValue]) -> dict[str, str | dict[str, str]]:
    return {
        name: {SEALED: value.text} if isinstance(value, SealedValue) else value
        for name, value in headers.items()
    }


def _read(headers: dict[str, str | dict[str, str]]) -> dict[str, str | SealedValue]:
    return {
        name: SealedValue(value[SEALED]) if isinstance(value, dict) else value
        for name, value in headers.items()
    }
