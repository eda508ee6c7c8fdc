"""Every way in which the client says that RabbitMQ is gone, told as Unavailable."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from aio_pika.exceptions import CONNECTION_EXCEPTIONS

from domain.errors import Unavailable

DEPENDENCY = "RabbitMQ"


@contextmanager
def told_as_unavailable() -> Iterator[None]:
    """A time limit belongs inside: that it has passed is told as Unavailable too."""
    try:
        yield
    except CONNECTION_EXCEPTIONS as fault:
        raise Unavailable(DEPENDENCY) from fault
    except Exception as fault:  # the client has nothing better for what waits as its connection is cut
        if type(fault) is not Exception:
            raise
        raise Unavailable(DEPENDENCY) from fault
    except asyncio.CancelledError as fault:
        # The client ends what waits on a closed connection with this, without anyone cancelling the task.
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise Unavailable(DEPENDENCY) from fault
