"""The broker of workers goes where the other connections to RabbitMQ go."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import AmqpDsn

from infra.rabbit.broker import build_rabbit_broker
from infra.settings import Settings


@pytest.mark.parametrize(
    ("url", "user", "password"),
    [
        ("amqp://127.0.0.1", "guest", "guest"),
        ("amqp://worker@127.0.0.1", "worker", "guest"),
        ("amqp://worker:s%40cret@127.0.0.1", "worker", "s@cret"),
    ],
)
def test_a_user_may_be_named_without_a_password(url: str, user: str, password: str) -> None:
    parameters: Any = build_rabbit_broker(Settings(amqp_url=AmqpDsn(url))).parameters
    assert (parameters.credentials.username, parameters.credentials.password) == (user, password)
    assert parameters.heartbeat
