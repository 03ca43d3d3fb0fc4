"""Manifest lines and opened segments: FORMAT.md."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

from tests.second_reader.envelope import encoding, mldsa_key, verified, verified_mldsa
from tests.second_reader.json_once import (
    HEX32,
    HEX64,
    KEY_ID,
    V1,
    binary,
    fields,
    integer,
    many,
    matching,
    one_of,
    parse,
    refuse_unless,
)

_ID = matching("[a-z2-7]{25}[aeimquy4]")
_QUALITY = one_of("synced", "held", "unknown")
_NATURAL = integer(0)
_CHAPTER = integer(0, 2**20 - 1)
_UTC_MS = integer(-(2**45), 2**45)
_BOX = bytes.fromhex("6f0c3d1b8a5e4f7c9d24b1e7d3a8c951")
_LIVE_BOX = bytes.fromhex("9a1d4be7c05248f38f6e2d7714c3a05b")


def _label(value: Any) -> Any:
    refuse_unless(type(value) is str and 1 <= len(value) <= 64, "label")
    return value


def _seen(value: Any) -> Any:
    order = ["person", "vehicle", "animal", "parcel"]
    refuse_unless(type(value) is list and value == [each for each in order if each in value], "seen")
    return value


def _span(value: Any) -> Any:
    keys = {"boot": HEX32, "start_us": _NATURAL, "end_us": _NATURAL, "utc_ms": _UTC_MS, "quality": _QUALITY}
    found = fields(value, keys)
    refuse_unless(found["start_us"] <= found["end_us"], "span")
    return found


def _at(value: Any) -> Any:
    return fields(value, {"boot": HEX32, "at_us": _NATURAL, "utc_ms": _UTC_MS, "quality": _QUALITY})


def _file(value: Any) -> Any:
    hashes = dict.fromkeys(("sha256_header", "sha256_payload"), HEX64)
    return fields(value, {"size": _NATURAL, "header_size": _NATURAL, **hashes})


def _poster(value: Any) -> Any:
    return fields(value, {"file": _file, "key": HEX64})


def _sound(value: Any) -> Any:
    return fields(value, {"file": _file, "key": HEX64})


def begin(value: Any) -> Any:
    return fields(
        value,
        {
            "segment": _ID, "event": _ID, "ordinal": _NATURAL, "boot": HEX32, "start_us": _NATURAL,
            "until_us": _NATURAL, "utc_ms": _UTC_MS, "quality": _QUALITY,
        },
        {"v": V1, "label": _label},
    )  # fmt: skip


def _carried(value: Any) -> Any:
    return fields(value, {"size": integer(1, 64 << 20), "root": HEX64})


_KINDS: dict[str, dict[str, Any]] = {
    "segment": {
        "id": _ID, "event": _ID, "ordinal": _NATURAL, "span": _span, "epoch": _NATURAL, "file": _file,
        "key": HEX64,
    },
    "recovered": {"begin": begin, "complete": one_of(True, False), "file": _file, "at": _at},
    "evicted": {
        "segments": many(_ID, 1, 64), "at": _at,
        "reason": one_of("bytes", "age", "floor", "recording", "missing", "owner"),
    },
    "gap": {
        "reason": one_of("switched off", "privacy switch", "camera lost", "camera covered", "storage failed"),
        "span": _span,
    },
    "coverage": {"span": _span},
    "ring": {"at": _at},
    "clock-sync": {"at": _at},
    "boot": {"device": KEY_ID, "device_mldsa": mldsa_key, "epoch": _NATURAL, "at": _at},
    "chapter": {"number": _CHAPTER, "oldest": _CHAPTER, "device": KEY_ID, "device_mldsa": mldsa_key, "at": _at},
}  # fmt: skip
_OPTIONAL: dict[str, dict[str, Any]] = {
    "segment": {
        "poster": _poster,
        "label": _label,
        "sound": _sound,
        "silence": one_of("microphone absent"),
        "prev_in_clip": HEX64,
    },
    "recovered": {"poster_file": _file, "sound_file": _file},
    "chapter": {"carried": _carried},
}


def _record(value: Any) -> Any:
    kind = value.get("kind") if isinstance(value, dict) else None
    refuse_unless(kind in _KINDS, "kind")
    return fields(value, {"kind": one_of(kind), **_KINDS[str(kind)]}, _OPTIONAL.get(str(kind)))


def record(line: bytes, device: bytes) -> dict[str, Any]:
    """Returns the content of one line, without its line feed; signed by `device`. `signed` and `mldsa` are added: what
    a second signature signs, and the second signature, if there is one."""
    outer = fields(parse(line, limit=16_384), {"payload": binary, "sig": binary}, {"mldsa": binary})
    signed = encoding("application/vnd.doorward.manifest-record+json", outer["payload"])
    refuse_unless(verified(device, outer["sig"], signed), "signature")
    refuse_unless(len(outer.get("mldsa", bytes(2420))) == 2420, "length of the second signature")
    payload = parse(outer["payload"], limit=16_384, points_in=())
    found = fields(payload, {"prev": HEX64, "record": _record, "seq": _NATURAL}, {"v": V1})
    return {**found, "signed": signed, "mldsa": outer.get("mldsa")}


class _SecondSignatures:
    """The lines that must have one have it, by the key that the first `boot` or `chapter` names, or by `expected`."""

    def __init__(self, expected: bytes | None) -> None:
        self._key = expected
        self._newest: tuple[str, int, int] | None = None

    def check(self, found: dict[str, Any], *, carried: bool = False) -> None:
        said = found["record"]
        if "device_mldsa" in said:
            self._key = self._key or said["device_mldsa"]
            refuse_unless(said["device_mldsa"] == self._key, "another second key")
        if found["mldsa"] is not None:
            refuse_unless(self._key and verified_mldsa(self._key, found["mldsa"], found["signed"]), "second signature")
        if carried:
            return
        instant = said.get("span") or said["at"]
        boot, at_us = instant["boot"], instant["end_us" if "span" in said else "at_us"]
        began_us = instant["start_us" if "span" in said else "at_us"]
        zero_us = instant["utc_ms"] * 1000 - began_us
        if found["mldsa"] is None:
            refuse_unless(said["kind"] not in ("boot", "chapter", "coverage", "recovered"), "signed once")
            refuse_unless(self._newest is not None, "signed once, and none before it is signed twice")
            assert self._newest is not None
            newest_boot, newest_us, newest_zero_us = self._newest
            refuse_unless(newest_boot == boot, "signed once, in another boot")
            refuse_unless(at_us >= newest_us, "signed once, and ends earlier")
            refuse_unless(began_us >= newest_us - 60_000_000, "signed once, and begins earlier")
            refuse_unless(at_us < newest_us + 3_600_000_000, "signed once, an hour later")
            refuse_unless(abs(zero_us - newest_zero_us) <= 60_000_000, "signed once, of another date")
        else:
            self._newest = (boot, at_us, zero_us)


def read_manifest(chapters: dict[int, bytes], device: bytes, mldsa: bytes | None = None) -> Iterator[dict[str, Any]]:
    """Every record in a chain without a fault, and where carried lines stand, those.  `chapters`: files, by number.

    `mldsa`: the key of the second signatures, if it is known.
    """
    second = _SecondSignatures(mldsa)
    oldest, newest = _range(chapters, device)
    chain: tuple[int, str] | None = None if oldest else (0, "0" * 64)
    for number in range(oldest, newest + 1):
        lines = chapters[number].split(b"\n")
        refuse_unless(lines.pop() == b"", "the last line was being written")
        left, leaves, carried = 0, list[bytes](), {"size": 0}
        for at, line in enumerate(lines):
            found = record(line, device)
            if left:
                left -= len(line) + 1
                leaves.append(hashlib.sha256(b"\0" + line).digest())
                refuse_unless(left > 0 or (left == 0 and _root(leaves).hex() == carried["root"]), "carried lines")
                second.check(found, carried=True)
                yield found["record"]
                continue
            begins = found["record"]["kind"] == "chapter"
            refuse_unless(begins == (at == 0 and number > 0), "a chapter begins with its record")
            if begins:
                refuse_unless(found["record"]["number"] == number >= found["record"]["oldest"], "another chapter")
                chain = chain or (found["seq"], found["prev"])
                carried = found["record"].get("carried", {"size": 0})
                left = carried["size"]
            refuse_unless((found["seq"], found["prev"]) == chain, "does not follow")
            second.check(found)
            leaf = hashlib.sha256(b"\0" + line).digest()
            chain = (found["seq"] + 1, hashlib.sha256(b"\1" + bytes.fromhex(found["prev"]) + leaf).hexdigest())
            yield found["record"]
        refuse_unless(left == 0, "carried lines are missing")


def _root(leaves: list[bytes]) -> bytes:
    """RFC 6962, section 2.1."""
    if len(leaves) == 1:
        return leaves[0]
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\1" + _root(leaves[:half]) + _root(leaves[half:])).digest()


def _range(chapters: dict[int, bytes], device: bytes) -> tuple[int, int]:
    """The oldest chapter that is needed and the newest.  All of them are there."""
    newest = max(chapters)
    first = record(chapters[newest].split(b"\n")[0], device)["record"] if newest else {"oldest": 0}
    refuse_unless("oldest" in first, "a chapter begins with its record")
    oldest = first["oldest"]
    refuse_unless(set(range(oldest, newest)) <= chapters.keys(), "a chapter is missing")
    return oldest, newest


def media_and_context(plaintext: bytes) -> tuple[bytes, dict[str, Any]]:
    """Returns the content of an opened segment."""
    before, body = _before_box(plaintext, _BOX)
    return before, _context(body, len(before))


def live(plaintext: bytes) -> tuple[bytes, bytes, dict[str, Any]]:
    """Returns the pictures, the sound and the context of an opened live GOP."""
    before, body = _before_box(plaintext, _LIVE_BOX)
    context = fields(
        parse(body, limit=1024, points_in=()),
        {"device": KEY_ID, "span": _span},
        {
            "v": V1,
            "continues": one_of(True),
            "sound": lambda value: fields(value, {"size": integer(1), "start_us": _NATURAL}),
        },
    )
    sound_at = len(before) - context.get("sound", {"size": 0})["size"]
    refuse_unless(sound_at >= 0, "more sound than bytes")
    return before[:sound_at], before[sound_at:], context


def _before_box(plaintext: bytes, kind: bytes) -> tuple[bytes, bytes]:
    """Returns the boxes before the last one, and the last one's content, which must be of this kind."""
    at, last = 0, 0
    while at < len(plaintext):
        refuse_unless(at + 8 <= len(plaintext), "a box cut short")
        size = int.from_bytes(plaintext[at : at + 4], "big")
        if size == 1:
            size = int.from_bytes(plaintext[at + 8 : at + 16], "big")
        refuse_unless(size >= 8 and at + size <= len(plaintext), "boxes do not fill it")
        last, at = at, at + size
    box = plaintext[last:]
    refuse_unless(box[4:8] == b"uuid" and box[8:24] == kind, "the last box is another")
    return plaintext[:last], box[24:]


def image_and_context(plaintext: bytes) -> tuple[bytes, dict[str, Any]]:
    """Returns the content of an opened poster."""
    refuse_unless(plaintext[:4] == b"\xff\xd8\xff\xfe", "no comment behind the start of a JPEG")
    end = 4 + int.from_bytes(plaintext[4:6], "big")
    comment = plaintext[6:end]
    refuse_unless(end <= len(plaintext) and comment[:17] == b"doorward context:", "another comment")
    image = plaintext[:2] + plaintext[end:]
    return image, _context(comment[17:], len(image))


def _context(data: bytes, media_bytes: int) -> dict[str, Any]:
    context = fields(
        parse(data, limit=65_536, points_in=()),
        {
            "kind": one_of("segment", "poster", "sound"), "device": KEY_ID, "segment": _ID, "event": _ID,
            "ordinal": _NATURAL, "span": _span, "media_bytes": _NATURAL,
        },
        {"v": V1, "label": _label, "seen": _seen, "redactions": many(_redaction, 1, 64), "exact": one_of(True)},
    )  # fmt: skip
    refuse_unless(context["media_bytes"] == media_bytes, "length")
    refuse_unless("exact" not in context or "redactions" in context, "exact without a list")
    refuse_unless("exact" not in context or context["kind"] == "segment", "only a film is exact")
    if "redactions" in context:
        _check_redactions(context)
    return context


def _place(value: Any) -> list[int]:
    """`[at_ms, left, top, width, height]`: a rectangle within the picture."""
    refuse_unless(isinstance(value, list) and len(value) == 5, "a place has five numbers")
    bounds = ((0, 3_600_000), (0, 9_999), (0, 9_999), (1, 10_000), (1, 10_000))
    numbers = [integer(*bound)(each) for each, bound in zip(value, bounds, strict=True)]
    refuse_unless(numbers[1] + numbers[3] <= 10_000 and numbers[2] + numbers[4] <= 10_000, "beyond the picture")
    return numbers


def _redaction(value: Any) -> dict[str, Any]:
    time = integer(0, 3_600_000)
    found = fields(
        value,
        {"kind": one_of("face", "plate", "area", "voice"), "from_ms": time, "until_ms": time},
        {"places": many(_place, 0, 64)},
    )
    times = [place[0] for place in found.get("places", [])]
    refuse_unless(found["from_ms"] < found["until_ms"], "it ends before it begins")
    refuse_unless(bool(times) == (found["kind"] != "voice"), "places")
    refuse_unless(times == sorted(set(times)), "places out of order")
    refuse_unless(all(found["from_ms"] <= time <= found["until_ms"] for time in times), "a place at another time")
    return found


def _check_redactions(context: dict[str, Any]) -> None:
    refuse_unless(context["kind"] != "poster" and not {"label", "seen"} & set(context), "redactions and more")
    kinds = {each["kind"] == "voice" for each in context["redactions"]}
    refuse_unless(kinds == {context["kind"] == "sound"}, "a voice in a film, or a face in a sound")
    lasts_us = context["span"]["end_us"] - context["span"]["start_us"]
    refuse_unless(all(each["from_ms"] * 1000 <= lasts_us for each in context["redactions"]), "after the end")


def begin_of(stanzas: Sequence[tuple[list[str], bytes]]) -> dict[str, Any]:
    """Returns the part of a sealed segment that the device can read without a key."""
    [body] = [body for arguments, body in stanzas if arguments == ["doorward-begin"]]
    found: dict[str, Any] = begin(parse(body, limit=2048, points_in=()))
    return found
