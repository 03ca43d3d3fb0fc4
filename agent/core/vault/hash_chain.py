"""A chain of hashes over lines: one hash fixes all lines before it, how many they are, and their order.

    hash before the first line    64 zeros
    hash behind a line            SHA-256(0x01 ‖ hash before it ‖ SHA-256(0x00 ‖ line))

A reader who has only the leaf hash of a line, SHA-256(0x00 ‖ line), can follow the chain over it. So lines can be left
out of a copy without a gap in the proof. The manifest and each clip have such a chain.

Each line of the manifest names the hash of the line before it. A second signature, by ML-DSA-44, therefore also covers
every line before it, and only some lines need one (`needs_second_signature`):

- `boot`, `chapter`, `coverage` and `recovered` need one. So does each line that does not belong to the hour after the
  newest line with one: of another boot, earlier, an hour later, or with another date at the same boot clock.
- The times are the record's own, so writer and readers decide alike.
- The lines behind the newest one with it are signed once: those of at most an hour.

Source: FORMAT.md, "Manifest" and "Second signatures"; the node and leaf hashes of RFC 6962, section 2.1.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from agent.core.ledger.merkle import leaf_hash, node_hash
from agent.core.vault.fields import Stamp
from agent.core.vault.records import (
    BootRecord,
    Chapter,
    CoverageRecord,
    GapRecord,
    Record,
    RecoveredRecord,
    SegmentRecord,
)

__all__ = ["FIRST", "RecordTime", "chain_hash", "chain_hash_of_leaves", "needs_second_signature", "time_of"]

FIRST: Final = "0" * 64


def chain_hash(before: str, line: bytes) -> str:
    """Returns the hash behind `line`, which stands behind the hash `before`."""
    return chain_hash_of_leaves(before, (leaf_hash(line),))


def chain_hash_of_leaves(before: str, leaves: Iterable[bytes]) -> str:
    """Returns the hash behind lines of which only the leaf hashes are known, 32 bytes each."""
    reached = bytes.fromhex(before)
    for leaf in leaves:
        reached = node_hash(reached, leaf)
    return reached.hex()


_EVERY_US: Final = 3_600_000_000
"""One hour. `coverage` comes four times as often, so this rule is for lines of a time without a camera."""
_TOLERANCE_US: Final = 60_000_000
"""One minute. `coverage` is written while a segment grows, which starts up to this long before it. And a clock that is
slewed moves less in an hour. A line beyond it only costs a second signature."""
_US_PER_MS: Final = 1000


class RecordTime(NamedTuple):
    """The times that a record states. An instant starts and ends at once."""

    boot: str
    starts_us: int
    """On the clock of `boot`."""
    ends_us: int
    zero_us: int
    """The UTC at which the clock of `boot` was 0, as the record dates it, in µs."""


def time_of(record: Record) -> RecordTime:
    if isinstance(record, SegmentRecord | GapRecord | CoverageRecord):
        span = record.span
        return RecordTime(span.boot, span.start_us, span.end_us, span.utc_ms * _US_PER_MS - span.start_us)
    at: Stamp = record.at
    return RecordTime(at.boot, at.at_us, at.at_us, at.utc_ms * _US_PER_MS - at.at_us)


def needs_second_signature(record: Record, newest: RecordTime | None) -> bool:
    """Returns True if a second signature is required.

    newest: the time of the newest line that has one. If it is None, none is known, and each line needs one.
    """
    # A recovered record says that footage is older than the record.
    if newest is None or isinstance(record, BootRecord | Chapter | CoverageRecord | RecoveredRecord):
        return True
    time = time_of(record)
    return (
        time.boot != newest.boot
        or time.ends_us < newest.ends_us
        or time.starts_us < newest.ends_us - _TOLERANCE_US
        or time.ends_us >= newest.ends_us + _EVERY_US
        or abs(time.zero_us - newest.zero_us) > _TOLERANCE_US
    )
