"""Key sets are read from files and URLs, again when a key is new to us, and never too often."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from domain.errors import Unavailable
from infra.authentication.jwts import KeySetNotRead, open_jwts
from infra.authentication.key_set import MAX_BYTES, KeySet, Unreadable, read_keys, reader
from infra.system import SystemClock
from tests.support.jwts import Issuer, jwt_settings
from tests.support.serving import serving

ALGORITHMS = ("ES256", "RS256")


class Published:
    """A key set at a URL, which a test changes."""

    def __init__(self) -> None:
        self.body = Issuer().key_set
        self.status = 200
        self.asked = 0

    async def answer(self, _: Request) -> Response:
        self.asked += 1
        await asyncio.sleep(0)
        return Response(self.body, self.status)


async def _elsewhere(_: Request) -> Response:
    return RedirectResponse("/keys")


@asynccontextmanager
async def published() -> AsyncIterator[tuple[Published, str]]:
    keys = Published()
    app = Starlette(routes=[Route("/keys", keys.answer), Route("/moved", _elsewhere)])
    async with serving(app) as address:
        yield keys, address


async def test_an_unknown_key_is_looked_for_once_however_many_ask() -> None:
    async with published() as (place, address):
        keys = KeySet(reader(f"{address}/keys"), ALGORITHMS)
        found = await asyncio.gather(*(keys.key("one") for _ in range(20)))
        assert all(key is not None and key.key_id == "one" for key in found)
        assert await asyncio.gather(*(keys.key("two") for _ in range(20))) == [None] * 20
        assert place.asked == 1, "and not again at once"


async def test_a_new_key_is_taken_when_it_is_first_used_and_an_old_one_dropped() -> None:
    async with published() as (place, address):
        keys = KeySet(reader(f"{address}/keys"), ALGORITHMS, pause=0)
        assert await keys.key("one") is not None
        place.body = Issuer("two").key_set
        assert await keys.key("two") is not None
        assert await keys.key("one") is None


@pytest.mark.parametrize("fault", ["status", "no JSON", "empty", "large", "gone"])
async def test_known_keys_stay_while_their_place_is_away(fault: str) -> None:
    async with published() as (place, address):
        keys = KeySet(reader(f"{address}/keys"), ALGORITHMS, pause=0)
        await keys.refresh()
        match fault:
            case "status":
                place.status = 503
            case "no JSON":
                place.body = b"<html>"
            case "empty":
                place.body = b'{"keys": []}'
            case "large":
                place.body = b" " * (MAX_BYTES + 1)
        if fault != "gone":
            await keys.refresh()
            assert keys.fault is not None
    if fault == "gone":
        await keys.refresh()
    assert await keys.key("one") is not None
    with pytest.raises(Unavailable):
        await keys.key("two")


async def test_a_redirect_is_not_followed() -> None:
    async with published() as (place, address):
        keys = KeySet(reader(f"{address}/moved"), ALGORITHMS)
        await keys.refresh()
        assert isinstance(keys.fault, Unreadable)
        assert place.asked == 0


async def test_a_file_is_read_anew_as_well(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_bytes(Issuer().key_set)
    keys = KeySet(reader(str(file)), ALGORITHMS, pause=0)
    assert await keys.key("one") is not None
    file.write_bytes(Issuer("two").key_set)
    assert await keys.key("two") is not None


async def test_keys_are_read_again_from_time_to_time() -> None:
    read = asyncio.Semaphore(0)

    async def place() -> bytes:
        read.release()
        return Issuer().key_set

    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        refreshing = group.create_task(KeySet(place, ALGORITHMS).refresh_forever(0))
        for _ in range(3):
            await read.acquire()
        refreshing.cancel()


def test_what_signs_nothing_we_take_is_no_key_of_ours() -> None:
    good, encrypting = Issuer(), Issuer("two").public | {"use": "enc"}
    good.extra = [encrypting, {}, {"kty": "new"}, Issuer("three", "EdDSA").public, {"kty": "RSA", "n": 1}]
    assert [key.key_id for key in read_keys(good.key_set, ALGORITHMS)] == ["one"]
    for nothing in (b"", b"[]", b'{"keys": {}}', b'{"keys": [1]}', b"[" * 100_000, b"\xff"):
        with pytest.raises(Unreadable):
            read_keys(nothing, ALGORITHMS)


async def test_a_file_that_cannot_be_read_is_told_at_once_and_a_url_is_waited_for(tmp_path: Path) -> None:
    with pytest.raises(KeySetNotRead):
        async with open_jwts(
            jwt_settings(jwt_key_set=str(tmp_path / "none.json")), SystemClock(), CollectorRegistry()
        ):
            raise NotImplementedError
    async with published() as (place, address):
        place.status = 503
        async with open_jwts(
            jwt_settings(jwt_key_set=f"{address}/keys"), SystemClock(), CollectorRegistry()
        ) as jwts:
            assert jwts is not None
            with pytest.raises(Unavailable):
                await jwts.read(Issuer().sign())
