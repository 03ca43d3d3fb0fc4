"""The note that goes with init and fin."""

from __future__ import annotations

import pytest

from agent.errors import FormatError
from agent.wire import strictjson
from agent.wire.uploads import UPLOAD_NOTE_LIMIT_BYTES, UploadNote

NOTE = UploadNote(v=1, parts=3, size_bytes=70_000, sha256="0f" * 32)


def test_a_note_is_one_line_of_strict_json_within_its_limit() -> None:
    data = strictjson.encode(NOTE)
    assert data == b'{"parts":3,"sha256":"' + b"0f" * 32 + b'","size_bytes":70000,"v":1}'
    assert len(data) <= UPLOAD_NOTE_LIMIT_BYTES
    assert strictjson.decode(data, UploadNote, limit_bytes=UPLOAD_NOTE_LIMIT_BYTES) == NOTE


@pytest.mark.parametrize("wrong", [{"parts": 0}, {"parts": 10**6}, {"size_bytes": 0}, {"sha256": "0F" * 32}, {"v": 2}])
def test_a_note_that_promises_nonsense_is_refused(wrong: dict[str, object]) -> None:
    value = {"v": 1, "parts": 3, "size_bytes": 70_000, "sha256": "0f" * 32} | wrong
    with pytest.raises(FormatError):
        strictjson.decode(repr(value).replace("'", '"').encode(), UploadNote)
