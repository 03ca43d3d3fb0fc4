"""A forger of Ed25519 with the disk of a doorbell that is off, drawn at random: the words of its answers afterwards.

The forger changes the manifest in any way, signs each line again with the device's Ed25519 key, and has no second key.
Then the doorbell starts, goes on behind what it finds, and is asked about each record. A forged record may count only
within the bounds of FORMAT.md, "Second signatures": as one of the hour behind a true second signature, with its date.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from agent.core.timebase import ClockQuality
from agent.core.vault.excerpt import Cover, ExcerptBuilder, covers_of, read_excerpt
from agent.core.vault.fields import Stamp, TimeSpan, segment_id
from agent.core.vault.hash_chain import FIRST
from agent.core.vault.manifest import ChainHead, LineSigner, RawLine, follow, parse_line, sign_record
from agent.core.vault.records import BootRecord, CoverageRecord, Record, RingRecord, SealedFile, SegmentRecord
from agent.core.vault.signed_once import end_of
from agent.errors import FormatError
from agent.wire.identities import MldsaPublicKey, mldsa_key_from_seed, private_key_from_seed, public_key_of
from tests.properties.amounts import amount

KEY, SECOND = private_key_from_seed(b"d" * 32), mldsa_key_from_seed(b"m" * 32)
DEVICE, MLDSA = public_key_of(KEY), MldsaPublicKey.of(SECOND)
FORGERS = mldsa_key_from_seed(b"f" * 32)
HOUR_US, MINUTE_US, WEEK_US = 3_600_000_000, 60_000_000, 604_800_000_000
FILE = SealedFile(size=2, header_size=1, sha256_header="00" * 32, sha256_payload="11" * 32)
DRAWN = amount(12, 4000)
FOUND = (118,)
"""Seeds with which a forged record was covered once. 118: a copy of an old line with its second signature, and records
from its time behind it, in an export before the next start."""


def span_of(boot: str, start_us: int, end_us: int, zero_us: int) -> TimeSpan:
    utc_ms = (zero_us + start_us) // 1000
    return TimeSpan(boot=boot, start_us=start_us, end_us=end_us, utc_ms=utc_ms, quality=ClockQuality.SYNCED)


def segment(chance: random.Random, span: TimeSpan) -> SegmentRecord:
    name = segment_id(chance.randbytes(16))
    return SegmentRecord(id=name, event=name, ordinal=0, span=span, epoch=1, file=FILE, key="22" * 32)


class Doorbell:
    """A recorder, and the lines on its disk. `true` are the lines that it signed."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.lines: list[bytes] = []
        self.true: set[bytes] = set()
        self.boots: list[tuple[str, int]] = []
        """Each boot with the UTC at which its clock was 0."""
        self.now_us = 0
        self.utc_us = 1_760_000_000_000_000

    def start(self) -> None:
        boot = f"{self.chance.getrandbits(128):032x}"
        self.now_us = self.chance.randrange(1, 10 * MINUTE_US)
        self.utc_us += self.chance.randrange(MINUTE_US, 3 * HOUR_US)
        self.boots.append((boot, self.utc_us - self.now_us))
        self.signer = LineSigner(KEY.sign, SECOND.sign)
        self.vouches = end_of(follow(self.raw_lines()), MLDSA).is_sound
        self.covered_us = self.now_us
        at = Stamp(boot=boot, at_us=self.now_us, utc_ms=self.utc_us // 1000, quality=ClockQuality.SYNCED)
        self.write(BootRecord(device=DEVICE.id, device_mldsa=MLDSA.text, epoch=1, at=at))

    def live(self, steps: int) -> None:
        for _ in range(steps):
            boot, zero_us = self.boots[-1]
            began_us = self.now_us
            took_us = self.chance.choice((5_000_000, 30_000_000, 20 * MINUTE_US, 80 * MINUTE_US))
            self.now_us, self.utc_us = self.now_us + took_us, self.utc_us + took_us
            if took_us < MINUTE_US:
                self.write(segment(self.chance, span_of(boot, began_us, self.now_us, zero_us)))
            elif self.chance.random() < 0.5:
                self.write(CoverageRecord(span=span_of(boot, self.covered_us, self.now_us, zero_us)))
                self.covered_us = self.now_us
            else:
                at = Stamp(
                    boot=boot, at_us=self.now_us, utc_ms=(zero_us + self.now_us) // 1000, quality=ClockQuality.SYNCED
                )
                self.write(RingRecord(at=at))

    def write(self, record: Record) -> None:
        tip = tip_of(self.lines)
        signed = self.signer.sign(record, tip if self.vouches else replace(tip, previous=FIRST))
        self.signer.wrote(signed)
        self.vouches = True
        self.lines.append(signed.line)
        self.true.add(signed.line)

    def raw_lines(self) -> list[RawLine]:
        made, position = [], 0
        for line in self.lines:
            made.append(RawLine(position, line, len(line) + 1, True))
            position += len(line) + 1
        return made


def tip_of(lines: list[bytes]) -> ChainHead:
    """The end of the manifest, as a start finds it: behind the last line that can be read."""
    for line in reversed(lines):
        try:
            return ChainHead().after(parse_line(line))
        except FormatError:
            continue
    return ChainHead()


# The changes by the forger


def forged(door: Doorbell) -> SegmentRecord:
    """A film of a boot and of a time that the forger chooses. Often it is near to the newest true record."""
    chance = door.chance
    boot, zero_us = chance.choice(door.boots[-2:])
    start_us = max(0, door.now_us + chance.choice((0, -MINUTE_US // 2, -5 * MINUTE_US, HOUR_US // 2, 2 * HOUR_US)))
    zero_us += chance.choice((0, 0, MINUTE_US // 2, -5 * MINUTE_US, -WEEK_US))
    return segment(chance, span_of(boot, start_us, start_us + 5_000_000, zero_us))


def signed_by_forger(door: Doorbell, record: Record, tip: ChainHead) -> bytes:
    second = door.chance.choice((None, None, FORGERS.sign))
    return sign_record(record, tip, KEY.sign, second).line


def append(door: Doorbell) -> None:
    for _ in range(door.chance.randrange(1, 4)):
        door.lines.append(signed_by_forger(door, forged(door), tip_of(door.lines)))


def replace_and_sign_all_behind(door: Doorbell) -> None:
    """The line is another one, and each line behind it names the new hashes. Some second signatures stay there."""
    at = door.chance.randrange(len(door.lines))
    old = parse_line(door.lines[at])
    made = [signed_by_forger(door, forged(door), ChainHead(0, old.sequence, old.previous))]
    for line in door.lines[at + 1 :]:
        signed = parse_line(line)
        kept = signed.mldsa if door.chance.random() < 0.5 else None
        second = (lambda _encoding, kept=kept: kept) if kept is not None else None
        made.append(sign_record(signed.record, tip_of(made), KEY.sign, second).line)
    door.lines[at:] = made


def replace_alone(door: Doorbell) -> None:
    at = door.chance.randrange(len(door.lines))
    old = parse_line(door.lines[at])
    door.lines[at] = signed_by_forger(door, forged(door), ChainHead(0, old.sequence, old.previous))


def repeat_and_append(door: Doorbell) -> None:
    twice = [line for line in door.lines if b'"mldsa"' in line]
    door.lines.append(door.chance.choice(twice))
    append(door)


def a_coverage_of_the_forgers(door: Doorbell) -> None:
    record = CoverageRecord(span=forged(door).span)
    door.lines.append(sign_record(record, tip_of(door.lines), KEY.sign, FORGERS.sign).line)
    append(door)


def cut_and_append(door: Doorbell) -> None:
    del door.lines[door.chance.randrange(1, len(door.lines)) :]
    append(door)


def strip_second_signatures(door: Doorbell) -> None:
    at = door.chance.randrange(len(door.lines))
    made = [*door.lines[:at]]
    for line in door.lines[at:]:
        signed = parse_line(line)
        made.append(sign_record(signed.record, ChainHead(0, signed.sequence, signed.previous), KEY.sign).line)
    door.lines[:] = made
    append(door)


def damage_and_append(door: Doorbell) -> None:
    at = door.chance.randrange(len(door.lines))
    door.lines[at] = b"?" * len(door.lines[at])
    append(door)


ATTACKS: list[Callable[[Doorbell], None]] = [
    append,
    replace_and_sign_all_behind,
    replace_alone,
    repeat_and_append,
    a_coverage_of_the_forgers,
    cut_and_append,
    strip_second_signatures,
    damage_and_append,
]


def covers(door: Doorbell) -> dict[bytes, Cover]:
    """Returns the cover of each record by its line. All are asked for at once, as for an answer."""
    wanted: dict[str, bytes] = {}
    for step in follow(door.raw_lines()):
        if step.signed is not None and isinstance(step.signed.record, SegmentRecord):
            wanted[step.signed.record.id] = step.signed.line
    found = covers_of(follow(door.raw_lines()), wanted, DEVICE, MLDSA)
    return {wanted[name]: cover for name, cover in found.items()}


def exported(door: Doorbell, line: bytes) -> Cover:
    """Returns the cover of a record for a reader of its export, who has no other line."""
    builder = ExcerptBuilder({record_of(line).id: line})
    lines = [shown for step in follow(door.raw_lines()) for shown in builder.add(step)]
    lines += builder.finish(1_760_000_000_000, DEVICE, MLDSA, KEY.sign, SECOND.sign)
    (cover,) = {one.cover for one in read_excerpt(lines, DEVICE, MLDSA).records} or {Cover.NONE}
    return cover


def is_within_bounds(door: Doorbell, line: bytes) -> bool:
    """The rule of FORMAT.md, read again: compared with the newest true second signature in front of the line."""
    before = [parse_line(each) for each in door.lines[: door.lines.index(line)] if each in door.true]
    twice = [each for each in before if each.mldsa is not None]
    if not twice:
        return False
    newest = max(twice, key=lambda each: each.sequence)
    span = record_of(line).span
    if isinstance(newest.record, CoverageRecord | SegmentRecord):
        last = newest.record.span
        boot, end_us, zero_us = last.boot, last.end_us, last.utc_ms * 1000 - last.start_us
    else:
        assert isinstance(newest.record, BootRecord | RingRecord)
        at = newest.record.at
        boot, end_us, zero_us = at.boot, at.at_us, at.utc_ms * 1000 - at.at_us
    return (
        span.boot == boot
        and end_us <= span.end_us < end_us + HOUR_US
        and span.start_us >= end_us - MINUTE_US
        and abs(span.utc_ms * 1000 - span.start_us - zero_us) <= MINUTE_US
    )


def record_of(line: bytes) -> SegmentRecord:
    record = parse_line(line).record
    assert isinstance(record, SegmentRecord)
    return record


def honest(seed: int) -> Doorbell:
    door = Doorbell(random.Random(seed))
    for _ in range(door.chance.randrange(1, 4)):
        door.start()
        door.live(door.chance.randrange(1, 12))
    return door


def test_of_an_honest_doorbell_each_record_is_covered() -> None:
    for seed in range(DRAWN):
        door = honest(seed)
        found = covers(door)
        assert Cover.NONE not in found.values()
        assert all(exported(door, line) is not Cover.NONE for line in found)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_a_forged_record_is_covered_only_within_the_bounds(attack: Callable[[Doorbell], None]) -> None:
    """`-rP` prints a row of the table in docs/decisions/0102-a-start-vouches-for-no-forged-line.md."""
    counted, in_an_export = dict.fromkeys(Cover, 0), dict.fromkeys(Cover, 0)
    for seed in (*range(DRAWN), *FOUND):
        door = honest(seed)
        attack(door)
        if door.chance.random() < 0.8:  # else it is asked before its next start
            door.start()
            door.live(door.chance.randrange(0, 6))
        for line, cover in covers(door).items():
            if line not in door.true:
                counted[cover] += 1
                assert cover is Cover.NONE or is_within_bounds(door, line), (seed, record_of(line))
                read = exported(door, line)
                in_an_export[read] += 1
                assert read is Cover.NONE or is_within_bounds(door, line), (seed, record_of(line))
    assert counted[Cover.NONE]
    print(f"| {attack.__name__} | {_counts(counted)} | {_counts(in_an_export)} |")


def _counts(counted: dict[Cover, int]) -> str:
    none = counted[Cover.NONE]
    return f"{none} | {sum(counted.values()) - none}"


def test_a_start_that_vouched_for_what_it_finds_would_cover_forged_records_in_an_export() -> None:
    """Otherwise the test above would show nothing of the start."""
    found = 0
    for seed in range(DRAWN):
        door = honest(seed)
        append(door)
        door.start()
        door.lines.pop()
        door.vouches, door.signer.newest = True, None
        boot, at_us = door.boots[-1][0], door.now_us
        at = Stamp(boot=boot, at_us=at_us, utc_ms=door.utc_us // 1000, quality=ClockQuality.SYNCED)
        door.write(BootRecord(device=DEVICE.id, device_mldsa=MLDSA.text, epoch=1, at=at))
        forged_lines = [line for line in door.lines if line not in door.true]
        found += sum(
            exported(door, line) is Cover.CAPTURE and not is_within_bounds(door, line) for line in forged_lines
        )
    assert found


def test_the_forger_gets_something_within_the_bounds() -> None:
    """Otherwise the test above would show nothing of them."""
    found = set()
    for seed in range(60):
        door = honest(seed)
        append(door)
        door.start()
        found |= {cover for line, cover in covers(door).items() if line not in door.true}
    assert found == {Cover.CAPTURE, Cover.NONE}
