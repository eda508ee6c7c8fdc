"""The keys that verify JWTs (RFC 7517), read from a file or a URL, and read again as they change."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
from collections.abc import Awaitable, Callable, Collection
from contextlib import aclosing
from pathlib import Path

import httpcore2
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from domain.errors import Unavailable

log = logging.getLogger(__name__)

REFRESH = 300.0
"""Seconds between two readings."""
PAUSE = 10.0
"""Seconds at least from one reading to another, however many JWTs name keys that are not there."""
FETCH_TIMEOUT = 3.0
MAX_BYTES = 256 * 1024
OK = 200

Read = Callable[[], Awaitable[bytes]]
"""Raises FAULTS."""


class Unreadable(Exception):  # noqa: N818  says what it is
    """There is an answer, and no key set in it."""


FAULTS = (
    OSError,
    TimeoutError,
    Unreadable,
    httpcore2.TimeoutException,
    httpcore2.NetworkError,
    httpcore2.ProtocolError,
    ssl.SSLError,
)


class KeySet:
    """Keys that were read stay until others are: they go on verifying while their place is away."""

    def __init__(self, read: Read, algorithms: Collection[str], pause: float = PAUSE) -> None:
        self._read = read
        self._algorithms = frozenset(algorithms)
        self._pause = pause
        self._keys: list[PyJWK] = []
        self._next = 0.0
        self._reading = asyncio.Lock()
        self.fault: Exception | None = None
        """Why the last reading failed."""

    async def key(self, id: str | None) -> PyJWK | None:
        """None for one that is not in the set.

        Raises Unavailable when it may be in it, and the set cannot be read just now.
        """
        found = self._find(id)
        if found is None:
            async with self._reading:
                found = self._find(id)
                if found is None and asyncio.get_running_loop().time() >= self._next:
                    await self._refresh()
                    found = self._find(id)
        if found is None and self.fault is not None:
            raise Unavailable("The key set of JWTs")
        return found

    async def refresh(self) -> None:
        async with self._reading:
            await self._refresh()

    async def refresh_forever(self, interval: float = REFRESH) -> None:
        while True:
            await asyncio.sleep(interval)
            await self.refresh()

    async def _refresh(self) -> None:
        try:
            self._keys = read_keys(await self._read(), self._algorithms)
            self.fault = None
        except FAULTS as fault:
            self.fault = fault
            log.warning("the key set of JWTs cannot be read: %s: %s", type(fault).__name__, fault)
        self._next = asyncio.get_running_loop().time() + self._pause

    def _find(self, id: str | None) -> PyJWK | None:
        if id is None:  # a set of one need not name it
            return self._keys[0] if len(self._keys) == 1 else None
        return next((key for key in self._keys if key.key_id == id), None)


def read_keys(text: bytes, algorithms: Collection[str]) -> list[PyJWK]:
    """Those that sign, with one of these algorithms; others are no fault. Raises Unreadable."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Unreadable("it is not JSON") from error
    if not isinstance(body, dict) or not isinstance(body.get("keys"), list):
        raise Unreadable("it has no list `keys`")
    keys = [key for key in map(_key, body["keys"]) if key is not None and key.algorithm_name in algorithms]
    if not keys:
        raise Unreadable(f"it has no key for {', '.join(sorted(algorithms))}")
    return keys


def _key(described: object) -> PyJWK | None:
    if not isinstance(described, dict) or described.get("use", "sig") != "sig":
        return None
    try:
        return PyJWK(described)
    except (PyJWTError, TypeError, ValueError):  # of a kind we do not know
        return None


def reader(place: str) -> Read:
    """Of a URL, or the path of a file."""
    return _Url(place).read if is_url(place) else _File(Path(place)).read


def is_url(place: str) -> bool:
    return "://" in place


class _File:
    def __init__(self, path: Path) -> None:
        self._path = path

    async def read(self) -> bytes:
        return await asyncio.to_thread(self._path.read_bytes)


class _Url:
    """Of what an operator trusts: redirects are not followed, and what is read is bounded."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def read(self) -> bytes:
        async with (
            asyncio.timeout(FETCH_TIMEOUT),
            httpcore2.AsyncConnectionPool() as pool,
            pool.stream("GET", self._url, headers={"accept": "application/json"}) as response,
        ):
            if response.status != OK:
                raise Unreadable(f"it answers {response.status}")
            body = bytearray()
            async with aclosing(response.aiter_stream()) as chunks:
                async for chunk in chunks:
                    body += chunk
                    if len(body) > MAX_BYTES:
                        raise Unreadable(f"it is over {MAX_BYTES} bytes")
        return bytes(body)
