"""Values that mean themselves: none that GraphQL would await, call, raise or take for null."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from types import GeneratorType
from typing import Any
from uuid import UUID

from graphql.pyutils import Undefined
from typing_extensions import override

MOST = 1_000
"""Classes remembered; values of others are looked at each time."""


class Unusual(Exception):  # noqa: N818  a way out, not a fault
    """The generated code does not know this value: graphql-core completes it."""


class Ordinary(set[type]):
    """The classes known to be ordinary, so that looking a value's class up is enough."""

    def admit(self, value: Any) -> None:
        """Raises Unusual for a value that is not ordinary, else remembers its class."""
        if (
            value is None
            or value is Undefined
            or isinstance(value, BaseException | GeneratorType)
            or hasattr(value, "__await__")
            or callable(value)
        ):
            raise Unusual
        if len(self) < MOST:
            self.add(value.__class__)


class OrdinaryObjects(Ordinary):
    """Those among them that GraphQL reads attributes from, not items."""

    @override
    def admit(self, value: Any) -> None:
        if isinstance(value, Mapping):
            raise Unusual
        super().admit(value)


def ordinary_leaves() -> Ordinary:
    plain = {str, int, float, bool, bytes, list, tuple, dict, datetime, date, time, timedelta, Decimal, UUID}
    return Ordinary(plain)
