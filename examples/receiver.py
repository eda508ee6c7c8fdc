"""A receiver of webhooks, to see what arrives and whether its signature is right.

python -m examples.receiver SECRET [SECRET ...]
"""

from __future__ import annotations

import base64
import binascii
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Annotated, Final

import typer
from standardwebhooks import Webhook, WebhookVerificationError
from typing_extensions import override

LARGEST: Final = 1_000_000
"""Bytes of a body."""
PREFIX: Final = "whsec_"
SHORTEST, LONGEST = 24, 64
"""Bytes of a secret, by the specification of Standard Webhooks."""


class Receiver(BaseHTTPRequestHandler):
    """Answers 204 to what any of the secrets signed, and 401 to everything else."""

    secrets: tuple[Webhook, ...] = ()

    def do_POST(self) -> None:
        body = self.rfile.read(min(int(self.headers.get("content-length", 0)), LARGEST))
        signed = any(is_right(secret, body, dict(self.headers)) for secret in self.secrets)
        print("signed" if signed else "NOT SIGNED", self.headers.get("webhook-id"), body.decode(), flush=True)
        self.send_response(204 if signed else 401)
        self.end_headers()

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Says nothing: what arrives is printed."""


def is_right(secret: Webhook, body: bytes, headers: dict[str, str]) -> bool:
    try:
        secret.verify(body, {name.lower(): value for name, value in headers.items()}, json_parse=False)
    except WebhookVerificationError:
        return False
    return True


def verifier(secret: str) -> Webhook:
    """Raises BadParameter, which does not repeat the secret, when it is none."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(PREFIX) or not SHORTEST <= len(key) <= LONGEST:
        raise typer.BadParameter(f"a secret is {PREFIX} and base64 of {SHORTEST} to {LONGEST} bytes")
    return Webhook(key)


def receive(
    secrets: Annotated[list[str], typer.Argument(help="What the webhooks may be signed with: whsec_...")],
    port: Annotated[
        int, typer.Option(help="The port to listen at; 0 takes a free one.", min=0, max=65_535)
    ] = 9000,
) -> None:
    """Prints the webhooks that arrive at this machine, and whether one of the secrets signed them."""
    Receiver.secrets = tuple(map(verifier, secrets))
    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), Receiver)
    except OSError as error:
        typer.echo(f"Cannot listen on port {port}: {error.strerror}. See --port.", err=True)
        raise typer.Exit(1) from error
    with server:
        print(f"Waiting for webhooks at http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    cli = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    cli.command()(receive)
    cli()
