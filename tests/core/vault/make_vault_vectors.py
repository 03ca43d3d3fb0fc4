"""Writes the vault's test vectors: `python -m tests.core.vault.make_vault_vectors`. FORMAT.md describes them.

ML-DSA draws randomness, so the second signatures of the vectors stay as long as they verify.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from agent.core.ledger.merkle import leaf_hash, root_of
from agent.core.object_detection.labels import ObjectLabel
from agent.core.timebase import ClockQuality
from agent.core.vault.commitment import key_commitment
from agent.core.vault.fields import Stamp, TimeSpan, segment_id
from agent.core.vault.manifest import PAYLOAD_TYPE, ChainHead, LineSigner, SignedRecord, Signer, parse_line, sign_record
from agent.core.vault.records import (
    BootRecord,
    Carried,
    Chapter,
    ClockSync,
    CoverageRecord,
    EvictionReason,
    EvictionRecord,
    GapReason,
    GapRecord,
    PosterRecord,
    Record,
    RecoveredRecord,
    RingRecord,
    SealedFile,
    SegmentRecord,
    SoundGapReason,
    SoundRecord,
)
from agent.core.vault.segment import Begin, Content, Context, context_box, poster_plaintext
from agent.errors import FormatError
from agent.wire import strictjson
from agent.wire.envelope import pae
from agent.wire.identities import MldsaPublicKey, mldsa_key_from_seed, private_key_from_seed, public_key_of

__all__ = ["DEVICE", "MLDSA", "PLACE", "RECORDS", "tree_of", "vectors"]

PLACE = Path(__file__).resolve().parents[2] / "vectors" / "vault"
_KEY = private_key_from_seed(b"d" * 32)
DEVICE = public_key_of(_KEY)
_MLDSA = mldsa_key_from_seed(b"m" * 32)
MLDSA = MldsaPublicKey.of(_MLDSA)
_OTHER_MLDSA = mldsa_key_from_seed(b"o" * 32)

_BOOT = "00112233445566778899aabbccddeeff"
_SEGMENT, _RECOVERED, _EVENT, _HEARD = (segment_id(bytes([number]) * 16) for number in (1, 2, 3, 4))
_SPAN = TimeSpan(
    boot=_BOOT, start_us=100_000_000, end_us=105_040_000, utc_ms=1_760_000_100_000, quality=ClockQuality.SYNCED
)
_STAMP = Stamp(boot=_BOOT, at_us=90_000_000, utc_ms=1_760_000_090_000, quality=ClockQuality.HELD)
_MEDIA = struct.pack(">I4s", 12, b"ftyp") + b"isom" + struct.pack(">I4s", 12, b"mdat") + b"\0\1\2\3"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _file(name: str, size: int) -> SealedFile:
    return SealedFile(
        size=size, header_size=1000, sha256_header=_hash(name + " header"),
        sha256_payload=_hash(name + " payload"),
    )  # fmt: skip


_CONTEXT = Context(
    kind=Content.SEGMENT, device=DEVICE.id, segment=_SEGMENT, event=_EVENT, ordinal=0, span=_SPAN,
    media_bytes=len(_MEDIA), label="button",
)  # fmt: skip
_SEEN = msgspec.structs.replace(_CONTEXT, seen=(ObjectLabel.PERSON, ObjectLabel.VEHICLE))
_JPEG = bytes.fromhex("ffd8ffdb000401020304ffd9")
_POSTER = msgspec.structs.replace(_CONTEXT, kind=Content.POSTER, media_bytes=len(_JPEG), seen=(ObjectLabel.PERSON,))
_BEGIN = Begin(
    segment=_RECOVERED, event=_EVENT, ordinal=1, boot=_BOOT, start_us=105_040_000, until_us=165_040_000,
    utc_ms=1_760_000_105_040, quality=ClockQuality.SYNCED,
)  # fmt: skip
RECORDS: tuple[Record, ...] = (
    BootRecord(device=DEVICE.id, device_mldsa=MLDSA.text, epoch=1, at=_STAMP),
    SegmentRecord(
        id=_SEGMENT, event=_EVENT, ordinal=0, span=_SPAN, epoch=1, file=_file("segment", 2_500_000),
        key=key_commitment(b"f" * 16), poster=PosterRecord(file=_file("poster", 30_000), key=key_commitment(b"p" * 16)),
        label="button",
    ),
    GapRecord(reason=GapReason.PRIVACY, span=_SPAN),
    RecoveredRecord(begin=_BEGIN, complete=False, file=_file("recovered", 70_000), at=_STAMP),
    EvictionRecord(segments=(_SEGMENT,), reason=EvictionReason.BYTES, at=_STAMP),
    CoverageRecord(span=_SPAN),
    RingRecord(at=_STAMP),
    ClockSync(at=_STAMP),
    SegmentRecord(
        id=_HEARD, event=_EVENT, ordinal=2, span=_SPAN, epoch=1, file=_file("pictures", 2_400_000),
        key=key_commitment(b"g" * 16), sound=SoundRecord(file=_file("sound", 40_000), key=key_commitment(b"s" * 16)),
        silence=SoundGapReason.MICROPHONE, prev_in_clip=_hash("what stands before it"),
    ),
)  # fmt: skip


@cache
def _kept() -> dict[bytes, list[bytes]]:
    """The second signatures in the vectors, by what they sign."""
    found: dict[bytes, list[bytes]] = {}
    for path in (PLACE, *PLACE.glob("bad")):
        for file in sorted(each for each in path.iterdir() if each.name.startswith(("manifest", "chapter"))):
            for line in file.read_bytes().splitlines():
                with suppress(ValueError, FormatError):
                    outer = json.loads(line)
                    if "mldsa" in outer:
                        encoding = pae(PAYLOAD_TYPE, strictjson.decode_base64(outer["payload"]))
                        found.setdefault(encoding, []).append(strictjson.decode_base64(outer["mldsa"]))
    return found


@cache
def _second(encoding: bytes, key: MLDSA44PrivateKey = _MLDSA) -> bytes:
    public = MldsaPublicKey.of(key)
    kept = (each for each in _kept().get(encoding, ()) if public.verifies(each, encoding))
    return next(kept, None) or key.sign(encoding)


def _other_second(encoding: bytes) -> bytes:
    return _second(encoding, _OTHER_MLDSA)


def _written(records: Sequence[Record], second: Callable[[Record], Signer | None] | None = None) -> list[bytes]:
    """Returns the lines of a manifest. `second` makes the second signatures; those of the format by default."""
    lines, tip, signer = [], ChainHead(), LineSigner(_KEY.sign, _second)
    for record in records:
        by_rule = second is None
        signed = signer.sign(record, tip) if by_rule else sign_record(record, tip, _KEY.sign, second(record))
        signer.wrote(signed)
        lines.append(signed.line)
        tip = tip.after(signed)
    return lines


def vectors() -> dict[str, bytes]:
    """Every vector: name → bytes."""
    lines = _written(RECORDS)
    tip = ChainHead(0, len(lines), parse_line(lines[-1]).chain_hash)
    good = {
        "device.pub": DEVICE.text.encode() + b"\n",
        "device.mldsa.pub": MLDSA.text.encode() + b"\n",
        "manifest.0": b"".join(line + b"\n" for line in lines),
        "manifest.1": _second_chapter(lines, tip),
        "plaintext.mp4": _MEDIA + context_box(_CONTEXT),
        "plaintext_seen.mp4": _MEDIA + context_box(_SEEN),
        "poster.jpg": poster_plaintext(_JPEG, _POSTER),
    }
    bad = _defects(lines) | _bad_chapters(lines, tip) | _downgrades()
    return good | {f"bad/{name}": content for name, content in bad.items()}


def tree_of(carried: bytes) -> str:
    """Returns the root over carried lines, as their chapter names it."""
    return root_of(leaf_hash(line) for line in carried.splitlines()).hex()


def _beginning(tip: ChainHead, carried: bytes, **changes: Any) -> SignedRecord:
    said = Carried(size=len(carried), root=tree_of(carried))
    names = {"device": DEVICE.id, "device_mldsa": MLDSA.text}
    values = {"number": 1, "oldest": 1, **names, "at": _STAMP, "carried": said} | changes
    return sign_record(Chapter(**values), tip, _KEY.sign, _second)


def _second_chapter(lines: list[bytes], tip: ChainHead, **changes: Any) -> bytes:
    """Returns a chapter that carries the `clock-sync` and the last, only stored segment, and continues with
    `coverage`."""
    carried = b"".join(line + b"\n" for line in lines[-2:])
    begins = _beginning(tip, carried, **changes)
    coverage = CoverageRecord(span=_SPAN)
    then = sign_record(coverage, ChainHead(0, begins.sequence + 1, begins.chain_hash), _KEY.sign, _second)
    return begins.line + b"\n" + carried + then.line + b"\n"


def _bad_chapters(lines: list[bytes], tip: ChainHead) -> dict[str, bytes]:
    good = _second_chapter(lines, tip).splitlines(keepends=True)
    return {
        "chapter_without_its_record": b"".join(good[1:]),
        "chapter_carried_line_dropped": b"".join(good[:1] + good[2:]),
        "chapter_carried_lines_swapped": b"".join([good[0], good[2], good[1], good[3]]),
        "chapter_carried_line_cut_off_the_end": b"".join(good[:2]),
        "chapter_line_behind_does_not_follow": b"".join([*good[:3], lines[-1] + b"\n"]),
        "chapter_begins_twice": b"".join([*good, good[0]]),
        "chapter_of_another_number": _second_chapter(lines, tip, number=2),
        "chapter_without_its_second_signature": without(good[0]) + b"".join(good[1:]),
    }


def without(line: bytes) -> bytes:
    """Returns the line without its second signature. Its other signature still verifies."""
    outer = json.loads(line)
    del outer["mldsa"]
    return json.dumps(outer, separators=(",", ":")).encode() + line[len(line.rstrip()) :]


def _downgrades() -> dict[str, bytes]:
    """Manifests that a forger of Ed25519 can sign, without the device's second key."""
    boot, coverage = RECORDS[0], CoverageRecord(span=_SPAN)
    early = GapRecord(reason=GapReason.OFF, span=msgspec.structs.replace(_SPAN, end_us=_STAMP.at_us + 3_599_999_999))
    late = GapRecord(reason=GapReason.OFF, span=msgspec.structs.replace(_SPAN, end_us=_STAMP.at_us + 3_600_000_000))
    elsewhere = RingRecord(at=msgspec.structs.replace(_STAMP, boot="0" * 32))
    at_once = RingRecord(at=_STAMP)
    before = RingRecord(at=msgspec.structs.replace(_STAMP, at_us=_STAMP.at_us - 1))
    edge = msgspec.structs.replace(_SPAN, start_us=_STAMP.at_us - 60_000_000, utc_ms=_STAMP.utc_ms - 60_000)
    before_edge = msgspec.structs.replace(edge, start_us=edge.start_us - 1)
    fitting, long = (GapRecord(reason=GapReason.OFF, span=span) for span in (edge, before_edge))
    same_date, another_date = (
        RingRecord(at=msgspec.structs.replace(_STAMP, utc_ms=_STAMP.utc_ms + later_ms)) for later_ms in (60_000, 60_001)
    )
    recovered = RecoveredRecord(begin=_BEGIN, complete=False, file=_file("recovered", 70_000), at=_STAMP)
    own = msgspec.structs.replace(RECORDS[0], device_mldsa=MldsaPublicKey.of(_OTHER_MLDSA).text)

    def once(record: Record) -> Signer | None:
        return _second if isinstance(record, BootRecord) else None

    made = {
        "boot_signed_once": _written([boot], lambda _record: None),
        "coverage_signed_once": _written([boot, coverage], once),
        "line_an_hour_later_signed_once": _written([boot, early, late], once),
        "line_of_another_boot_signed_once": _written([boot, elsewhere], once),
        "line_from_before_signed_once": _written([boot, at_once, before], once),
        "gap_from_before_signed_once": _written([boot, fitting, long], once),
        "line_of_another_date_signed_once": _written([boot, same_date, another_date], once),
        "recovered_signed_once": _written([boot, recovered], once),
        "without_boot_signed_once": _written([early], once),
        "second_signature_by_another_key": _written([boot, coverage], lambda record: once(record) or _other_second),
        "another_second_key_in_its_place": _written([boot, own], lambda _record: _second),
        "everything_by_another_second_key": _written([own, coverage], lambda _record: _other_second),
        "second_signature_of_another_line": [_written([boot])[0], _borrowed(coverage)],
        "second_signature_too_short": [_written([boot], lambda _record: lambda _encoding: bytes(2419))[0]],
    }
    return {f"manifest_{name}": b"".join(line + b"\n" for line in lines) for name, lines in made.items()}


def _borrowed(record: Record) -> bytes:
    """Returns the second line, with the second signature of the first."""
    lines = _written([RECORDS[0], record])
    return lines[1].replace(json.loads(lines[1])["mldsa"].encode(), json.loads(lines[0])["mldsa"].encode())


def _defects(lines: list[bytes]) -> dict[str, bytes]:
    def manifest(*chosen: bytes) -> bytes:
        return b"".join(line + b"\n" for line in chosen)

    payload = json.loads(strictjson.decode_base64(json.loads(lines[0])["payload"]))
    signature = json.loads(lines[0])["sig"]
    box, poster = context_box(_CONTEXT), poster_plaintext(_JPEG, _POSTER)

    def seeing(words: bytes) -> bytes:
        return _MEDIA + struct.pack(">I", len(box) + len(words) + 8) + box[4:-1] + b',"seen":' + words + b"}"

    def context(whole: bytes, old: bytes, new: bytes) -> bytes:
        body = whole[4:].replace(old, new)
        assert body != whole[4:]
        return _MEDIA + struct.pack(">I", len(body) + 4) + body

    def first(changed: dict[str, object] | bytes, sig: str | None = None) -> bytes:
        """Signed by the device unless `sig` says otherwise, so that the defect is the only reason for a refusal."""
        data = changed if isinstance(changed, bytes) else json.dumps(changed, separators=(",", ":")).encode()
        sig = sig or strictjson.encode_base64(_KEY.sign(pae(PAYLOAD_TYPE, data)))
        outer = {
            "mldsa": strictjson.encode_base64(_second(pae(PAYLOAD_TYPE, data))),
            "payload": strictjson.encode_base64(data),
            "sig": sig,
        }
        return manifest(json.dumps(outer, separators=(",", ":")).encode())

    stranger = sign_record(RECORDS[0], ChainHead(), private_key_from_seed(b"s" * 32).sign, _second)
    return {
        "manifest_line_dropped": manifest(*lines[:2], *lines[3:]),
        "manifest_lines_swapped": manifest(lines[0], lines[2], lines[1]),
        "manifest_line_repeated": manifest(lines[0], lines[0]),
        "manifest_first_line_missing": manifest(*lines[1:]),
        "manifest_last_line_cut": manifest(*lines)[:-10],
        "manifest_last_line_feed_missing": manifest(*lines)[:-1],
        "manifest_signed_by_a_stranger": manifest(stranger.line),
        "manifest_signature_of_another_line": first(payload, json.loads(lines[1])["sig"]),
        "manifest_signature_too_short": first(payload, strictjson.encode_base64(bytes(63))),
        "manifest_payload_changed": first({**payload, "seq": 1}, signature),
        "manifest_version_2": first({**payload, "v": 2}),
        "manifest_unknown_kind": first({**payload, "record": {**payload["record"], "kind": "rumour"}}),
        "manifest_unknown_key": first({**payload, "note": "x"}),
        "manifest_duplicate_key": first(b'{"seq":0,' + json.dumps(payload).encode()[1:]),
        "manifest_not_base64": manifest(b'{"payload":"?","sig":"' + signature.encode() + b'"}'),
        "manifest_unknown_outer_key": manifest(lines[0][:-1] + b',"keyid":"x"}'),
        "plaintext_context_missing.mp4": _MEDIA,
        "plaintext_context_cut.mp4": (_MEDIA + box)[:-1],
        "plaintext_context_not_last.mp4": box + _MEDIA,
        "plaintext_context_of_another_type.mp4": _MEDIA + box[:8] + bytes(16) + box[24:],
        "plaintext_media_of_another_length.mp4": _MEDIA + struct.pack(">I4s", 8, b"free") + box,
        "plaintext_without_a_kind.mp4": context(box, b'"kind":"segment",', b""),
        "plaintext_of_an_unknown_kind.mp4": context(box, b'"kind":"segment"', b'"kind":"rumours"'),
        "plaintext_of_a_date_no_clock_has.mp4": context(box, b'"utc_ms":1760000100000', b'"utc_ms":9007199254740991'),
        "plaintext_media_box_to_the_end.mp4": _MEDIA[:12] + bytes(4) + _MEDIA[16:] + box,
        "plaintext_bytes_behind.mp4": _MEDIA + box + b"\0",
        "plaintext_seen_twice.mp4": seeing(b'["person","person"]'),
        "plaintext_seen_in_another_order.mp4": seeing(b'["vehicle","person"]'),
        "plaintext_seen_what_nobody_knows.mp4": seeing(b'["ghost"]'),
        "plaintext_seen_is_no_list.mp4": seeing(b'"person"'),
        "poster_without_a_context.jpg": _JPEG,
        "poster_with_another_comment.jpg": poster.replace(b"doorward context:", b"doorward contexts"),
        "poster_cut_in_its_context.jpg": poster[:100],
        "poster_of_another_length.jpg": poster + b"\0",
        "poster_that_is_no_jpeg.jpg": b"\x89PNG" + poster[4:],
        "plaintext_unknown_context_key.mp4": _MEDIA + struct.pack(">I", len(box) + 8) + box[4:-1] + b',"x":12}',
    }


if __name__ == "__main__":
    for name, content in vectors().items():
        path = PLACE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
