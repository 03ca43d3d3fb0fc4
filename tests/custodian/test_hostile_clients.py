"""The operations of the control socket: a hostile client of the right user gets an answer or an error of ours."""

from __future__ import annotations

import contextlib
import io

import pytest

from agent.custodian.control_handler import Control
from agent.errors import DoorwardError, RequestError
from agent.wire.control import MAX_HEAD_BYTES, Frame, read_frame, write_frame
from tests.custodians import Door
from tests.wire import samples

VALUES = (None, True, 0, -1, 1.5, 2**70, "", "x", "\ud800", "a" * 26, "00" * 16, [], {}, ["x"], {"anna": "zz"})
FIELDS = ("envelope", "name", "tokens", "id", "from_ms", "to_ms", "sizes", "old_size", "start", "end", "all")


def test_nothing_a_client_can_say_is_anything_but_an_answer_or_an_error_of_ours() -> None:
    door = Door.enrolled()
    control: Control = door.custodian.control
    before = door.kinds()
    for operation in control._operations:
        for value in VALUES:
            frame = Frame({"op": operation, **dict.fromkeys(FIELDS, value)}, b"body")
            with contextlib.suppress(DoorwardError):
                assert read_frame_of(write_frame(control.answer(frame))).head["ok"] is True
    assert door.kinds() == before
    door.close()


def read_frame_of(data: bytes) -> Frame:
    frame = read_frame(io.BytesIO(data))
    assert frame is not None
    return frame


@pytest.mark.parametrize("op", [None, 7, ["device"], "\ud800", "Device"])
def test_an_operation_it_does_not_know_is_refused_in_words(op: object) -> None:
    door = Door()
    with pytest.raises(RequestError, match="does not know that operation"):
        door.custodian.control.answer(Frame({"op": op}))
    door.close()


def test_the_largest_match_set_fits_into_an_answer() -> None:
    door = Door.enrolled()
    first_s = samples.request().from_s
    for number in range(1400):
        door.vault.keep(first_s + number, 1)
    asked = door.ask(from_s=first_s, to_s=first_s + 1500)
    answer = door.custodian.control.answer(Frame({"op": "request", "id": asked.id}))
    assert len(answer.head["result"]["segments"]) == 1403
    assert len(write_frame(answer)) / 1403 * 9000 < MAX_HEAD_BYTES
    door.close()
