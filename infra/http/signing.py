"""Signs webhooks by the Standard Webhooks scheme (github.com/standard-webhooks/standard-webhooks)."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import SecretStr
from standardwebhooks import Webhook

from domain.webhooks.model import SigningKey
from domain.webhooks.ports import SigningKeys

PREFIX = "whsec_"
SHORTEST, LONGEST = 24, 64
"""Bytes of a secret, by the specification."""
REMEMBERED = 5.0
"""Seconds: a new, rotated or deleted secret is acted on by every worker within them."""
MOST = 1_000
"""Origins whose secrets are remembered; the one asked for longest ago is forgotten."""


@dataclass(frozen=True, slots=True)
class _Remembered:
    keys: Sequence[SigningKey]
    until: float


class Signer:
    """With the tenant's secrets, or else that of the installation, or else not at all.

    Raises ValueError where `installation` is not `whsec_` and base64 of 24 to 64 bytes; never says what it is.
    """

    def __init__(self, installation: SecretStr | None, secrets: SigningKeys | None = None) -> None:
        self._installation = [] if installation is None else [Webhook(_key(installation.get_secret_value()))]
        self._secrets = secrets
        self._remembered: OrderedDict[tuple[str, str], _Remembered] = OrderedDict()

    async def webhooks(self, tenant: str, origin: str, now: datetime) -> list[Webhook]:
        """What signs for this origin: two while a secret is rotated. Raises Unavailable or Unreadable."""
        keys = [key for key in await self._keys(tenant, origin) if key.signs_at(now)]
        return [Webhook(key.key) for key in keys] or self._installation

    async def _keys(self, tenant: str, origin: str) -> Sequence[SigningKey]:
        if self._secrets is None:
            return ()
        now = asyncio.get_running_loop().time()
        known = self._remembered.get((tenant, origin))
        if known is None or known.until <= now:
            known = _Remembered(await self._secrets.signing(tenant, origin), now + REMEMBERED)
            self._remembered[tenant, origin] = known
            if len(self._remembered) > MOST:
                self._remembered.popitem(last=False)
        self._remembered.move_to_end((tenant, origin))
        return known.keys


def signed(webhooks: Sequence[Webhook], webhook_id: str, now: datetime, body: str) -> dict[str, str]:
    """The headers that identify a webhook and, where something signs, prove who sent it."""
    headers = {"webhook-id": webhook_id, "webhook-timestamp": str(int(now.timestamp()))}
    if webhooks:
        headers["webhook-signature"] = " ".join(each.sign(webhook_id, now, body) for each in webhooks)
    return headers


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not secret.startswith(PREFIX) or not SHORTEST <= len(key) <= LONGEST:
        raise ValueError(f"the webhook secret must be {PREFIX} and base64 of {SHORTEST} to {LONGEST} bytes")
    return key
