"""No webhook reaches an inner address, however it is written, resolved or hidden."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import httpcore2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from domain.errors import ForbiddenUrl, Invalid, Refusal
from infra.http import guard as guarding
from infra.http.addresses import DENIED_4, Network, permitted
from infra.http.destination import Rules
from infra.http.guard import Blocked, Guard, Unresolved

PUBLIC_4 = "93.184.216.34"
PUBLIC_6 = "2606:2800:220:1:248:1893:25c8:1946"

INNER_ADDRESSES = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.100.100.200", "127.0.0.1",
    "127.8.8.8",
    "168.63.129.16", "169.254.0.1", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.8",
    "192.0.0.192",
    "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1",
    "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::127.0.0.1", "::10.0.0.1", "::93.184.216.34", "::ffff:127.0.0.1", "::ffff:7f00:1",
    "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:0:127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::10.0.0.1",
    "64:ff9b::169.254.169.254", "64:ff9b:1::7f00:1", "64:ff9b:1:7f00:0:100::", "64:ff9b:1::5db8:d822", "100::1",
    "2001::1", "2001:0:7f00:1::", "2001:0:5db8:d822:0:ffff:80ff:fffe", "2001:10::1", "2001:db8::1",
    "2002:7f00:1::", "2606:4700::5efe:7f00:1", "2606:4700::200:5efe:a00:1",
    "2002:a00:1::", "2002:a9fe:a9fe::", "2002:5db8:d822::", "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254",
    "fd20:ce::254", "fdff::1", "fe80::1", "fe80::1%eth0", "febf::1", "fec0::1", "ff02::1", "ff0e::1",
    "2606:4700::1111%1", "4000::1", "e000::1",
]  # fmt: skip

OUTER_ADDRESSES = [
    PUBLIC_4, PUBLIC_6, "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0",
    "126.255.255.255", "128.0.0.1", "172.15.255.255", "172.32.0.0", "192.167.255.255", "198.17.255.255",
    "223.255.255.254", "2606:4700:4700::1111", "2a00:1450:4001:800::200e", "::ffff:8.8.8.8", "64:ff9b::808:808",
]  # fmt: skip

FORBIDDEN_URLS = [
    "ftp://example.com/", "file:///etc/passwd", "gopher://127.0.0.1:70/_x", "javascript:alert(1)",
    "http://example.com/",
    "https://user@example.com/", "https://user:pass@example.com/", "https://example.com@127.0.0.1/",
    "https://127.0.0.1/", "https://127.0.0.1./", "https://127.1/", "https://127.0.1/", "https://2130706433/",
    "https://017700000001/", "https://0x7f000001/", "https://0x7f.1/", "https://0177.0.0.1/",
    "https://0x7F.0.0.0x1/",
    "https://127.0.0.01/", "https://0/", "https://0.0.0.0/", "https://00/", "https://0x/", "https://1.1/",
    "https://10.0.0.5/", "https://172.16.3.4/", "https://192.168.1.1/",
    "https://169.254.169.254/latest/meta-data/",
    "https://[::]/", "https://[::1]/", "https://[0:0:0:0:0:0:0:1]/", "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/", "https://[::127.0.0.1]/", "https://[64:ff9b::7f00:1]/",
    "https://[64:ff9b:1::7f00:1]/",
    "https://[2002:7f00:1::]/", "https://[2001:0:7f00:1::]/", "https://[fe80::1%25eth0]/",
    "https://[fe80::1%eth0]/",
    "https://[fc00::1]/", "https://[fd00:ec2::254]/", "https://[ff02::1]/", "https://[fec0::1]/",
    "https://127\N{IDEOGRAPHIC FULL STOP}0\N{IDEOGRAPHIC FULL STOP}0\N{IDEOGRAPHIC FULL STOP}1/",
    "https://\N{FULLWIDTH DIGIT ONE}27.0.0.1/", "https://%31%32%37.0.0.1/",
    "https://localhost/", "https://LOCALHOST/", "https://localhost./", "https://a.localhost/",
    "https://printer.local/",
    "https://db.internal/", "https://metadata.google.internal/", "https://metadata.google.internal./",
    "https://router.home.arpa/", "https://localhost.localdomain/",
    "https://example.com:22/", "https://example.com:80/", "https://example.com:6379/",
    "https://example.com:5432/",
]  # fmt: skip

INVALID_URLS = [
    "", "example.com/hook", "//example.com/", "https://", "https:///path", "https:example.com", "https://#",
    "https://?",
    "https://example.com/#part", "https://example.com/#", "https://exa mple.com/", " https://example.com/",
    "https://example.com/\r\nX: 1", "https://example.com/\x00", "https://example.com\\@127.0.0.1/",
    "https://a..b/",
    "https://.example.com/", "https://exa\N{SOFT HYPHEN}mple.com/",
    "https://\N{CIRCLED LATIN SMALL LETTER L}ocalhost/",
    "https://example%2ecom/", "https://[::1/",
    "https://[v1.x]/", "https://example.com:0/", "https://example.com:99999/", "https://example.com:-1/",
    "https://example.com:port/", "https://-example.com/", "https://" + "a" * 64 + ".com/",
    "https://" + "a." * 130 + "com/", "https://example.com/" + "x" * 2_029,
]  # fmt: skip

ALLOWED_URLS = [
    "https://example.com", "https://example.com/", "https://EXAMPLE.com./hook?a=b&c=d",
    "https://example.com:443/",
    "https://example.com:8443/hook", "https://b\N{LATIN SMALL LETTER U WITH DIAERESIS}cher.example/\N{SNOWMAN}",
    "https://my_host.example.com/", "https://93.184.216.34/", "https://[2606:4700:4700::1111]/",
    "https://10.example.com/", "https://localhost.example.com/", "https://example.com/" + "x" * 2_028,
]  # fmt: skip


class Dialled(httpcore2.AsyncNetworkBackend):
    """Counts what is dialled, and answers none of it."""

    def __init__(self, *broken: str) -> None:
        self.dialled: list[tuple[str, int]] = []
        self._broken = broken

    @override
    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        self.dialled.append((host, port))
        if host in self._broken:
            raise httpcore2.ConnectError
        return httpcore2.AsyncNetworkStream()


class Names:
    """A resolver that answers each question with the next of its answers."""

    def __init__(self, *answers: list[str]) -> None:
        self._answers = list(answers)
        self.asked = 0

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked += 1
        return self._answers.pop(0)


def networks(*names: str) -> tuple[Network, ...]:
    return tuple(ip_network(name) for name in names)


@pytest.mark.parametrize("address", INNER_ADDRESSES)
def test_inner_addresses_are_not_permitted(address: str) -> None:
    assert not permitted(ip_address(address))


@pytest.mark.parametrize("address", OUTER_ADDRESSES)
def test_public_addresses_are_permitted(address: str) -> None:
    assert permitted(ip_address(address))


@given(
    st.sampled_from(DENIED_4).flatmap(lambda network: st.ip_addresses(network=network)), st.ip_addresses(v=6)
)
def test_an_inner_address_is_not_permitted_in_any_ipv6_that_hides_it(
    inner: IPv4Address, around: IPv6Address
) -> None:
    bits = int(inner)
    for prefix in ("::ffff:0:0", "::", "64:ff9b::", "64:ff9b:1::", "::ffff:0:0:0"):
        assert not permitted(IPv6Address(int(IPv6Address(prefix)) | bits))
    rest = int(around) & ((1 << 80) - 1)
    assert not permitted(IPv6Address(int(IPv6Address("2002::")) | bits << 80 | rest))
    teredo = int(IPv6Address("2001::"))
    assert not permitted(IPv6Address(teredo | rest & ~0xFFFF_FFFF | bits ^ 0xFFFF_FFFF))
    assert not permitted(IPv6Address(teredo | bits << 64 | int(around) & ((1 << 64) - 1)))


@given(st.ip_addresses(v=6))
def test_only_global_unicast_and_nat64_are_public_in_ipv6(address: IPv6Address) -> None:
    public = address in IPv6Network("2000::/3") or address in IPv6Network("64:ff9b::/96")
    mapped = address.ipv4_mapped is not None
    assert public or mapped or not permitted(address)


def test_an_allowed_network_opens_its_addresses_and_no_others() -> None:
    allowed = networks("10.1.0.0/16", "fd12::/16")
    assert permitted(ip_address("10.1.2.3"), allowed)
    assert permitted(ip_address("::ffff:10.1.2.3"), allowed)
    assert permitted(ip_address("fd12::1"), allowed)
    assert not permitted(ip_address("10.2.0.1"), allowed)
    assert not permitted(ip_address("127.0.0.1"), allowed)
    assert not permitted(ip_address("fd13::1"), allowed)
    assert not permitted(ip_address("2002:a01:203::"), allowed)


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "fe80::1",
        "fd00:ec2::254",
        "100.100.100.200",
        "168.63.129.16",
    ],
)
def test_metadata_and_link_local_stay_closed_when_a_wider_network_is_allowed(address: str) -> None:
    assert not permitted(
        ip_address(address), networks("0.0.0.0/0", "::/0", "169.0.0.0/8", "100.64.0.0/10", "fd00::/8")
    )


def test_metadata_is_open_only_when_named() -> None:
    assert permitted(ip_address("169.254.169.254"), networks("169.254.169.254/32"))
    assert not permitted(ip_address("169.254.169.253"), networks("169.254.169.254/32"))


def test_ipv6_that_hides_metadata_stays_closed_even_when_its_own_network_is_allowed() -> None:
    everything = networks("0.0.0.0/0", "::/0")
    for hidden in ("2002:a9fe:a9fe::", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a9fe:a9fe", "::a9fe:a9fe",
                   "64:ff9b:1:a9fe:a9:fe00::", "2001:0:a9fe:a9fe::"):  # fmt: skip
        assert not permitted(ip_address(hidden), everything), hidden


@pytest.mark.parametrize("url", FORBIDDEN_URLS)
def test_urls_that_lead_inside_are_forbidden(url: str) -> None:
    with pytest.raises(ForbiddenUrl) as refusal:
        Rules().read(url)
    assert refusal.value.path == ("url",)


@pytest.mark.parametrize("url", INVALID_URLS)
def test_what_is_no_url_for_a_webhook_is_invalid(url: str) -> None:
    with pytest.raises(Invalid) as refusal:
        Rules().read(url)
    assert refusal.value.path == ("url",)


@pytest.mark.parametrize("url", ALLOWED_URLS)
def test_public_urls_are_accepted(url: str) -> None:
    Rules().read(url)


@pytest.mark.parametrize("url", FORBIDDEN_URLS)
def test_plain_http_opens_no_inner_address(url: str) -> None:
    plain = url.replace("https://", "http://")
    if plain in ("http://example.com/", "http://example.com:80/"):
        Rules(allow_insecure=True).read(plain)
        return
    with pytest.raises(ForbiddenUrl):
        Rules(allow_insecure=True).read(plain)


def test_a_host_is_dialled_in_its_ascii_form_without_the_trailing_dot() -> None:
    umlaut = Rules().read(
        "https://B\N{LATIN SMALL LETTER U WITH DIAERESIS}cher.example.:8443/a b".replace(" ", "%20")
    )
    assert (umlaut.host, umlaut.port, umlaut.authority) == (
        "xn--bcher-kva.example",
        8443,
        "xn--bcher-kva.example:8443",
    )
    six = Rules().read("https://[2606:4700:4700::1111]/")
    assert (six.host, six.authority) == ("2606:4700:4700::1111", "[2606:4700:4700::1111]")


@pytest.mark.parametrize(
    ("insecure", "message"),
    [
        (False, "An origin is https://host or https://host:port, without a path."),
        (True, "An origin is https://host or https://host:port (or http), without a path."),
    ],
)
def test_an_origin_with_a_path_is_told_what_the_settings_take(insecure: bool, message: str) -> None:
    rules = Rules(allow_insecure=insecure, networks=networks("127.0.0.0/8"))
    with pytest.raises(Invalid) as refusal:
        rules.origin("https://127.0.0.1:8195/x")
    assert refusal.value.message == message


def test_an_unusual_port_is_told_which_ones_are_usual() -> None:
    for url, ports in (
        ("https://example.com:22", "443 and 8443"),
        ("http://example.com:22", "80, 443 and 8443"),
    ):
        with pytest.raises(ForbiddenUrl, match=f"the ports {ports} only\\."):
            Rules(allow_insecure=True).read(url)


def test_an_allowed_network_may_be_named_with_any_port_and_by_an_inner_name() -> None:
    rules = Rules(allow_insecure=True, networks=networks("127.0.0.0/8"))
    assert rules.read("http://127.0.0.1:9000/").port == 9000
    assert rules.read("http://localhost:9000/").port == 9000
    for url in (
        "http://10.0.0.1/",
        "https://93.184.216.34:9000/",
        "http://metadata.google.internal/",
        "http://2130706433/",
    ):
        with pytest.raises(ForbiddenUrl):
            rules.read(url)


@given(st.text(max_size=60))
def test_reading_any_text_as_a_url_ends_in_a_destination_or_a_refusal(text: str) -> None:
    for url in (text, f"https://{text}", f"https://{text}/", f"https://example.com:{text}"):
        try:
            host = Rules().read(url).host
        except Refusal:
            continue
        assert host.isascii()
        assert host == host.lower()


@pytest.mark.parametrize("address", INNER_ADDRESSES)
async def test_the_guard_dials_nothing_when_a_name_leads_inside(address: str) -> None:
    network = Dialled()
    with pytest.raises(Blocked):
        await Guard(Rules(), Names([address]), network).connect_tcp("hooks.example.com", 443)
    assert network.dialled == []


@pytest.mark.parametrize(
    "answers", [[PUBLIC_4, "127.0.0.1"], ["10.0.0.1", PUBLIC_4], [PUBLIC_6, "::1"], [PUBLIC_4, "::"]]
)
async def test_one_inner_answer_among_public_ones_refuses_them_all(answers: list[str]) -> None:
    network = Dialled()
    with pytest.raises(Blocked):
        await Guard(Rules(), Names(answers), network).connect_tcp("hooks.example.com", 443)
    assert network.dialled == []


async def test_a_name_that_turns_inward_is_refused_the_next_time() -> None:
    network = Dialled()
    names = Names([PUBLIC_4], ["127.0.0.1"])
    guard = Guard(Rules(), names, network)
    await guard.connect_tcp("rebinding.example.com", 443)
    assert names.asked == 1
    with pytest.raises(Blocked):
        await guard.connect_tcp("rebinding.example.com", 443)
    assert network.dialled == [(PUBLIC_4, 443)]


async def test_what_was_checked_is_what_is_dialled() -> None:
    network = Dialled()
    await Guard(Rules(), Names([PUBLIC_6, PUBLIC_4]), network).connect_tcp("hooks.example.com", 8443)
    assert network.dialled == [(PUBLIC_6, 8443)]


async def test_the_next_address_is_tried_when_one_does_not_answer() -> None:
    network = Dialled(PUBLIC_6)
    await Guard(Rules(), Names([PUBLIC_6, PUBLIC_4]), network).connect_tcp("hooks.example.com", 443)
    assert network.dialled == [(PUBLIC_6, 443), (PUBLIC_4, 443)]


async def test_a_name_with_a_thousand_addresses_costs_a_few_tries() -> None:
    many = [str(IPv4Network("8.0.0.0/16")[number]) for number in range(1_000)]
    network = Dialled(*many)
    with pytest.raises(httpcore2.ConnectError):
        await Guard(Rules(), Names(many), network).connect_tcp("hooks.example.com", 443)
    assert len(network.dialled) == guarding.TRIED


async def test_the_guard_refuses_ports_that_are_not_for_webhooks() -> None:
    network = Dialled()
    for port in (22, 25, 80, 5432, 6379):
        with pytest.raises(Blocked):
            await Guard(Rules(), Names([PUBLIC_4]), network).connect_tcp("hooks.example.com", port)
    assert network.dialled == []


async def test_an_allowed_network_opens_any_port_of_its_own_and_of_no_other() -> None:
    network = Dialled()
    rules = Rules(networks=networks("10.0.0.0/8"))
    await Guard(rules, Names(["10.0.0.1"]), network).connect_tcp("db.internal", 9000)
    with pytest.raises(Blocked):
        await Guard(rules, Names([PUBLIC_4]), network).connect_tcp("hooks.example.com", 9000)
    assert network.dialled == [("10.0.0.1", 9000)]


@pytest.mark.parametrize("answers", [[], ["not an address"]])
async def test_a_name_without_an_address_is_unresolved(answers: list[str]) -> None:
    network = Dialled()
    with pytest.raises(Unresolved):
        await Guard(Rules(), Names(answers), network).connect_tcp("hooks.example.com", 443)
    assert network.dialled == []


async def test_a_resolver_that_fails_closes_the_way() -> None:
    async def failing(host: str, port: int) -> list[str]:
        raise OSError

    with pytest.raises(Unresolved):
        await Guard(Rules(), failing, Dialled()).connect_tcp("hooks.example.com", 443)


async def test_a_resolver_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def hanging(host: str, port: int) -> list[str]:
        await asyncio.Event().wait()
        return []

    monkeypatch.setattr(guarding, "RESOLVE_TIMEOUT", 0.01)
    with pytest.raises(Unresolved):
        await Guard(Rules(), hanging, Dialled()).connect_tcp("hooks.example.com", 443)


async def test_the_systems_resolver_sees_through_addresses_in_disguise() -> None:
    network = Dialled()
    for host in ("2130706433", "0x7f.1", "127.1", "127.0.0.1", "::1", "localhost"):
        with pytest.raises(Blocked):
            await Guard(Rules(), guarding.system_resolver(), network).connect_tcp(host, 443)
    assert network.dialled == []
