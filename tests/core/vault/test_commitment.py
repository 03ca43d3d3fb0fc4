"""A record names the one key that opens its file, and a reader refuses any other key."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.clients.opening import HybridIdentity
from agent.clients.opening.committed import commitment_in, open_committed
from agent.core.timebase import ClockQuality
from agent.core.vault.age.sealing import seal_bytes
from agent.core.vault.commitment import key_commitment
from agent.core.vault.fields import Stamp, TimeSpan, segment_id
from agent.core.vault.records import PosterRecord, RecoveredRecord, SealedFile, SegmentRecord, SoundRecord
from agent.core.vault.segment import Begin, Content
from agent.errors import OpenError

OWNER = HybridIdentity(bytes(32))
FILE = SealedFile(size=10, header_size=5, sha256_header="0" * 64, sha256_payload="0" * 64)
SPAN = TimeSpan(boot="0" * 32, start_us=0, end_us=1, utc_ms=0, quality=ClockQuality.HELD)
NAME = segment_id(bytes(16))
KEYS = {Content.SEGMENT: b"1" * 16, Content.POSTER: b"2" * 16, Content.SOUND: b"3" * 16}
SEGMENT = SegmentRecord(
    id=NAME, event=NAME, ordinal=0, span=SPAN, epoch=1, file=FILE, key=key_commitment(KEYS[Content.SEGMENT]),
    poster=PosterRecord(file=FILE, key=key_commitment(KEYS[Content.POSTER])),
    sound=SoundRecord(file=FILE, key=key_commitment(KEYS[Content.SOUND])),
)  # fmt: skip
BEGIN = Begin(
    segment=NAME, event=NAME, ordinal=0, boot="0" * 32, start_us=0, until_us=1, utc_ms=0, quality=ClockQuality.HELD
)
RECOVERED = RecoveredRecord(
    begin=BEGIN, complete=True, file=FILE, at=Stamp(boot="0" * 32, at_us=0, utc_ms=0, quality=ClockQuality.HELD)
)


def sealed(key: bytes) -> bytes:
    return seal_bytes(b"content", [OWNER.recipient()], file_key=key, nonce=bytes(16))


@given(first=st.binary(min_size=16, max_size=16), second=st.binary(min_size=16, max_size=16))
def test_a_commitment_names_one_key(first: bytes, second: bytes) -> None:
    assert (key_commitment(first) == key_commitment(second)) == (first == second)


@pytest.mark.parametrize("content", Content)
def test_each_file_opens_with_the_key_its_record_names_and_with_no_other(content: Content) -> None:
    assert open_committed(SEGMENT, content, sealed(KEYS[content]), [OWNER]) == b"content"
    for other in set(Content) - {content}:
        with pytest.raises(OpenError, match=f"{content.value} of {NAME} opens with another key"):
            open_committed(SEGMENT, content, sealed(KEYS[other]), [OWNER])


@pytest.mark.parametrize("content", [Content.POSTER, Content.SOUND])
def test_a_file_that_no_record_names_does_not_open_as_recorded(content: Content) -> None:
    alone = SegmentRecord(
        id=NAME, event=NAME, ordinal=0, span=SPAN, epoch=1, file=FILE, key=key_commitment(KEYS[Content.SEGMENT])
    )
    with pytest.raises(OpenError):
        open_committed(alone, content, sealed(KEYS[content]), [OWNER])


@pytest.mark.parametrize("content", Content)
def test_what_was_recovered_was_recovered_without_its_key(content: Content) -> None:
    assert commitment_in(RECOVERED, content) is None
    assert open_committed(RECOVERED, content, sealed(KEYS[content]), [OWNER]) == b"content"
