"""The tenants that have figures of their own: those a setting names, as what names itself is without bound."""

from __future__ import annotations

from collections.abc import Callable, Iterable

OTHER = "other"
"""What all the others are called together."""

Named = Callable[[str], str]
"""What a tenant is called in figures."""


def naming(tenants: Iterable[str]) -> Named:
    names = {tenant: tenant for tenant in tenants}
    return lambda tenant: names.get(tenant, OTHER)
