"""A collector of spans on loopback, that keeps what processes export to it by OTLP over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True, slots=True)
class Told:
    """A span as it came."""

    name: str
    service: str
    trace: str
    id: str
    parent: str
    """Empty for one that begins its trace."""
    links: frozenset[str]
    """The traces it is linked to."""
    notes: dict[str, Any]
    failed: bool
    nanoseconds: int


@dataclass
class Collector:
    answer: bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    port: int = 0
    spans: list[Told] = field(default_factory=list)
    versions: set[Any] = field(default_factory=set)
    """Of those who told them."""
    bodies: list[bytes] = field(default_factory=list)
    """As they came over the wire, to look for what must not be in them."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                length = next(line for line in head.split("\r\n") if line.startswith("content-length:"))
                self.take(await reader.readexactly(int(length.partition(":")[2])))
                writer.write(self.answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # its process has ended
        finally:
            writer.close()

    def take(self, body: bytes) -> None:
        self.bodies.append(body)
        request = ExportTraceServiceRequest.FromString(body)
        for resource in request.resource_spans:
            about = _notes(resource.resource.attributes)
            service = about["service.name"]
            self.versions.add(about.get("service.version"))
            for scope in resource.scope_spans:
                self.spans += [_told(service, span) for span in scope.spans]

    def of(self, trace: str) -> list[Told]:
        return [span for span in self.spans if span.trace == trace]


def _told(service: str, span: Any) -> Told:
    return Told(
        name=span.name,
        service=service,
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        links=frozenset(link.trace_id.hex() for link in span.links),
        notes=_notes(span.attributes),
        failed=span.status.code == span.status.STATUS_CODE_ERROR,
        nanoseconds=span.end_time_unix_nano - span.start_time_unix_nano,
    )


def _notes(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, str(each.value.WhichOneof("value"))) for each in attributes}


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    collector = Collector()
    server = await asyncio.start_server(collector.serve, "127.0.0.1", 0)
    collector.port = server.sockets[0].getsockname()[1]
    async with server:
        yield collector
