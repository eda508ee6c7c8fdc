"""Messages that are written past the server are what its own library would have sent."""

from __future__ import annotations

import pytest
from websockets.frames import Frame, Opcode

from api.connections import taken_write_now, text_frame_head


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 1_000_000])
def test_a_text_frame_is_the_one_of_the_library(size: int) -> None:
    text = b"x" * size
    assert text_frame_head(size) + text == Frame(Opcode.TEXT, text).serialize(mask=False)


def test_what_the_server_offers_is_taken_out_and_others_offer_nothing() -> None:
    def write_now(text: bytes) -> bool:
        return bool(text)

    extensions = {"carillon.write_now": write_now}
    assert taken_write_now({"extensions": extensions}) is write_now
    assert extensions == {}
    assert not taken_write_now({})(b"{}")
    assert not taken_write_now({"extensions": {}})(b"{}")
