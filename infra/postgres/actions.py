"""Actions as they are stored."""

from __future__ import annotations

import json
from typing import Any

from domain.actions.model import Action, ActionKind, Http, Notify, Run


def action_to_json(action: Action) -> str:
    match action:
        case Notify(body=body):
            return json.dumps({"kind": action.kind, "body": body})
        case Http(url=url, headers=headers, body=body):
            return json.dumps({"kind": action.kind, "url": url, "headers": headers, "body": body})
        case Run(handler=handler, payload=payload):
            return json.dumps({"kind": action.kind, "handler": handler, "payload": payload})


def action_from_json(text: str) -> Action:
    return action_from(json.loads(text))


def action_from(stored: dict[str, Any]) -> Action:
    match stored["kind"]:
        case ActionKind.NOTIFY:
            return Notify(body=stored["body"])
        case ActionKind.HTTP:
            return Http(url=stored["url"], headers=stored["headers"], body=stored["body"])
        case _:
            return Run(handler=stored["handler"], payload=stored["payload"])
