"""Part 0 names the reply key that it is sealed to, in a stanza that other readers of age files skip."""

from __future__ import annotations

import hashlib

import pytest

from agent.clients.opening import HybridIdentity, open_bytes
from agent.core.disclosure import reply_stanza, reply_tag, reply_tag_in
from agent.core.vault.age.header import Stanza
from agent.core.vault.age.sealing import Sealer
from agent.errors import FormatError

IDENTITY = HybridIdentity(b"i" * 32)
REPLY = str(IDENTITY.recipient())


def part(*remarks: Stanza) -> bytes:
    sealer = Sealer(b"k" * 16, [IDENTITY.recipient()], nonce=b"n" * 16, remarks=remarks)
    return sealer.header + sealer.update(b"statements") + sealer.finish()


def test_a_reader_finds_the_key_by_the_header_alone() -> None:
    data = part(reply_stanza(REPLY))
    assert reply_tag_in(data) == reply_tag(REPLY) == hashlib.sha256(REPLY.encode()).hexdigest()[:16]
    assert open_bytes(data, [IDENTITY]) == b"statements"


def test_the_stanza_belongs_to_the_header_so_another_in_its_place_breaks_it() -> None:
    data = part(reply_stanza(REPLY))
    changed = data.replace(reply_tag(REPLY).encode(), b"5e" * 8)
    with pytest.raises(FormatError):
        open_bytes(changed, [IDENTITY])


@pytest.mark.parametrize(
    "remarks",
    [
        (),
        (reply_stanza(REPLY), reply_stanza(REPLY)),
        (Stanza("doorward-reply", (), b""),),
        (Stanza("doorward-reply", ("ab", "cd"), b""),),
        (Stanza("doorward-reply", (reply_tag(REPLY),), b"more"),),
    ],
    ids=["none", "two", "no tag", "two tags", "with a body"],
)
def test_a_part_that_does_not_name_one_key_names_none(remarks: tuple[Stanza, ...]) -> None:
    with pytest.raises(FormatError, match="doorward-reply"):
        reply_tag_in(part(*remarks))
