"""What the secrets of webhooks need from storage, and whoever signs from them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol
from uuid import UUID

from domain.webhooks.model import Made, SigningKey, WebhookSecret


class SigningKeys(Protocol):
    async def signing(self, tenant: str, origin: str) -> Sequence[SigningKey]:
        """The valid ones of this origin, or else those without an origin; the newest first.

        Raises Unreadable when one cannot be decrypted.
        """
        ...


class WebhookSecrets(SigningKeys, Protocol):
    """Encrypted at rest. At most two of one origin are valid at once: the active one, and one that retires."""

    async def add(self, tenant: str, id: UUID, origin: str | None, most: int) -> Made:
        """Makes the active one of this origin.

        Raises Conflict when it has one, TooMany when the tenant has `most` valid ones, and Invalid where
        nothing can be encrypted.
        """
        ...

    async def rotate(self, tenant: str, id: UUID, fresh: UUID, overlap: timedelta) -> Made:
        """Makes `fresh` the active one in the place of `id`, which retires after `overlap`.

        Raises NotFound, Conflict when `id` retires already or another one of its origin does, and Invalid
        where nothing can be encrypted.
        """
        ...

    async def delete(self, tenant: str, id: UUID) -> None:
        """Raises NotFound."""
        ...

    async def valid(self, tenant: str) -> list[WebhookSecret]:
        """Oldest first, those that retire included."""
        ...

    async def find(self, tenant: str, id: UUID) -> WebhookSecret | None: ...


class Origins(Protocol):
    def origin(self, text: str) -> str:
        """`text` in one form: scheme, host in ASCII, and the port if it is not the usual one.

        Raises Invalid or ForbiddenUrl for what webhooks cannot be sent to, and for more than an origin.
        """
        ...


class Unreadable(Exception):  # noqa: N818  says what it is
    """A secret cannot be decrypted."""
