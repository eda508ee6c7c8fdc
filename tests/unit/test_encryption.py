"""What is encrypted is opened by its key, where it belongs, and nowhere else."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.encryption.key_file import NAME, home_keys
from infra.encryption.keys import KeyRing, Undecryptable, new_key, read_keys

OLD, NEW = new_key("old"), new_key("new")
PLACE = ("webhook-secret", "acme", "1")


@given(st.binary(max_size=200), st.lists(st.text(max_size=9), max_size=4))
def test_what_was_sealed_is_opened_where_it_belongs(plain: bytes, place: list[str]) -> None:
    ring = read_keys(OLD)
    assert ring.open(ring.seal(plain, *place), *place) == plain


@pytest.mark.parametrize(
    "elsewhere",
    [
        ("webhook-secret", "other", "1"),
        ("webhook-secret", "acme", "2"),
        ("header", "acme", "1"),
        ("webhook-secret", "acme"),
        ("webhook-secret", "acme1"),
    ],
)
def test_what_is_moved_elsewhere_is_not_opened_there(elsewhere: tuple[str, ...]) -> None:
    ring = read_keys(OLD)
    with pytest.raises(Undecryptable):
        ring.open(ring.seal(b"secret", *PLACE), *elsewhere)


def test_what_was_changed_is_not_opened() -> None:
    ring = read_keys(OLD)
    sealed = ring.seal(b"secret", *PLACE)
    flipped = bytes([sealed.ciphertext[0] ^ 1]) + sealed.ciphertext[1:]
    for changed in (
        replace(sealed, ciphertext=flipped),
        replace(sealed, ciphertext=b""),
        replace(sealed, nonce=bytes(12)),
        replace(sealed, nonce=b""),
    ):
        with pytest.raises(Undecryptable):
            ring.open(changed, *PLACE)


def test_the_first_key_encrypts_and_every_key_decrypts_its_own() -> None:
    sealed = read_keys(OLD).seal(b"secret", *PLACE)
    rotated = read_keys(f"{NEW}, {OLD}")
    assert rotated.open(sealed, *PLACE) == b"secret"
    assert rotated.seal(b"secret", *PLACE).key_id == rotated.newest == "new"
    with pytest.raises(Undecryptable, match="the key old is not among CARILLON_ENCRYPTION_KEYS"):
        read_keys(NEW).open(sealed, *PLACE)
    with pytest.raises(Undecryptable):
        read_keys(new_key("old")).open(sealed, *PLACE)


def test_the_same_text_is_never_encrypted_to_the_same_bytes() -> None:
    ring = read_keys(OLD)
    assert len({ring.seal(b"secret", *PLACE).ciphertext for _ in range(100)}) == 100


@pytest.mark.parametrize(
    "text",
    ["", ",", "old", "old:", ":AAAA", "old:short", "old:AAAA", f"{OLD},{OLD}", f"o ld:{OLD}", "o:\u00e9" * 20],
    ids=["nothing", "a comma", "no key", "an empty key", "no id", "short", "still short", "one id twice",
         "a space in its id", "not in ASCII"],
)  # fmt: skip
def test_keys_that_cannot_be_used_are_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ValueError, match="key") as refusal:
        read_keys(text)
    assert OLD.partition(":")[2] not in str(refusal.value)


def test_a_ring_shows_no_key() -> None:
    assert OLD.partition(":")[2] not in repr(read_keys(OLD))
    assert not KeyRing().usable


def test_a_home_makes_its_keys_once_for_its_owner_alone(tmp_path: Path) -> None:
    sealed = home_keys(tmp_path).seal(b"secret", *PLACE)
    assert stat.S_IMODE((tmp_path / NAME).stat().st_mode) == 0o600
    assert home_keys(tmp_path).open(sealed, *PLACE) == b"secret"
    assert [file.name for file in tmp_path.iterdir()] == [NAME]


def test_a_start_that_was_cut_short_leaves_no_half_key(tmp_path: Path) -> None:
    (tmp_path / "encryption.new").write_text("home:half")
    assert home_keys(tmp_path).usable
