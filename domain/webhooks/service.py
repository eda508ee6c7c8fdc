"""What an administrator may do with the secrets of webhooks."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from domain.clock import Ids
from domain.errors import Invalid, NotFound, Refusal
from domain.tenancy.model import Caller
from domain.tenancy.permissions import Permission, may
from domain.webhooks.model import Made, WebhookSecret
from domain.webhooks.ports import Origins, WebhookSecrets

MAX_SECRETS = 200
"""Valid secrets of one tenant."""
LONGEST_OVERLAP = timedelta(days=30)


class WebhookSecretService:
    """For administrators who are bound to no owner: whoever has a secret can speak for the whole tenant."""

    def __init__(self, secrets: WebhookSecrets, origins: Origins, ids: Ids) -> None:
        self._secrets = secrets
        self._origins = origins
        self._ids = ids

    async def create(self, caller: Caller, origin: str | None) -> Made:
        """Raises Invalid or ForbiddenUrl for the origin, Conflict when it has an active one, TooMany."""
        try:
            written = None if origin is None else self._origins.origin(origin)
            return await self._secrets.add(caller.tenant, self._ids.next(), written, MAX_SECRETS)
        except Refusal as refusal:
            refusal.path = ("origin",)
            raise

    async def rotate(self, caller: Caller, id: UUID | None, overlap: timedelta) -> Made:
        """Both sign until the old one retires, after `overlap`. Raises NotFound, Conflict or Invalid."""
        if not timedelta(0) <= overlap <= LONGEST_OVERLAP:
            raise Invalid(f"It must be from zero to {LONGEST_OVERLAP.days} days.", ("overlap",))
        try:
            return await self._secrets.rotate(caller.tenant, _known(id), self._ids.next(), overlap)
        except Refusal as refusal:
            refusal.path = ("id",)
            raise

    async def delete(self, caller: Caller, id: UUID | None) -> None:
        """It signs nothing any more. Raises NotFound."""
        try:
            await self._secrets.delete(caller.tenant, _known(id))
        except NotFound as refusal:
            refusal.path = ("id",)
            raise

    async def all(self, caller: Caller) -> list[WebhookSecret]:
        return await self._secrets.valid(caller.tenant)

    async def find(self, caller: Caller, id: UUID) -> WebhookSecret | None:
        """None as well for a caller who may not manage them."""
        if not may(caller, Permission.MANAGE_WEBHOOK_SECRETS):
            return None
        return await self._secrets.find(caller.tenant, id)


def _known(id: UUID | None) -> UUID:
    if id is None:
        raise NotFound("There is no such secret.")
    return id
