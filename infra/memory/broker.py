"""The Dramatiq broker of a process that is its own worker."""

from __future__ import annotations

from dramatiq.brokers.stub import StubBroker


def build_stub_broker() -> StubBroker:
    """Without middleware: retries, time limits and figures are the engine's."""
    return StubBroker(middleware=[])
