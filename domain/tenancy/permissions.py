"""Who may do what: the one place that decides it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from domain.errors import Forbidden
from domain.tenancy.model import Caller, Role


class Permission(StrEnum):
    """What a use case needs. Whoever is bound to an owner has it for what is that owner's alone."""

    READ = "READ"
    """Tasks, schedules and notifications, as lists, by their ids, and live."""
    CHANGE = "CHANGE"
    """Make, change and delete tasks and schedules; mark notifications."""
    READ_QUEUES = "READ_QUEUES"
    CHANGE_QUEUES = "CHANGE_QUEUES"
    MANAGE_WEBHOOK_SECRETS = "MANAGE_WEBHOOK_SECRETS"
    READ_AUDIT_LOG = "READ_AUDIT_LOG"
    MANAGE_DEAD_LETTERS = "MANAGE_DEAD_LETTERS"
    """Events of the tenant that were set aside: see, replay and purge them."""
    EXECUTE_ANY_DOCUMENT = "EXECUTE_ANY_DOCUMENT"
    """Also where only published ones are executed for the others."""
    READ_SCHEMA = "READ_SCHEMA"
    """By introspection, also where it is not told to the others."""


@dataclass(frozen=True, slots=True)
class Requirement:
    role: Role
    """The least that is enough."""
    whole_tenant: bool = False
    """It tells of, or changes, everyone's: whoever is bound to an owner may not."""


REQUIREMENTS: Mapping[Permission, Requirement] = {
    Permission.READ: Requirement(Role.VIEWER),
    Permission.CHANGE: Requirement(Role.EDITOR),
    Permission.READ_QUEUES: Requirement(Role.VIEWER, whole_tenant=True),
    Permission.CHANGE_QUEUES: Requirement(Role.ADMIN, whole_tenant=True),
    Permission.MANAGE_WEBHOOK_SECRETS: Requirement(Role.ADMIN, whole_tenant=True),
    Permission.READ_AUDIT_LOG: Requirement(Role.ADMIN, whole_tenant=True),
    Permission.MANAGE_DEAD_LETTERS: Requirement(Role.ADMIN, whole_tenant=True),
    Permission.EXECUTE_ANY_DOCUMENT: Requirement(Role.ADMIN, whole_tenant=True),
    Permission.READ_SCHEMA: Requirement(Role.ADMIN, whole_tenant=True),
}
_RANK = {role: rank for rank, role in enumerate((Role.VIEWER, Role.EDITOR, Role.ADMIN))}


def may(caller: Caller, permission: Permission) -> bool:
    return _lacking(caller, permission) is None


def authorise(caller: Caller, permission: Permission) -> None:
    """Raises Forbidden."""
    lacking = _lacking(caller, permission)
    if lacking is not None:
        raise Forbidden(f"This needs the right {permission}, which {lacking} not have.")


def _lacking(caller: Caller, permission: Permission) -> str | None:
    """Who does not have it, of all that the caller is. The binding goes first: no role makes up for it."""
    needed = REQUIREMENTS[permission]
    if needed.whole_tenant and caller.owner is not None:
        return "callers bound to an owner do"
    return None if _RANK[caller.role] >= _RANK[needed.role] else f"role {caller.role} does"
