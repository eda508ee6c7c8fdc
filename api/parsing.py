"""Requests that ask for a protocol which is not spoken here are read as if they did not."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import TypeAlias

from httptools import HttpParserUpgrade, HttpRequestParser
from typing_extensions import override

Data: TypeAlias = "bytes | bytearray | memoryview[int] | array[int]"


class RequestParser(HttpRequestParser):
    """Reads on behind an Upgrade that is ignored (RFC 9110, 7.8).

    httptools stops where such a head ends, whatever its content-length says: the body would then be read as a
    request, which whoever passes it on, as one body among those of other clients, knows nothing of.
    """

    def __init__(self, protocol: object, head_without_upgrade: Callable[[], bytes | None]) -> None:
        """`head_without_upgrade` is the head that was just read, or None when its Upgrade is not ignored."""
        super().__init__(protocol)
        self.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        self._head_without_upgrade = head_without_upgrade

    @override
    def feed_data(self, data: Data) -> None:
        """Raises HttpParserUpgrade for one that is not ignored, and HttpParserError."""
        while True:
            try:
                super().feed_data(data)
            except HttpParserUpgrade as stopped:
                head = self._head_without_upgrade()
                if head is None:
                    raise
                data = head + bytes(data)[stopped.args[0] :]
            else:
                return
