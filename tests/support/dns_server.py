"""A name server of the tests: a few names, some of which change their mind from one question to the next."""

from __future__ import annotations

import asyncio
import ipaddress
import struct
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from typing_extensions import override

A, CNAME, AAAA, IN = 1, 5, 28, 1
PUBLIC_4, PUBLIC_6 = "93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946"
SILENT = "silent.test"
ANSWERS: dict[str, list[list[str]]] = {
    "public.test": [[PUBLIC_4, PUBLIC_6]],
    "rebinding.test": [[PUBLIC_4], ["127.0.0.1"]],
    "rebinding6.test": [[PUBLIC_6], ["::1"]],
    "six-inside.test": [["fd00::17"]],
    "six-loopback.test": [["::1"]],
    "six-mapped.test": [["::ffff:169.254.169.254"]],
    "six-nat64.test": [["64:ff9b::a9fe:a9fe"]],
    "mixed.test": [[PUBLIC_4, "10.0.0.5"]],
    "mixed-families.test": [[PUBLIC_4, "fd00::17"]],
    "alias.test": [["=metadata.test"]],
    "aliased-twice.test": [["=alias.test"]],
    "alias-to-public.test": [["=public.test"]],
    "metadata.test": [["169.254.169.254"]],
    "carrier.test": [["100.64.0.1"]],
    "zero.test": [["0.0.0.0"]],
}
"""By name, the answers to the first, the second, ... question, the last one for ever; `=` is an alias."""


@dataclass
class NameServer(asyncio.DatagramProtocol):
    port: int = 0
    asked: Counter[tuple[str, int]] = field(default_factory=Counter)
    transport: asyncio.DatagramTransport = field(init=False)

    @override
    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]  # it is one of datagrams
        self.transport = transport
        self.port = transport.get_extra_info("sockname")[1]

    @override
    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        name, kind, question = _question(data)
        if name == SILENT:
            return
        self.asked[name, kind] += 1
        answers, known = self._answers(name, kind)
        flags = 0x8180 if known else 0x8183  # answered, or: there is no such name
        header = data[:2] + struct.pack("!HHHHH", flags, 1, len(answers), 0, 0)
        self.transport.sendto(header + question + b"".join(answers), addr)

    def _answers(self, name: str, kind: int) -> tuple[list[bytes], bool]:
        sequence = ANSWERS.get(name)
        if sequence is None:
            return [], False
        found = []
        for text in sequence[min(self.asked[name, kind], len(sequence)) - 1]:
            if text.startswith("="):
                found.append(_record(name, CNAME, _written(text[1:])))
                found += self._answers(text[1:], kind)[0]
                continue
            address = ipaddress.ip_address(text)
            if kind == (A if address.version == 4 else AAAA):
                found.append(_record(name, kind, address.packed))
        return found, True


@asynccontextmanager
async def open_name_server(host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[NameServer]:
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(NameServer, (host, port))
    try:
        yield server
    finally:
        transport.close()


class StubResolver:
    """Asks that server, as the system's would: for both families, and follows no alias of its own."""

    def __init__(self, port: int, patience: float = 0.2) -> None:
        self._port = port
        self._patience = patience

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        return [*await self._ask(host, A), *await self._ask(host, AAAA)]

    async def _ask(self, name: str, kind: int) -> list[str]:
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[bytes] = loop.create_future()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Heard(answered), remote_addr=("127.0.0.1", self._port)
        )
        try:
            transport.sendto(
                struct.pack("!HHHHHH", 17, 0x0100, 1, 0, 0, 0) + _written(name) + struct.pack("!HH", kind, IN)
            )
            async with asyncio.timeout(self._patience):
                return _addresses(await answered, kind)
        finally:
            transport.close()


class _Heard(asyncio.DatagramProtocol):
    def __init__(self, answered: asyncio.Future[bytes]) -> None:
        self._answered = answered

    @override
    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._answered.set_result(data)


def _question(data: bytes) -> tuple[str, int, bytes]:
    name, end = _name(data, 12)
    kind, _ = struct.unpack_from("!HH", data, end)
    return name, kind, data[12 : end + 4]


def _name(data: bytes, at: int) -> tuple[str, int]:
    labels = []
    while size := data[at]:
        labels.append(data[at + 1 : at + 1 + size].decode().lower())
        at += 1 + size
    return ".".join(labels), at + 1


def _written(name: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def _record(name: str, kind: int, data: bytes) -> bytes:
    return _written(name) + struct.pack("!HHIH", kind, IN, 0, len(data)) + data


def _addresses(data: bytes, kind: int) -> list[str]:
    flags, _, count, _, _ = struct.unpack_from("!HHHHH", data, 2)
    if flags & 0xF:
        raise OSError("there is no such name")
    _, at = _name(data, 12)
    at += 4
    found = []
    for _ in range(count):
        _, at = _name(data, at)
        of, _, _, size = struct.unpack_from("!HHIH", data, at)
        at += 10
        if of == kind:
            found.append(str(ipaddress.ip_address(data[at : at + size])))
        at += size
    return found
