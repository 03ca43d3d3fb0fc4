"""The QR code of the set-up: one code has one text, and anything else is refused without quoting a password."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.setup_code import SetupCode, parse_setup_code
from agent.core.setup_state import LONGEST_TEXT, PREFIX, SetupState
from agent.errors import FormatError
from firmware_bridge.frames import SetupLight

SECRET = bytes(range(16))
CODE = SetupCode(SECRET, "Huis", "correct horse", "front-door", "NL", "Europe/Amsterdam")
PRINTABLE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=8, max_size=63)
NAMES = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?", fullmatch=True)


def body(text: str) -> bytearray:
    digits = text.removeprefix(PREFIX)
    return bytearray(base64.b32decode(digits + "=" * (-len(digits) % 8)))[:-4]


def text_of(body: bytes) -> str:
    """The text of a body that no writer of ours would make."""
    data = body + hashlib.sha256(body).digest()[:4]
    return PREFIX + base64.b32encode(data).decode().rstrip("=")


def with_fields(
    ssid: bytes = b"Huis",
    password: bytes = b"correct horse",
    name: bytes = b"door",
    more: bytes = b"",
    country: bytes = b"NL",
    zone: bytes = b"Europe/Amsterdam",
) -> str:
    fields = b"".join(bytes([len(each)]) + each for each in (ssid, password, name, zone))
    return text_of(SECRET + country + fields + more)


@given(st.binary(min_size=16, max_size=16), st.sampled_from(["", "Café 5", "x" * 32]), PRINTABLE, NAMES)
def test_what_a_phone_writes_is_what_the_doorbell_reads(secret: bytes, ssid: str, password: str, name: str) -> None:
    zone = "America/Argentina/Buenos_Aires" if ssid else ""
    code = SetupCode(secret, ssid, password if ssid else "", name, "ES", zone)
    assert parse_setup_code(code.text()) == code


def test_the_longest_code_is_as_long_as_the_bound_says() -> None:
    longest = SetupCode(SECRET, "x" * 32, "p" * 63, "n" * 32, "NL", "Z" * 32).text()
    assert len(longest) == 300 < LONGEST_TEXT
    assert parse_setup_code(longest).password == "p" * 63


@pytest.mark.parametrize(
    "text",
    [
        "", PREFIX, "https://example.org", CODE.text().lower(), CODE.text()[:-1], CODE.text() + "A", CODE.text() + "=",
        CODE.text().replace("DW1", "DW2"), PREFIX + "A" * 300, PREFIX + "é", PREFIX + "AAAA",
        with_fields(ssid=b"x" * 33), with_fields(ssid=b"a\nb"), with_fields(ssid=b"\xff\xfe"),
        with_fields(ssid=b""),
        with_fields(password=b"short"), with_fields(password=b"x" * 64),
        with_fields(password="eight é ä".encode()),
        with_fields(password=b"line\nbreak"), with_fields(name=b""), with_fields(name=b"Front"),
        with_fields(name=b"-a"),
        with_fields(name=b"../../etc"), with_fields(name=b"x" * 33), with_fields(more=b"x"), with_fields(country=b"nl"),
        with_fields(zone=b"../../etc/shadow"), with_fields(zone=b"/etc"), with_fields(zone=b"Europe/"),
        with_fields(zone=b"a/b/c/d"), with_fields(zone=b"x" * 33), with_fields(zone=b"Europe/Amster\ndam"),
        with_fields(zone=b"."), with_fields(zone=b"a//b"), with_fields(zone=b'a"b'), with_fields(zone=b"UTC\n"),
        with_fields(country=b"\xffL"), text_of(SECRET), text_of(SECRET + b"NL\x05ab"), text_of(SECRET + b"NL\x01a"),
    ],
)  # fmt: skip
def test_anything_else_is_refused_and_never_quoted(text: str) -> None:
    with pytest.raises(FormatError) as refused:
        parse_setup_code(text)
    assert "correct horse" not in str(refused.value)
    assert text == "" or text not in str(refused.value)


@given(st.integers(0, 200), st.integers(0, 7))
def test_no_changed_bit_is_taken(place: int, bit: int) -> None:
    """A decoder of QR codes may return a wrong text."""
    changed = body(CODE.text())
    changed[place % len(changed)] ^= 1 << bit
    check = hashlib.sha256(bytes(body(CODE.text()))).digest()[:4]
    with pytest.raises(FormatError):
        parse_setup_code(PREFIX + base64.b32encode(bytes(changed) + check).decode().rstrip("="))


def test_a_second_spelling_of_the_same_code_is_refused() -> None:
    """The last digit of base32 has bits to spare. Otherwise one code could come as two."""
    text = SetupCode(SECRET, "Huis", "correct horse", "door", "NL").text()
    others = [text[:-1] + digit for digit in "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567" if digit != text[-1]]
    for other in others:
        with pytest.raises(FormatError):
            parse_setup_code(other)


def test_the_pairing_code_and_the_proof_follow_from_the_secret_alone() -> None:
    other = SetupCode(SECRET, "", "", "elsewhere")
    stranger = SetupCode(bytes(16), "Huis", "correct horse", "front-door", "NL")
    assert CODE.pairing_code == other.pairing_code != stranger.pairing_code
    assert CODE.id == other.id != stranger.id
    assert len(CODE.pairing_code) == 20
    assert set(CODE.pairing_code) <= set("0123456789ABCDEF")
    assert CODE.proof(b"authority") == other.proof(b"authority")
    assert len({CODE.proof(b"authority"), CODE.proof(b"another"), stranger.proof(b"authority")}) == 3


def test_the_light_has_a_word_for_every_state_but_off() -> None:
    assert {each.value for each in SetupState} - {"off"} == {each.value for each in SetupLight}
    assert [each for each in SetupState if each.reads] == [
        SetupState.WAITING, SetupState.WRONG_PASSWORD, SetupState.NO_NETWORK, SetupState.NO_ADDRESS, SetupState.FAILED,
    ]  # fmt: skip


def test_a_code_too_short_for_secret_and_country_was_read_wrongly_and_one_without_fields_ends_early() -> None:
    for short, words in ((SECRET + b"N", "was read wrongly"), (SECRET + b"NL", "ends early")):
        with pytest.raises(FormatError, match=words):
            parse_setup_code(text_of(short))
