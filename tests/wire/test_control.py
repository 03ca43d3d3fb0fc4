"""Frames of the local talk: what was written is what is read, and a broken or hostile peer costs at most one frame."""

from __future__ import annotations

import io
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import FormatError
from agent.wire import control
from agent.wire.control import (
    Frame,
    decode_approval,
    decode_statement,
    encode_approval,
    encode_statement,
    read_frame,
    split_body,
    write_frame,
)

HEADS = st.dictionaries(st.text(max_size=8), st.integers() | st.text(max_size=8) | st.booleans(), max_size=4)


def framed(head: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">I", len(head)) + head + struct.pack(">I", len(body)) + body


@given(st.lists(st.builds(Frame, HEADS, st.binary(max_size=50)), max_size=3))
def test_what_is_written_is_read_frame_by_frame_to_a_clean_end(frames: list[Frame]) -> None:
    reader = io.BytesIO(b"".join(map(write_frame, frames)))
    assert [read_frame(reader) for _ in frames] == frames
    assert read_frame(reader) is None


@given(st.builds(Frame, HEADS, st.binary(max_size=20)), st.data())
def test_a_frame_cut_short_anywhere_is_refused(frame: Frame, data: st.DataObject) -> None:
    whole = write_frame(frame)
    with pytest.raises(FormatError, match="cut short"):
        read_frame(io.BytesIO(whole[: data.draw(st.integers(1, len(whole) - 1))]))


@given(st.binary(max_size=60))
def test_noise_is_a_frame_or_refused(noise: bytes) -> None:
    try:
        frame = read_frame(io.BytesIO(noise))
    except FormatError:
        return
    assert frame is None or isinstance(frame.head, dict)


@pytest.mark.parametrize("head", [b"", b"{", b"[1]", b"7", b"null", b"\xff\xfe", b"[" * 100_000])
def test_a_head_that_is_no_object_is_refused(head: bytes) -> None:
    with pytest.raises(FormatError, match=r"not (a )?JSON"):
        read_frame(io.BytesIO(framed(head)))


@pytest.mark.parametrize("name", ["MAX_HEAD_BYTES", "MAX_BODY_BYTES"])
def test_each_length_is_bounded_before_anything_is_read_or_written(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = Frame({"k": "0123456789"}, b"0123456789")
    size = len(write_frame(Frame(frame.head))) - 8 if name == "MAX_HEAD_BYTES" else len(frame.body)
    data = write_frame(frame)
    monkeypatch.setattr(control, name, size)
    assert read_frame(io.BytesIO(write_frame(frame))) == frame
    monkeypatch.setattr(control, name, size - 1)
    with pytest.raises(FormatError, match="larger"):
        write_frame(frame)
    with pytest.raises(FormatError, match=f"claims {size} bytes; at most {size - 1}"):
        read_frame(io.BytesIO(data))


@given(st.text("abc{}", max_size=20), st.lists(st.binary(min_size=1, max_size=20), max_size=4))
def test_a_statement_is_kept_with_its_headers(statement: str, headers: list[bytes]) -> None:
    assert decode_statement(encode_statement(statement.encode(), tuple(headers))) == (
        statement.encode(),
        tuple(headers),
    )


@pytest.mark.parametrize(
    "kept",
    [b"", framed(b"{}"), framed(b'{"envelope":7}'), framed('{"envelope":"ü"}'.encode()), framed(b'{"envelope":null}')],
    ids=["nothing", "no envelope", "a number", "beyond ASCII", "null"],
)
def test_what_was_kept_and_holds_no_statement_is_refused(kept: bytes) -> None:
    with pytest.raises(FormatError, match="kept statement"):
        decode_statement(kept)


@pytest.mark.parametrize("sizes", [None, 3, "3", {"3": 3}, [3.0], ["3"], [0, 3], [-1, 4], [2], [4], [1, 1], [True, 2]])
def test_sizes_that_are_none_or_do_not_add_up_are_refused(sizes: Any) -> None:
    with pytest.raises(FormatError, match="sizes"):
        decode_statement(write_frame(Frame({"envelope": "{}", "sizes": sizes}, b"abc")))


def test_a_body_is_split_as_its_sizes_say() -> None:
    assert split_body([1, 2], b"abc") == (b"a", b"bc")
    assert split_body([], b"") == ()
    with pytest.raises(FormatError, match="add up"):
        split_body([], b"abc")


def test_equal_heads_are_equal_bytes_whatever_order_they_were_made_in() -> None:
    assert write_frame(Frame({"a": 1, "op": "look"})) == write_frame(Frame({"op": "look", "a": 1}))


@pytest.mark.parametrize("second", [None, b'{"second":1}'])
@pytest.mark.parametrize("records", [(), (b"one", b"two")])
def test_what_owners_have_shared_is_unpacked_as_it_was_packed(second: bytes | None, records: tuple[bytes, ...]) -> None:
    assert decode_approval(encode_approval(b"{}", second, records)) == (b"{}", second, records)


@pytest.mark.parametrize("data", [b"", write_frame(Frame({})), write_frame(Frame({"approval": "{}", "second": 1}))])
def test_what_is_no_kept_approval_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError, match="no kept approval"):
        decode_approval(data)
