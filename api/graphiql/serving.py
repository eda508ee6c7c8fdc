"""Serves the GraphiQL page and every file it loads."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

_HERE: Final = Path(__file__).parent
_MEDIA_TYPES: Final = {
    ".css": "text/css",
    ".graphql": "text/plain",
    ".js": "text/javascript",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
}
_NO_SNIFFING: Final = {"X-Content-Type-Options": "nosniff"}
_CONTENT_SECURITY_POLICY: Final = "; ".join(
    [
        "default-src 'self'",
        "style-src 'self' 'unsafe-inline'",  # its dialogs and menus insert a style element
        "img-src 'self' data:",
        "font-src 'self' data:",  # GraphiQL's style sheet carries its fonts
        "connect-src 'self' ws: wss:",  # older Safari does not count ws: of the same host as 'self'
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    body: bytes
    media_type: str
    digest: str


@cache
def _files() -> Mapping[str, _File]:
    """All that may be asked for, by name: a request is looked up here and never becomes a path."""
    return {
        path.name: _File(
            body=(body := path.read_bytes()),
            media_type=_MEDIA_TYPES[path.suffix],
            digest=hashlib.sha256(body).hexdigest()[:16],
        )
        for folder in ("static", "vendored")
        for path in (_HERE / folder).iterdir()
        if path.suffix in _MEDIA_TYPES
    }


@cache
def _html(name: str) -> bytes:
    def with_digest(link: re.Match[str]) -> str:
        return f"{link[0]}?v={_files()[link['name']].digest}"

    page = (_HERE / name).read_text(encoding="utf-8")
    return re.sub(r"graphql/assets/(?P<name>[\w.-]+)", with_digest, page).encode()


def page() -> Response:
    """GraphiQL, for a GET of the GraphQL endpoint that accepts HTML."""
    return _page("index.html", 200)


def sign_in(status: int, headers: Mapping[str, str] | None = None) -> Response:
    """In its place for those who may not use it: asks for a token, and with that for GraphiQL again.

    A browser that is sent somewhere cannot be told to carry a token; a script of the page can.
    """
    return _page("sign-in.html", status, headers)


def _page(name: str, status: int, headers: Mapping[str, str] | None = None) -> Response:
    always = {
        "Cache-Control": "private, no-cache",
        "Content-Security-Policy": _CONTENT_SECURITY_POLICY,
        "Referrer-Policy": "no-referrer",
        "Vary": "Accept, Authorization",
    }
    headers = always | _NO_SNIFFING | dict(headers or {})
    return Response(_html(name), status, headers, media_type="text/html")


def _asset(request: Request) -> Response:
    file = _files().get(request.path_params["name"])
    if file is None:
        raise HTTPException(404)
    etag = f'"{file.digest}"'
    # Only a link that names these very bytes may be kept for ever: during an upgrade two versions answer.
    named = request.query_params.get("v") == file.digest
    headers = {
        "Cache-Control": "public, max-age=31536000, immutable" if named else "no-cache",
        "ETag": etag,
    } | _NO_SNIFFING
    known = {tag.strip().removeprefix("W/") for tag in request.headers.get("If-None-Match", "").split(",")}
    if etag in known:
        return Response(status_code=304, headers=headers)
    return Response(file.body, media_type=file.media_type, headers=headers)


assets: Final = Mount("/graphql/assets", routes=[Route("/{name}", _asset)])
