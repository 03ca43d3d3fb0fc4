"""A record's signature, made at capture, fixes the records before it in its clip."""

from __future__ import annotations

import hashlib

import msgspec
import pytest

from agent.core.vault.following import clip_chain_start, prev_in_clip_of
from agent.core.vault.hash_chain import FIRST, chain_hash, chain_hash_of_leaves
from agent.core.vault.manifest import ChainHead, SignedRecord, sign_record
from agent.core.vault.records import RecoveredRecord, SegmentRecord
from tests.core.vault.make_vault_vectors import RECORDS
from tests.custodians import DEVICE

SEGMENT = next(record for record in RECORDS if isinstance(record, SegmentRecord))
RECOVERED = next(record for record in RECORDS if isinstance(record, RecoveredRecord))


def chain(*kinds: str) -> list[SignedRecord]:
    """A clip as it is recorded: `s` a segment, `a` a recovered one, `o` one that lacks `prev_in_clip`."""
    reached, clip = FIRST, []
    for number, kind in enumerate("".join(kinds)):
        record: SegmentRecord | RecoveredRecord = RECOVERED
        if kind != "a":
            record = msgspec.structs.replace(SEGMENT, ordinal=number, prev_in_clip=None if kind == "o" else reached)
        clip.append(sign_record(record, ChainHead(), DEVICE.sign))
        reached = chain_hash(reached, clip[-1].line)
    return clip


def test_the_hash_behind_a_record_is_a_node_over_the_one_before_it_and_its_leaf() -> None:
    leaf = hashlib.sha256(b"\x00line").digest()
    assert chain_hash(FIRST, b"line") == hashlib.sha256(b"\x01" + bytes(32) + leaf).hexdigest()
    assert chain_hash_of_leaves(FIRST, [leaf, leaf]) == chain_hash(chain_hash(FIRST, b"line"), b"line")
    assert chain_hash_of_leaves(FIRST, []) == FIRST == "00" * 32


@pytest.mark.parametrize("kinds", ["s", "sss", "sas", "sa"])
def test_a_clip_of_which_all_is_there_starts_where_its_first_record_says(kinds: str) -> None:
    clip = chain(kinds)
    assert clip_chain_start(clip) == FIRST
    if len(clip) == 3:
        assert clip_chain_start(clip[2:]) == prev_in_clip_of(clip[2])


@pytest.mark.parametrize("kinds", ["", "o", "os", "so", "as", "a"])
def test_what_was_not_signed_as_following_proves_no_start(kinds: str) -> None:
    assert clip_chain_start(chain(kinds)) is None


def test_a_record_left_out_moved_or_changed_breaks_the_clip() -> None:
    clip = chain("ssss")
    for broken in (clip[:1] + clip[2:], [clip[1], clip[0], *clip[2:]], clip[::-1]):
        assert clip_chain_start(broken) is None
    other = sign_record(msgspec.structs.replace(clip[1].record, epoch=7), ChainHead(), DEVICE.sign)
    assert clip_chain_start([clip[0], other, *clip[2:]]) is None
    # An earlier signature cannot fix the records after the last one that is shown.
    assert clip_chain_start(clip[:2]) == FIRST


def test_what_was_recovered_names_nothing() -> None:
    assert prev_in_clip_of(chain("a")[0]) is None
