"""Frames of the local talk: what was written is what is read, and a broken or hostile peer costs at most one frame."""

from __future__ import annotations

import io
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import FormatError
from agent.wire.control import (
    FRAME_LIMITS,
    MAX_BODY_BYTES,
    MAX_HEAD_BYTES,
    Frame,
    FrameLimits,
    decode_approval,
    decode_statement,
    encode_approval,
    encode_statement,
    parse_frame,
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


@pytest.mark.parametrize("part", ["head", "body"])
def test_each_length_is_bounded_before_anything_is_read_or_written(part: str) -> None:
    frame = Frame({"k": "0123456789"}, b"0123456789")
    data = write_frame(frame)
    head, body = len(data) - 8 - len(frame.body), len(frame.body)
    exact = FrameLimits(head, body)
    assert read_frame(io.BytesIO(write_frame(frame, exact)), exact) == frame
    tight, size = (FrameLimits(head - 1, body), head) if part == "head" else (FrameLimits(head, body - 1), body)
    with pytest.raises(FormatError, match=f"{part} of this message is larger"):
        write_frame(frame, tight)
    with pytest.raises(FormatError, match=f"claims {size} bytes; at most {size - 1}"):
        read_frame(io.BytesIO(data), tight)


def test_without_other_limits_those_of_the_control_sockets_answers_hold() -> None:
    assert FrameLimits(MAX_HEAD_BYTES, MAX_BODY_BYTES) == FRAME_LIMITS


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity"])
def test_what_is_no_number_of_json_is_refused(number: bytes) -> None:
    """A comparison with NaN would pass each bound."""
    with pytest.raises(FormatError, match="not JSON"):
        read_frame(io.BytesIO(framed(b'{"patience_s":' + number + b"}")))


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


def test_half_a_surrogate_pair_is_no_text_of_a_head() -> None:
    with pytest.raises(FormatError, match="surrogate"):
        write_frame(Frame({"name": "\ud800"}))
    with pytest.raises(FormatError, match="not JSON"):
        read_frame(io.BytesIO(framed(b'{"name":"\\ud800"}')))


def test_one_whole_frame_is_read_and_nothing_else() -> None:
    frame = Frame({"op": "list"}, b"body")
    assert parse_frame(write_frame(frame)) == frame
    for other in (b"", write_frame(frame) + b"\0", write_frame(frame)[:-1]):
        with pytest.raises(FormatError):
            parse_frame(other)
