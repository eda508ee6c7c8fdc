"""Tells the operator why JWTs were refused, which those who sent them are not told."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from enum import StrEnum

from prometheus_client import CollectorRegistry, Counter

from domain.clock import Clock

log = logging.getLogger(__name__)

QUIET = timedelta(minutes=1)
"""From one line of the log about a reason to the next: anyone may send what is refused."""


class Reason(StrEnum):
    """The first fault that was found; what is in the claims is looked at only once the signature is good."""

    MALFORMED = "malformed"
    """It is no JWT, or one of its parts or claims cannot be read."""
    UNKNOWN_KEY = "unknown_key"
    """Of this `kid` there is none in the key set; without a `kid` there is more than one."""
    WEAK_KEY = "weak_key"
    """The key of the set is too short."""
    ALGORITHM = "algorithm"
    SIGNATURE = "signature"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    """Its `nbf` or `iat` is to come."""
    ISSUER = "issuer"
    AUDIENCE = "audience"
    MISSING_CLAIM = "missing_claim"
    """Of `exp`, `iss` and `aud`."""
    TENANT_CLAIM = "tenant_claim"
    """The claim that names the tenant is missing, or is no name. So with the next two."""
    OWNER_CLAIM = "owner_claim"
    ROLE_CLAIM = "role_claim"


class RefusedJwts:
    def __init__(self, clock: Clock, registry: CollectorRegistry) -> None:
        self._clock = clock
        self._counted = Counter(
            "carillon_jwts_refused", "JWTs that were refused, by reason", ["reason"], registry=registry
        )
        for reason in Reason:
            self._counted.labels(reason)
        self._quiet_until: dict[Reason, datetime] = {}
        self._untold = dict.fromkeys(Reason, 0)

    def note(self, reason: Reason) -> None:
        """Nothing of the JWT is told: a bad one may be somebody's good one, cut short."""
        self._counted.labels(reason).inc()
        now = self._clock.now()
        if now < self._quiet_until.get(reason, now):
            self._untold[reason] += 1
            return
        log.warning("a JWT was refused: %s (and %d more since the last line)", reason, self._untold[reason])
        self._untold[reason] = 0
        self._quiet_until[reason] = now + QUIET
