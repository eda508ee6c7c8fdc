"""Reads a webhook's URL, and refuses what can be seen to be wrong without resolving its name."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

import httpcore2
import httpx2

from domain.errors import ForbiddenUrl, Invalid, Refusal
from infra.http.addresses import Address, Network, permitted, within

LENGTH = 2_048
SECURE_PORTS = frozenset({443, 8443})
PLAIN_PORT = 80
_DEFAULT_PORTS = {"https": 443, "http": PLAIN_PORT}

_PATH = ("url",)
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029\\]")
_NAME = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*"
)
_HOST = re.compile(r"[^/?#]*//(?:[^/?#]*@)?([^/?#:]*)")
_NUMERIC = re.compile(r"(.*\.)?([0-9]+|0x[0-9a-f]*)")
_DISGUISED = "An address is written as four decimal numbers, without leading zeros."
_INNER = re.compile(r"(.*\.)?(localhost|localdomain|local|internal|home\.arpa)")
_METADATA = frozenset({"metadata.google.internal", "metadata", "instance-data", "instance-data.ec2.internal"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where a webhook goes, read and checked."""

    scheme: str
    host: str
    """A name in its ASCII form or an address, without brackets and trailing dot."""
    port: int
    target: bytes

    @property
    def url(self) -> httpcore2.URL:
        return httpcore2.URL(scheme=self.scheme, host=self.host, port=self.port, target=self.target)

    @property
    def origin(self) -> str:
        """As secrets are looked up by."""
        return f"{self.scheme}://{self.authority}"

    @property
    def authority(self) -> str:
        """What the Host header says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Rules:
    """What the settings let webhooks do."""

    allow_insecure: bool = False
    networks: tuple[Network, ...] = ()

    def admits(self, address: Address, port: int) -> bool:
        """Whether a webhook may be sent to `port` of `address`."""
        usual = SECURE_PORTS | {PLAIN_PORT} if self.allow_insecure else SECURE_PORTS
        return permitted(address, self.networks) and (port in usual or within(address, self.networks))

    def read(self, url: str) -> Destination:
        """Where `url` leads, in the form that is dialled. Raises Invalid or ForbiddenUrl."""
        parsed = _parsed(url)
        if parsed.scheme not in ("https", "http"):
            raise ForbiddenUrl("Webhooks go to https URLs only.", _PATH)
        if parsed.scheme == "http" and not self.allow_insecure:
            raise ForbiddenUrl(
                "Webhooks go to https URLs only: CARILLON_HTTP_ALLOW_INSECURE admits plain http.", _PATH
            )
        if parsed.userinfo:
            raise ForbiddenUrl("A webhook's URL may not carry credentials: use a header.", _PATH)
        if "#" in url:
            raise Invalid("A webhook's URL has no fragment: leave out # and what follows.", _PATH)
        port = _port(parsed)
        host = parsed.raw_host.decode("ascii").removesuffix(".")
        host = self._checked_host(host, port, plain=parsed.scheme == "http")
        return Destination(scheme=parsed.scheme, host=host, port=port, target=parsed.raw_path)

    def origin(self, text: str) -> str:
        """Implements Origins. Raises Invalid or ForbiddenUrl."""
        try:
            destination = self.read(text)
        except Refusal as refusal:
            refusal.path = ()
            raise
        if destination.target != b"/" or text.endswith("?"):
            plain = " (or http)" if self.allow_insecure else ""
            raise Invalid(f"An origin is https://host or https://host:port{plain}, without a path.")
        return destination.origin

    def _checked_host(self, host: str, port: int, *, plain: bool) -> str:
        """The name, or the address as it is usually written."""
        usual = port in SECURE_PORTS or (plain and port == PLAIN_PORT)
        address = _literal(host)
        if address is not None:
            if not permitted(address, self.networks):
                raise ForbiddenUrl(_inner("address"), _PATH)
            usual = usual or within(address, self.networks)
        elif host in _METADATA:
            raise ForbiddenUrl("Webhooks may not be sent to a metadata service.", _PATH)
        elif _INNER.fullmatch(host) and not self.networks:
            raise ForbiddenUrl(_inner("name"), _PATH)
        elif self.networks:
            usual = True  # the name may lead to a network that is allowed: the guard sees where it leads
        if not usual:
            ports = "80, 443 and 8443" if plain else "443 and 8443"
            raise ForbiddenUrl(f"Webhooks may be sent to the ports {ports} only.", _PATH)
        return host if address is None else str(address)


def _inner(what: str) -> str:
    return f"Webhooks may not be sent to an inner {what} unless CARILLON_HTTP_ALLOWED_NETWORKS admits it."


def _parsed(url: str) -> httpx2.URL:
    if len(url) > LENGTH:
        raise Invalid(f"A webhook's URL has at most {LENGTH} characters.", _PATH)
    if _UNPRINTABLE.search(url):
        raise Invalid("A webhook's URL has no spaces, control characters or backslashes.", _PATH)
    try:
        parsed = httpx2.URL(url)
    except (httpx2.InvalidURL, ValueError) as error:
        host = _HOST.match(url)
        if host is not None and _NUMERIC.fullmatch(host[1].lower()):
            raise ForbiddenUrl(_DISGUISED, _PATH) from error
        raise Invalid("This is not a URL.", _PATH) from error
    if not parsed.scheme:
        raise Invalid("It must begin with `https://`.", _PATH)
    return parsed


def _port(url: httpx2.URL) -> int:
    port = _DEFAULT_PORTS[url.scheme] if url.port is None else url.port
    if not 0 < port < 65_536:  # noqa: PLR2004  TCP's own bounds
        raise Invalid("A port is a number from 1 to 65535.", _PATH)
    return port


def _literal(host: str) -> Address | None:
    """The address that `host` is, or None for a name.

    Raises Invalid for what is neither, ForbiddenUrl for an address in disguise (decimal, octal, hex, short).
    """
    if not host:
        raise Invalid("A webhook's URL needs a host.", _PATH)
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass  # not an address as it should be written
    if _NUMERIC.fullmatch(host):
        raise ForbiddenUrl(_DISGUISED, _PATH)
    if not _NAME.fullmatch(host):
        raise Invalid("This is not the name of a host.", _PATH)
    return None
