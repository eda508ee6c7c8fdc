"""What of a process its settings name wrongly is told at its start: keys, secrets and handlers."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from domain.actions.ports import Webhooks
from domain.clock import Clock
from domain.webhooks.ports import WebhookSecrets
from infra.breakers import BreakerBoard
from infra.embedded_postgres.errors import CannotStart
from infra.encryption.key_file import home_keys
from infra.encryption.keys import KeyRing, read_keys
from infra.handlers.loading import HandlersNotLoaded, LoadedHandlers, load_handlers
from infra.http.client import build_webhooks
from infra.settings import Settings


def load_keys(settings: Settings) -> KeyRing:
    """Those of the settings, or of the home; none where neither is."""
    try:
        if settings.encryption_keys is not None:
            return read_keys(settings.encryption_keys.get_secret_value())
        return home_keys(settings.home) if settings.embedded else KeyRing()
    except ValueError as error:
        place = settings.home if settings.encryption_keys is None else "CARILLON_ENCRYPTION_KEYS"
        raise CannotStart(f"{place} cannot encrypt: {error}") from error
    except OSError as error:
        raise CannotStart(f"The keys of this home cannot be read or made: {error}") from error


def webhooks_with(
    settings: Settings,
    clock: Clock,
    keys: KeyRing,
    secrets: WebhookSecrets,
    *,
    registry: CollectorRegistry,
    board: BreakerBoard,
) -> Webhooks:
    try:
        return build_webhooks(settings, clock, keys=keys, secrets=secrets, registry=registry, board=board)
    except ValueError as error:
        raise CannotStart(f"CARILLON_WEBHOOK_SECRET cannot sign: {error}") from error


def handlers_with(settings: Settings, clock: Clock) -> LoadedHandlers:
    try:
        return load_handlers(settings.handler_modules, settings.worker_slots, clock)
    except HandlersNotLoaded as error:
        raise CannotStart(str(error)) from error
