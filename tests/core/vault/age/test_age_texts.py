"""The text forms (Bech32 keys, identity files, armor) have one spelling each and never show a secret in an error."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.clients.opening import HybridIdentity, X25519Identity, parse_identity, parse_identity_file
from agent.clients.opening.armor import armor, dearmor, is_armored
from agent.core.vault.age import recipients
from agent.core.vault.age.header import from_base64, to_base64
from agent.core.vault.age.recipients import HybridRecipient, X25519Recipient, parse_recipient
from agent.errors import FormatError

prefixes = st.text(st.characters(min_codepoint=33, max_codepoint=126).filter(lambda c: not c.isupper()), min_size=1)


@given(prefixes, st.binary(max_size=100))
def test_bech32_gives_back_what_it_was_given(prefix: str, data: bytes) -> None:
    text = recipients.bech32_encode(prefix, data)
    assert recipients.bech32_decode(text) == (prefix, data)
    assert recipients.bech32_decode(text.upper()) == (prefix, data)


@given(st.binary(min_size=1, max_size=40), st.data())
def test_bech32_finds_any_wrong_character(data: bytes, draw: st.DataObject) -> None:
    text = recipients.bech32_encode("age", data)
    position = draw.draw(st.integers(4, len(text) - 1))
    wrong = draw.draw(st.sampled_from("qpzry9x8gf2tvdw0s3jn54khce6mua7lbio1").filter(lambda c: c != text[position]))
    with pytest.raises(FormatError):
        recipients.bech32_decode(text[:position] + wrong + text[position + 1 :])


@pytest.mark.parametrize("text", ["A12UEL5L", "a12uel5l", "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw"])
def test_bech32_accepts_the_valid_strings_of_bip_173(text: str) -> None:
    recipients.bech32_decode(text)


@pytest.mark.parametrize(
    "text",
    ["", "1", "pzry9x0s0muk", "1pzry9x0s0muk", "x1b4n0q5v", "li1dgmt3", "de1lg7wt\xff",
     "A1G7SGD8", "10a06t8", "1qzzfhee", "a12UEL5L"],
)  # fmt: skip
def test_bech32_refuses_the_invalid_strings_of_bip_173(text: str) -> None:
    with pytest.raises(FormatError):
        recipients.bech32_decode(text)


@given(st.text())
def test_any_text_is_a_key_or_a_format_error(text: str) -> None:
    for parse in (parse_identity, parse_recipient, parse_identity_file):
        with pytest.raises(FormatError):
            parse(text)


@given(st.binary(min_size=32, max_size=32))
def test_identities_and_recipients_come_back_from_their_texts(seed: bytes) -> None:
    for kind in (HybridIdentity, X25519Identity):
        identity = kind(seed)
        assert parse_identity(identity.secret_text()) == identity
        assert parse_recipient(str(identity.recipient())) == identity.recipient()


def test_the_keys_of_the_specification_belong_together() -> None:
    identity = parse_identity("AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX")
    assert str(identity.recipient()) == "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj"


def test_one_key_has_one_text(owner: HybridIdentity, classic: X25519Identity) -> None:
    for identity in (owner, classic):
        with pytest.raises(FormatError):
            parse_identity(identity.secret_text().lower())
        with pytest.raises(FormatError):
            parse_recipient(str(identity.recipient()).upper())


def test_a_secret_given_as_a_recipient_is_named_but_not_repeated(owner: HybridIdentity) -> None:
    with pytest.raises(FormatError, match="secret half") as caught:
        parse_recipient(owner.secret_text())
    assert owner.secret_text()[20:40] not in str(caught.value)


def test_no_repr_shows_a_secret(owner: HybridIdentity, classic: X25519Identity) -> None:
    for identity in (owner, classic):
        assert identity.seed.hex() not in repr(identity)
        assert repr(identity.seed) not in repr(identity)


def test_an_identity_file_is_read_like_age_reads_it(owner: HybridIdentity, classic: X25519Identity) -> None:
    text = f"# created: today\r\n# public key: x\r\n{owner.secret_text()}\r\n\r\n{classic.secret_text()}\n"
    assert parse_identity_file(text) == (owner, classic)


def test_a_broken_identity_file_names_the_line_and_keeps_the_secret(owner: HybridIdentity) -> None:
    broken = owner.secret_text()[:-1]
    with pytest.raises(FormatError, match="Line 2") as caught:
        parse_identity_file(f"# mine\n{broken}\n")
    assert broken[20:40] not in str(caught.value)
    with pytest.raises(FormatError, match="no identity"):
        parse_identity_file("# nothing here\n")


def test_an_unsound_public_key_is_no_recipient(owner: HybridIdentity) -> None:
    sound = owner.recipient().public
    for public in (b"", sound[:-1], sound + b"\0", b"\xff" * 1184 + sound[1184:], sound[:1184] + bytes(32)):
        with pytest.raises(FormatError):
            HybridRecipient(public)
    for public in (b"", bytes(31), bytes(32), bytes([1]) + bytes(31), bytes(33)):
        with pytest.raises(FormatError):
            X25519Recipient(public)


@given(st.binary(max_size=200))
def test_armor_gives_back_what_it_was_given(data: bytes) -> None:
    text = armor(data)
    assert is_armored(text)
    assert dearmor(text) == dearmor(text.replace(b"\n", b"\r\n")) == dearmor(b"\n " + text + b"\n\n") == data


@given(st.binary(min_size=1, max_size=60), st.data())
def test_an_armor_has_no_second_spelling(data: bytes, draw: st.DataObject) -> None:
    text = armor(data)
    position = draw.draw(st.integers(0, len(text) - 2))
    changed = text[:position] + draw.draw(st.binary(max_size=2)) + text[position + 1 :]
    try:
        opened = dearmor(changed)
    except FormatError:
        return
    assert armor(opened).strip() == changed.strip().replace(b"\r\n", b"\n")


@given(st.binary(max_size=100))
def test_base64_gives_back_what_it_was_given(data: bytes) -> None:
    assert from_base64(to_base64(data)) == data


@pytest.mark.parametrize("text", ["A", "AB", "AA==", "AA=", "=", "A A", "AA\n", "A-", "A_AA", "ä", "AAAA=", "AAAAA"])
def test_base64_has_one_spelling_for_each_byte_string(text: str) -> None:
    with pytest.raises(FormatError):
        from_base64(text)


def test_sealing_brings_in_no_code_that_opens() -> None:
    program = (
        "import sys, agent.core.vault.age, agent.core.vault.age.sealing\n"
        "sys.exit(any(name.startswith('agent.clients.opening') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
