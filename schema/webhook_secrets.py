"""The secrets that sign webhooks, as GraphQL sees them: listed, made, rotated and deleted."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

import strawberry

from domain.errors import Refusal, Refusals
from domain.tenancy.permissions import Permission
from domain.webhooks.model import Made
from domain.webhooks.model import WebhookSecret as DomainSecret
from schema.absent import given
from schema.context import Ask
from schema.ids import read_webhook_secret_id, webhook_secret_id
from schema.node import Node
from schema.permissions import changes, needs
from schema.user_errors import Refused, UserError, user_errors

OVERLAP = timedelta(days=1)


@strawberry.type(
    name="WebhookSecret",
    description="A key that signs webhooks (Standard Webhooks); the secret itself is never read back.",
)
class WebhookSecretNode(Node):
    origin: str | None = strawberry.field(
        description="Where it signs for, as https://host or https://host:port; null for every origin that has "
        "no secret of its own."
    )
    prefix: str = strawberry.field(description="Its first characters, to know it again by.")
    created_at: datetime = strawberry.field(description="When it was made.")
    retires_at: datetime | None = strawberry.field(
        description="When it stops signing, since it was rotated; null while it is the active one."
    )

    @staticmethod
    def of(secret: DomainSecret) -> WebhookSecretNode:
        return WebhookSecretNode(
            id=webhook_secret_id(secret.id),
            origin=secret.origin,
            prefix=secret.prefix,
            created_at=secret.created_at,
            retires_at=secret.retires_at,
        )


@strawberry.input(description="A secret to make.")
class CreateWebhookSecretInput:
    origin: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="As https://host or https://host:port. Without it, it signs every webhook whose origin has "
        "no secret of its own.",
    )


@strawberry.input(description="A secret to replace.")
class RotateWebhookSecretInput:
    id: strawberry.ID = strawberry.field(description="Of the active one.")
    overlap: timedelta | None = strawberry.field(
        default=OVERLAP, description="How long both sign, up to P30D. Zero retires the old one at once."
    )


@strawberry.type(description="What a secret's making came to.")
class WebhookSecretPayload:
    webhook_secret: WebhookSecretNode | None = strawberry.field(
        description="What may be shown of it; null when it was refused."
    )
    secret: str | None = strawberry.field(description="The secret itself (whsec_...), shown this once.")
    errors: list[UserError] = strawberry.field(description="What was refused; empty when all went well.")


@strawberry.type(description="What `deleteWebhookSecret` came to.")
class DeleteWebhookSecretPayload:
    deleted_id: strawberry.ID | None = strawberry.field(description="The id it had; null when it was refused.")
    errors: list[UserError] = strawberry.field(description="What was refused; empty when all went well.")


@needs(Permission.MANAGE_WEBHOOK_SECRETS)
async def webhook_secrets(info: Ask) -> list[WebhookSecretNode]:
    context = info.context
    return [WebhookSecretNode.of(each) for each in await context.webhook_secrets.all(context.caller)]


@changes(Permission.MANAGE_WEBHOOK_SECRETS)
async def create_webhook_secret(
    info: Ask, input: Annotated[CreateWebhookSecretInput, strawberry.argument(description="The secret.")]
) -> WebhookSecretPayload:
    context, caller = info.context, info.context.acting()
    try:
        return _told(await context.webhook_secrets.create(caller, given(input.origin)))
    except Refused as refused:
        return _refused(refused)


@changes(Permission.MANAGE_WEBHOOK_SECRETS)
async def rotate_webhook_secret(
    info: Ask, input: Annotated[RotateWebhookSecretInput, strawberry.argument(description="The secret.")]
) -> WebhookSecretPayload:
    context, caller = info.context, info.context.acting()
    overlap = OVERLAP if input.overlap is None else input.overlap
    try:
        return _told(await context.webhook_secrets.rotate(caller, read_webhook_secret_id(input.id), overlap))
    except Refused as refused:
        return _refused(refused)


@changes(Permission.MANAGE_WEBHOOK_SECRETS)
async def delete_webhook_secret(
    info: Ask, id: Annotated[strawberry.ID, strawberry.argument(description="Of the secret.")]
) -> DeleteWebhookSecretPayload:
    context, caller = info.context, info.context.acting()
    try:
        await context.webhook_secrets.delete(caller, read_webhook_secret_id(id))
    except Refused as refused:
        return DeleteWebhookSecretPayload(deleted_id=None, errors=user_errors(refused, below=()))
    return DeleteWebhookSecretPayload(deleted_id=id, errors=[])


def _told(made: Made) -> WebhookSecretPayload:
    return WebhookSecretPayload(webhook_secret=WebhookSecretNode.of(made.record), secret=made.secret, errors=[])


def _refused(refused: Refusal | Refusals) -> WebhookSecretPayload:
    return WebhookSecretPayload(webhook_secret=None, secret=None, errors=user_errors(refused))
