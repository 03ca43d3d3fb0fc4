"""Changes of a folder of `doorward vault export`: single bits by chance, and manipulations by a forger of Ed25519.

`python -m tests.cli.export_changes` tries 1 000 bits and 200 manipulations, and prints what `verify_export` noticed.
The forger signs any record with the device's first key, and lacks the second one. They have exports of other times.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from agent.cli.export_folder import DEVICE_KEY, DEVICE_MLDSA, RECORDS, verify_export
from agent.core.vault.excerpt import Cover, ExcerptBuilder
from agent.core.vault.manifest import ChainHead, SignedRecord, parse_line, sign_record
from agent.core.vault.records import SegmentRecord
from agent.errors import DoorwardError
from agent.platform.disk import RealDisk
from agent.vault.reader import VaultReader
from agent.wire.identities import public_key_of
from tests.core.vault.make_vault_vectors import without
from tests.vaults import DEVICE_KEY as KEY
from tests.vaults import DEVICE_MLDSA_KEY, SECOND, TestVault, box, event_id, make_vault

__all__ = ["MANIPULATIONS", "Folder", "exported", "flipped", "notices"]

Folder = dict[str, bytes]
"""The files of an export, by name."""


def _recorded(root: Path) -> TestVault:
    """A vault with `coverage` behind the third and sixth of eight segments, each with a poster or sound, and rings."""
    made = make_vault(RealDisk(), root=root)
    began = made.clock.now()
    for number in range(8):
        made.clock.advance(20)
        made.record(
            box(b"mdat", bytes([number]) * 400), event=event_id(number + 1),
            poster=b"\xff\xd8\xff jpeg" if number % 2 else None, sound=None if number % 2 else box(b"mdat", b"heard"),
        )  # fmt: skip
        made.vault.record_ring(made.clock.advance(6))
        if number in (2, 5):
            made.vault.record_coverage(began, made.clock.now())
            began = made.clock.now()
    return made


def exported(numbers: tuple[int, ...]) -> Folder:
    """Returns an export of these segments of the vault, 0..7."""
    with tempfile.TemporaryDirectory() as place:
        made = _recorded(Path(place))
        reader = VaultReader(made.store, made.log, made.index)
        entries = [entry for number, entry in enumerate(reader.entries()) if number in numbers]
        builder = ExcerptBuilder({entry.id: reader.record(entry.id).line for entry in entries})
        lines = [line for step in reader.steps() for line in builder.add(step)]
        lines += builder.finish(0, public_key_of(KEY), DEVICE_MLDSA_KEY, KEY.sign, SECOND.sign)
        found = {file.name: _content(made, file) for entry in entries for file in (entry.file, *entry.companions)}
        made.close()
    found[DEVICE_KEY] = public_key_of(KEY).text.encode() + b"\n"
    found[DEVICE_MLDSA] = DEVICE_MLDSA_KEY.text.encode() + b"\n"
    return found | {RECORDS: b"".join(line + b"\n" for line in lines)}


def _content(made: TestVault, file: object) -> bytes:
    return b"".join(made.store.chunks(file))  # type: ignore[arg-type]


def notices(folder: Folder, place: Path) -> str:
    """Returns what noticed that the folder is not as it was exported: "records", "files", both, or ""."""
    place.mkdir()
    for name, content in folder.items():
        (place / name).write_bytes(content)
    try:
        report = verify_export(place)
    except DoorwardError:
        return "records"
    finally:
        for path in place.iterdir():
            path.unlink()
        place.rmdir()
    lines = "records" if report.faults or report.covered[Cover.NONE] else ""
    files = "files" if report.missing or report.damaged or report.unknown else ""
    return " and ".join(filter(None, (lines, files)))


def flipped(folder: Folder, chance: random.Random) -> Folder:
    """Returns the folder with one bit changed. Each file is as likely as another."""
    name = chance.choice(sorted(folder))
    data, bit = bytearray(folder[name]), chance.randrange(8 * len(folder[name]))
    data[bit // 8] ^= 1 << bit % 8
    return folder | {name: bytes(data)}


def _lines(folder: Folder) -> list[bytes]:
    return folder[RECORDS].splitlines()


def _with(folder: Folder, lines: list[bytes]) -> Folder:
    return folder | {RECORDS: b"".join(line + b"\n" for line in lines)}


def _sealed(folder: Folder, chance: random.Random, kind: str = "") -> str:
    return chance.choice(sorted(name for name in folder if name.endswith(f"{kind}.age")))


def _segments(folder: Folder) -> list[tuple[int, SignedRecord]]:
    parsed = [(at, parse_line(line)) for at, line in enumerate(_lines(folder)) if b'"payload"' in line]
    return [(at, one) for at, one in parsed if isinstance(one.record, SegmentRecord)]


def _dropped_file(folder: Folder, chance: random.Random) -> Folder:
    gone = _sealed(folder, chance)
    return {name: content for name, content in folder.items() if name != gone}


def _swapped_files(folder: Folder, chance: random.Random) -> Folder:
    one, two = chance.sample(sorted(name for name in folder if name.endswith(".age")), 2)
    return folder | {one: folder[two], two: folder[one]}


def _cut_file(folder: Folder, chance: random.Random) -> Folder:
    name = _sealed(folder, chance)
    return folder | {name: folder[name][: -chance.randrange(1, 50)]}


def _added_file(folder: Folder, chance: random.Random) -> Folder:
    return folder | {f"{chance.randbytes(4).hex()}.age": folder[_sealed(folder, chance)]}


def _dropped_line(folder: Folder, chance: random.Random) -> Folder:
    lines = _lines(folder)
    del lines[chance.randrange(len(lines))]
    return _with(folder, lines)


def _swapped_lines(folder: Folder, chance: random.Random) -> Folder:
    lines = _lines(folder)
    one, two = chance.sample(range(len(lines)), 2)
    lines[one], lines[two] = lines[two], lines[one]
    return _with(folder, lines)


def _doubled_line(folder: Folder, chance: random.Random) -> Folder:
    lines = _lines(folder)
    at = chance.randrange(len(lines))
    return _with(folder, [*lines[: at + 1], *lines[at:]])


def _forged(folder: Folder, chance: random.Random) -> Folder:
    """Another time in a record, signed by the forger."""
    lines = _lines(folder)
    at, one = chance.choice(_segments(folder))
    assert isinstance(one.record, SegmentRecord)
    span = msgspec.structs.replace(one.record.span, utc_ms=one.record.span.utc_ms - chance.randrange(1, 60_000))
    record = msgspec.structs.replace(one.record, span=span)
    lines[at] = sign_record(record, ChainHead(0, one.sequence, one.previous), KEY.sign).line
    return _with(folder, lines)


def _forged_file(folder: Folder, chance: random.Random) -> Folder:
    """Another sealed file, and a record of it, signed by the forger."""
    at, one = chance.choice(_segments(folder))
    assert isinstance(one.record, SegmentRecord)
    other = chance.choice([each for _, each in _segments(folder) if each is not one])
    assert isinstance(other.record, SegmentRecord)
    record = msgspec.structs.replace(one.record, file=other.record.file, key=other.record.key)
    lines = _lines(folder)
    lines[at] = sign_record(record, ChainHead(0, one.sequence, one.previous), KEY.sign).line
    return _with(folder, lines) | {f"{one.record.id}.age": folder[f"{other.record.id}.age"]}


def _added_record(folder: Folder, chance: random.Random) -> Folder:
    """A record more at the end, behind the last second signature, with its file."""
    _, one = chance.choice(_segments(folder))
    assert isinstance(one.record, SegmentRecord)
    name = one.record.id[::-1][:25] + "a"
    record = msgspec.structs.replace(one.record, id=name, poster=None, sound=None)
    line = sign_record(record, ChainHead(0, 900, "ab" * 32), KEY.sign).line
    return _with(folder, [*_lines(folder), line]) | {f"{name}.age": folder[f"{one.record.id}.age"]}


def _stripped(folder: Folder, _chance: random.Random) -> Folder:
    """All second signatures taken out, and the head."""
    lines = [line for line in _lines(folder) if not line.startswith(b'{"head"')]
    return _with(folder, [without(line) if line.startswith(b'{"mldsa"') else line for line in lines])


def _borrowed(folder: Folder, chance: random.Random) -> Folder:
    """The second signature of one line on another."""
    lines = _lines(folder)
    one, two = chance.sample([at for at, line in enumerate(lines) if b'"mldsa"' in line], 2)
    second = json.loads(lines[two])["mldsa"].encode()
    lines[one] = lines[one].replace(json.loads(lines[one])["mldsa"].encode(), second)
    return _with(folder, lines)


def _other_hash(folder: Folder, chance: random.Random) -> Folder:
    lines = _lines(folder)
    at = chance.choice([at for at, line in enumerate(lines) if line.startswith(b'{"omitted"')])
    said = json.loads(lines[at])["omitted"]
    said[chance.randrange(len(said))] = chance.randbytes(32).hex()
    lines[at] = json.dumps({"omitted": said}, separators=(",", ":")).encode()
    return _with(folder, lines)


def _other_end(folder: Folder, chance: random.Random) -> Folder:
    """The end of an export of other segments."""
    other = _lines(exported(tuple(sorted(chance.sample(range(8), 3)))))
    return _with(folder, [*_lines(folder)[:-1], other[-1]])


def _other_records(folder: Folder, chance: random.Random) -> Folder:
    """All records of another export."""
    return folder | {RECORDS: exported(tuple(sorted(chance.sample(range(1, 8), 2))))[RECORDS]}


MANIPULATIONS: dict[str, Callable[[Folder, random.Random], Folder]] = {
    "a sealed file dropped": _dropped_file,
    "two sealed files exchanged": _swapped_files,
    "a sealed file cut": _cut_file,
    "a file added": _added_file,
    "a line dropped": _dropped_line,
    "two lines exchanged": _swapped_lines,
    "a line twice": _doubled_line,
    "a record of another time signed by the forger": _forged,
    "a record of another file signed by the forger": _forged_file,
    "a record added by the forger": _added_record,
    "all second signatures taken out": _stripped,
    "the second signature of another line": _borrowed,
    "another hash of a line left out": _other_hash,
    "the end of another export": _other_end,
    "the records of another export": _other_records,
}
WHOLE = (0, 1, 4, 7)
"""The segments of the folder that is changed: two in front of one `coverage`, one of another, and one behind both."""


def tried(flips: int, each: int, seed: int) -> Iterator[tuple[str, str]]:
    """Yields each change and what noticed it."""
    chance, good = random.Random(seed), exported(WHOLE)
    with tempfile.TemporaryDirectory() as work:
        place = Path(work) / "export"
        assert notices(good, place) == ""
        for _ in range(flips):
            yield "one bit", notices(flipped(good, chance), place)
        for number in range(each):
            name = list(MANIPULATIONS)[number % len(MANIPULATIONS)]
            changed = good
            while changed == good:
                changed = MANIPULATIONS[name](good, chance)
            yield name, notices(changed, place)


def main() -> int:
    found = Counter(tried(1000, 200, seed=1))
    print("| change | tried | noticed | by the records | by the files |")
    print("|---|---:|---:|---:|---:|")
    for name in ("one bit", *MANIPULATIONS):
        counts = {said: count for (each, said), count in found.items() if each == name}
        by = [sum(count for said, count in counts.items() if word in said) for word in ("records", "files")]
        print(f"| {name} | {sum(counts.values())} | {sum(counts.values()) - counts.get('', 0)} | {by[0]} | {by[1]} |")
    return int(any(not said for _, said in found))


if __name__ == "__main__":
    sys.exit(main())
