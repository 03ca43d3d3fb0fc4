"""The page opens footage, in node: an altered doorbell signs what it likes, and the inside of each seal betrays it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.clients.owner.enrolment import enrol
from agent.clients.owner.keys import OwnerKeys
from agent.core.vault.records import PosterRecord, SegmentRecord, SoundRecord
from agent.wire import strictjson
from tests.clients.owner.conftest import NOW_MS, seeds
from tests.clients.owner.fake_device import FakeDevice, Stored
from tests.web.test_the_program import node

pytestmark = pytest.mark.interop

FILM, OTHER, TRACK = (b"\0\0\0\x0cfree%b" % text for text in (b"film", b"past", b"loud"))
MISMATCH = "error.other-record"


@pytest.fixture
def keys(tmp_path: Path) -> OwnerKeys:
    return OwnerKeys.create(tmp_path / "owner", name="anna", seeds=seeds("anna"))


@pytest.fixture
def device(keys: OwnerKeys) -> FakeDevice:
    made = FakeDevice(NOW_MS)
    enrol(made, keys)
    return made


Forgery = Callable[[SegmentRecord, SegmentRecord, Stored, Stored], tuple[dict[str, Any], bytes | None]]
"""Takes the records of the shown segment and of an older one, and both files. Returns the changes of the
forged record, and the bytes under it."""
LIES: dict[str, tuple[str, Forgery]] = {
    "an old film": ("film", lambda _, old, __, past: ({"file": old.file, "key": old.key}, past.sealed)),
    "an old still": ("still", lambda _, old, __, past: ({"poster": old.poster}, past.poster)),
    "an old sound": ("sound", lambda _, old, __, past: ({"sound": old.sound}, past.sound)),
    "the sound as pictures": (
        "film",
        lambda shown, _, now, __: ({"file": sound(shown).file, "key": sound(shown).key}, now.sound),
    ),
    "the pictures as sound": (
        "sound",
        lambda shown, _, now, __: ({"sound": SoundRecord(file=shown.file, key=shown.key)}, now.sealed),
    ),
    "a film under another key": ("film", lambda _, old, now, __: ({"key": old.key}, now.sealed)),
    "a still under another key": (
        "still",
        lambda shown, old, now, _: ({"poster": PosterRecord(file=poster(shown).file, key=old.key)}, now.poster),
    ),
    "a sound under another key": (
        "sound",
        lambda shown, old, now, _: ({"sound": SoundRecord(file=sound(shown).file, key=old.key)}, now.sound),
    ),
    "a film of another time": (
        "film",
        lambda shown, _, now, __: (
            {"span": msgspec.structs.replace(shown.span, utc_ms=(shown.span.utc_ms or 0) - 60_000)},
            now.sealed,
        ),
    ),
}


def poster(record: SegmentRecord) -> PosterRecord:
    assert record.poster is not None
    return record.poster


def sound(record: SegmentRecord) -> SoundRecord:
    assert record.sound is not None
    return record.sound


def opened(tmp_path: Path, keys: OwnerKeys, device: FakeDevice, files: list[dict[str, Any]]) -> dict[str, Any]:
    path = tmp_path / "files.json"
    identity = keys.identity.secret_text()  # type: ignore[union-attr]
    path.write_text(json.dumps({"device": device.key.text, "identity": identity, "files": files}))
    return node("opened.mjs", str(path))


def case(name: str, kind: str, line: bytes, data: bytes | None) -> dict[str, Any]:
    assert data is not None
    return {"name": name, "kind": kind, "record": line.decode(), "data": strictjson.encode_base64(data)}


def test_the_page_opens_a_film_a_still_and_a_sound_only_as_what_they_say_of_themselves(
    device: FakeDevice, keys: OwnerKeys, tmp_path: Path
) -> None:
    past = device.stored[device.record(OTHER, NOW_MS - 60_000, event=1, poster=True, sound=TRACK)]
    shown = device.stored[device.record(FILM, NOW_MS, event=2, poster=True, sound=TRACK)]
    old, record = past.signed.record, shown.signed.record
    assert isinstance(old, SegmentRecord)
    assert isinstance(record, SegmentRecord)
    honest = {"film": shown.sealed, "still": shown.poster, "sound": shown.sound}
    files = [case(f"the {kind}", kind, shown.signed.line, data) for kind, data in honest.items()]
    files.append(case("bytes that were not signed", "film", shown.signed.line, past.sealed))
    for name, (kind, forge) in LIES.items():
        changes, data = forge(record, old, shown, past)
        forged = device._record(msgspec.structs.replace(record, **changes))
        files.append(case(name, kind, forged.line, data))
    found = opened(tmp_path, keys, device, files)
    assert {name: found.pop(name) for name in ("the film", "the still", "the sound")} == {
        "the film": "opened",
        "the still": "opened",
        "the sound": "opened",
    }
    assert found.pop("bytes that were not signed") == "error.other-bytes"
    assert found == dict.fromkeys(LIES, MISMATCH)


def test_the_page_opens_no_footage_of_another_doorbell(device: FakeDevice, keys: OwnerKeys, tmp_path: Path) -> None:
    """A doorbell of the same owner signs a record for the film of the other one."""
    other = FakeDevice(NOW_MS, seed=b"e" * 32)
    other.enrolments = device.enrolments
    stored = other.stored[other.record(FILM, NOW_MS, poster=True, sound=TRACK)]
    forged = device._record(stored.signed.record)
    sealed = {"film": stored.sealed, "still": stored.poster, "sound": stored.sound}
    found = opened(tmp_path, keys, device, [case(kind, kind, forged.line, data) for kind, data in sealed.items()])
    assert found == dict.fromkeys(sealed, MISMATCH)
