"""The Dramatiq broker of a worker on RabbitMQ."""

from __future__ import annotations

from dramatiq.brokers.rabbitmq import RabbitmqBroker
from yarl import URL

from infra.rabbit.link import HEARTBEAT
from infra.settings import Settings

PASSWORD = "guest"  # noqa: S105  nothing secret: it is what everybody has who was given none
"""Of a user who is named without one: what aiormq takes for it too. Pika takes no such URL."""


def build_rabbit_broker(settings: Settings) -> RabbitmqBroker:
    """Without middleware: retries, time limits and figures are the engine's. It connects when it is used."""
    url = URL(str(settings.amqp_url))
    if url.user and url.password is None:
        url = url.with_password(PASSWORD)
    return RabbitmqBroker(url=str(url.with_query({"heartbeat": HEARTBEAT, **url.query})), middleware=[])
