"""What a task does, as GraphQL shows it."""

from __future__ import annotations

import strawberry

from domain.actions.credentials import shown
from domain.actions.model import Action as DomainAction
from domain.actions.model import Http, Run
from schema.enums import ActionKind
from schema.scalars import Json


@strawberry.type(description="A webhook call: POST of `body` as JSON.")
class HttpAction:
    url: str = strawberry.field(description="Where it is sent.")
    headers: Json | None = strawberry.field(
        description="Headers of the caller's own, by name; `[redacted]` stands for credentials."
    )
    body: Json | None = strawberry.field(description="What is sent.")


@strawberry.type(description="A call of a registered handler.")
class RunAction:
    handler: str = strawberry.field(description="The name of the handler.")
    payload: Json = strawberry.field(description="Its arguments, by name.")


@strawberry.type(description="What a task does.")
class Action:
    kind: ActionKind = strawberry.field(description="Which of them it is.")
    http: HttpAction | None = strawberry.field(description="Set when it is HTTP.")
    run: RunAction | None = strawberry.field(description="Set when it is RUN.")

    @staticmethod
    def of(action: DomainAction) -> Action:
        http = run = None
        match action:
            case Http():
                headers = Json(shown(action.headers)) if action.headers else None
                http = HttpAction(url=action.url, headers=headers, body=Json(action.body))
            case Run():
                run = RunAction(handler=action.handler, payload=Json(action.payload))
        return Action(kind=action.kind, http=http, run=run)
