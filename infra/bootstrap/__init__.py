"""The composition root: settings in, services out. The only package that picks adapters."""

from infra.bootstrap.answering import open_api_services
from infra.bootstrap.commands import (
    may_change,
    migrate_database,
    open_documents,
    open_overviews,
    open_token_service,
    reencrypt_database,
)
from infra.bootstrap.dead_letters import dead_letter_kinds, open_dead_letters
from infra.bootstrap.opening import open_services
from infra.bootstrap.services import ApiServices, Services
from infra.embedded_postgres.errors import CannotStart

__all__ = [
    "ApiServices",
    "CannotStart",
    "Services",
    "dead_letter_kinds",
    "may_change",
    "migrate_database",
    "open_api_services",
    "open_dead_letters",
    "open_documents",
    "open_overviews",
    "open_services",
    "open_token_service",
    "reencrypt_database",
]
