"""Who calls. Without configured authentication, everyone who can connect acts for the one tenant."""

from __future__ import annotations

from domain.tenancy.model import Caller, Role
from infra.settings import Settings


def identify(settings: Settings) -> Caller:
    return Caller(tenant=settings.tenant, role=Role.ADMIN)
