"""Signs webhooks by the Standard Webhooks scheme (github.com/standard-webhooks/standard-webhooks)."""

from __future__ import annotations

import base64
import binascii
from datetime import datetime

from pydantic import SecretStr
from standardwebhooks import Webhook

PREFIX = "whsec_"
SHORTEST, LONGEST = 24, 64
"""Bytes of a secret, by the specification."""


class Signer:
    """Raises ValueError where `secret` is not `whsec_` and base64 of 24 to 64 bytes; never says what it is."""

    def __init__(self, secret: SecretStr | None) -> None:
        self._webhook = None if secret is None else Webhook(_key(secret.get_secret_value()))

    def headers(self, webhook_id: str, now: datetime, body: str) -> dict[str, str]:
        """The headers that identify a webhook and, where there is a secret, prove who sent it."""
        headers = {"webhook-id": webhook_id, "webhook-timestamp": str(int(now.timestamp()))}
        if self._webhook is not None:
            headers["webhook-signature"] = self._webhook.sign(webhook_id, now, body)
        return headers


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not secret.startswith(PREFIX) or not SHORTEST <= len(key) <= LONGEST:
        raise ValueError(f"the webhook secret must be {PREFIX} and base64 of {SHORTEST} to {LONGEST} bytes")
    return key
