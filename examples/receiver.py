"""A receiver of webhooks, to see what arrives and whether its signature is right.

python -m examples.receiver SECRET [SECRET ...]
"""

from __future__ import annotations

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from standardwebhooks import Webhook, WebhookVerificationError
from typing_extensions import override

PORT: Final = 9000
LARGEST: Final = 1_000_000
"""Bytes of a body."""


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
        secret.verify(body, {name.lower(): value for name, value in headers.items()})
    except WebhookVerificationError:
        return False
    return True


def main() -> None:
    if not sys.argv[1:]:
        sys.exit("Say the secret it is to verify by: python -m examples.receiver whsec_...")
    Receiver.secrets = tuple(map(Webhook, sys.argv[1:]))
    with ThreadingHTTPServer(("127.0.0.1", PORT), Receiver) as server:
        print(f"Waiting for webhooks at http://127.0.0.1:{PORT}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
