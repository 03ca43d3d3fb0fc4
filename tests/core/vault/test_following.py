"""A record's signature, made when its segment was recorded, fixes what stood before it in its clip."""

from __future__ import annotations

import hashlib

import msgspec
import pytest

from agent.core.vault.following import FIRST, follows_of, hash_after, hash_behind, start_of
from agent.core.vault.manifest import SignedRecord, Tip, sign_record
from agent.core.vault.records import Adopted, Segment
from tests.core.vault.make_vault_vectors import RECORDS
from tests.custodians import DEVICE

SEGMENT = next(record for record in RECORDS if isinstance(record, Segment))
ADOPTED = next(record for record in RECORDS if isinstance(record, Adopted))


def chain(*kinds: str) -> list[SignedRecord]:
    """A clip as it is recorded: `s` a segment, `a` an adopted one, `o` one of an earlier version."""
    reached, clip = FIRST, []
    for number, kind in enumerate("".join(kinds)):
        record: Segment | Adopted = ADOPTED
        if kind != "a":
            record = msgspec.structs.replace(SEGMENT, ordinal=number, follows=None if kind == "o" else reached)
        clip.append(sign_record(record, Tip(), DEVICE.sign))
        reached = hash_behind(reached, clip[-1].line)
    return clip


def test_the_hash_behind_a_record_is_a_node_over_the_one_before_it_and_its_leaf() -> None:
    leaf = hashlib.sha256(b"\x00line").digest()
    assert hash_behind(FIRST, b"line") == hashlib.sha256(b"\x01" + bytes(32) + leaf).hexdigest()
    assert hash_after(FIRST, [leaf, leaf]) == hash_behind(hash_behind(FIRST, b"line"), b"line")
    assert hash_after(FIRST, []) == FIRST == "00" * 32


@pytest.mark.parametrize("kinds", ["s", "sss", "sas", "sa"])
def test_a_clip_of_which_all_is_there_starts_where_its_first_record_says(kinds: str) -> None:
    clip = chain(kinds)
    assert start_of(clip) == FIRST
    if len(clip) == 3:
        assert start_of(clip[2:]) == follows_of(clip[2])


@pytest.mark.parametrize("kinds", ["", "o", "os", "so", "as", "a"])
def test_what_was_not_signed_as_following_proves_no_start(kinds: str) -> None:
    assert start_of(chain(kinds)) is None


def test_a_record_left_out_moved_or_changed_breaks_the_clip() -> None:
    clip = chain("ssss")
    for broken in (clip[:1] + clip[2:], [clip[1], clip[0], *clip[2:]], clip[::-1]):
        assert start_of(broken) is None
    other = sign_record(msgspec.structs.replace(clip[1].record, epoch=7), Tip(), DEVICE.sign)
    assert start_of([clip[0], other, *clip[2:]]) is None
    # Of what comes behind the last one that is shown, nothing earlier can say anything.
    assert start_of(clip[:2]) == FIRST


def test_what_was_adopted_names_nothing() -> None:
    assert follows_of(chain("a")[0]) is None
