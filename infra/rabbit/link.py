"""A connection to RabbitMQ that is made anew whenever it is lost."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Generic, TypeVar

import aio_pika
from aio_pika.abc import AbstractConnection
from prometheus_client import Counter
from yarl import URL

from domain.errors import Unavailable
from infra.background import background
from infra.rabbit.faults import told_as_unavailable
from infra.system import draw

log = logging.getLogger(__name__)

S = TypeVar("S")

CONNECT_TIMEOUT = 2.0
CLOSE_TIMEOUT = 3.0
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 1.0
HEARTBEAT = 10
"""Seconds between signs of life, unless the URL says otherwise: a silent peer is given up after three."""


class Link(Generic[S]):
    """What `set_up` makes of the connection is its session, and ends with it."""

    def __init__(
        self,
        url: str,
        name: str,
        set_up: Callable[[AbstractConnection], Awaitable[S]],
        lost: Counter,
        found: Callable[[], None],
    ) -> None:
        self._url = url
        self._name = name
        self._set_up = set_up
        self._lost = lost
        self._found = found
        self._current: S | None = None
        self._up = asyncio.Event()
        self._over = asyncio.Event()
        self._tried = asyncio.Event()
        self._logged = False

    @property
    def session(self) -> S | None:
        """None while there is no connection."""
        return self._current

    async def ready(self) -> S:
        """The session, as soon as there is one."""
        while self._current is None:
            await self._up.wait()
        return self._current

    async def tried(self) -> None:
        """Returns when it is connected, or when that has failed once."""
        await self._tried.wait()

    def renew(self, session: S) -> None:
        """This session does not do what it should: connect anew."""
        if session is self._current:
            self._end_session()

    async def keep(self) -> None:
        pause = FIRST_PAUSE
        while True:
            try:
                await self._hold_once()
                pause = FIRST_PAUSE
            except Unavailable as fault:
                self._note(fault)
            await asyncio.sleep(pause * (0.5 + draw()))
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _hold_once(self) -> None:
        """Returns when the connection is lost. Raises Unavailable when there was none."""
        with told_as_unavailable():
            async with asyncio.timeout(CONNECT_TIMEOUT):
                connection = await _connect(self._url)
        over = asyncio.Event()
        connection.close_callbacks.add(lambda *_: over.set())
        try:
            with told_as_unavailable():
                async with asyncio.timeout(CONNECT_TIMEOUT):
                    session = await self._set_up(connection)
            self._begin_session(session, over)
            await over.wait()
            self._lost.inc()
        finally:
            self._end_session()
            await _close(connection)

    def _begin_session(self, session: S, over: asyncio.Event) -> None:
        self._current, self._over = session, over
        self._up.set()
        self._tried.set()
        if self._logged:
            log.info("RabbitMQ is connected again", extra={"link": self._name})
        self._logged = False
        self._found()

    def _end_session(self) -> None:
        self._current = None
        self._up.clear()
        self._over.set()

    def _note(self, fault: Unavailable) -> None:
        if not self._logged:
            cause = fault.__cause__
            log.warning("RabbitMQ cannot be reached: %r", cause, extra={"link": self._name})
        self._logged = True
        self._tried.set()


@asynccontextmanager
async def open_link(
    url: str,
    name: str,
    set_up: Callable[[AbstractConnection], Awaitable[S]],
    lost: Counter,
    found: Callable[[], None] = lambda: None,
) -> AsyncIterator[Link[S]]:
    """Opens also when RabbitMQ cannot be reached; `name` is what RabbitMQ shows of the connection.

    `found` is told of each connection that is made.
    """
    link = Link(_named(url, name), name, set_up, lost, found)
    async with background() as tasks:
        tasks.start(link.keep(), f"link-{name}")
        await link.tried()
        yield link


def _named(url: str, name: str) -> str:
    parsed = URL(url)
    return str(parsed.with_query({"heartbeat": HEARTBEAT, **parsed.query, "name": name}))


async def _connect(url: str) -> AbstractConnection:
    """As `aio_pika.connect`, which leaves one that failed to be closed when it is garbage, on whatever loop."""
    connection = aio_pika.Connection(URL(url))
    try:
        await connection.connect()
    except BaseException:
        await connection.close()
        raise
    return connection


async def _close(connection: AbstractConnection) -> None:
    with suppress(Unavailable), told_as_unavailable():  # it is given up; there is nothing to tell
        async with asyncio.timeout(CLOSE_TIMEOUT):
            await connection.close()
