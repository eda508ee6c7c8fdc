"""What a mutation refuses: part of its payload, for the client to put right."""

from __future__ import annotations

from enum import Enum

import strawberry

from domain.errors import Conflict, Refusal, Refusals
from schema.ids import task_id

Refused = (Refusal, Refusals)


@strawberry.enum(description="Why something was refused.")
class UserErrorCode(Enum):
    NOT_FOUND = strawberry.enum_value("NOT_FOUND", description="There is no such thing, or it is not yours.")
    INVALID = strawberry.enum_value("INVALID", description="The value is not allowed here.")
    CONFLICT = strawberry.enum_value("CONFLICT", description="There is already one, and it is another.")
    STALE_VERSION = strawberry.enum_value(
        "STALE_VERSION", description="Someone else changed it first: read it again."
    )
    ILLEGAL_STATE = strawberry.enum_value("ILLEGAL_STATE", description="Its state does not allow this.")
    TOO_MANY = strawberry.enum_value("TOO_MANY", description="There are more than may be taken at once.")
    UNKNOWN_HANDLER = strawberry.enum_value("UNKNOWN_HANDLER", description="No handler has this name.")
    FORBIDDEN_URL = strawberry.enum_value("FORBIDDEN_URL", description="Webhooks may not be sent there.")


@strawberry.type(
    description="Something the caller can put right. Faults of the service are GraphQL errors instead."
)
class UserError:
    code: UserErrorCode = strawberry.field(description="What kind of fault it is.")
    message: str = strawberry.field(description="What is wrong, in a sentence.")
    path: list[str] | None = strawberry.field(
        description="The input field it is about, from `input` down; null when it is about no single one."
    )


def user_errors(refused: Refusal | Refusals, below: tuple[str, ...] = ("input",)) -> list[UserError]:
    """`below` is the argument whose fields the paths begin with."""
    refusals = refused.refusals if isinstance(refused, Refusals) else [refused]
    return [
        UserError(code=UserErrorCode(each.code), message=_message(each), path=_path(each, below))
        for each in refusals
    ]


def _message(refusal: Refusal) -> str:
    if isinstance(refusal, Conflict) and refusal.task_id is not None:
        return f"{refusal.message} It is {task_id(refusal.task_id)}."
    return refusal.message


def _path(refusal: Refusal, below: tuple[str, ...]) -> list[str] | None:
    return [*below, *refusal.path] if refusal.path else None
