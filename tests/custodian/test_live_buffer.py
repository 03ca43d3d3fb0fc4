"""Live view costs nothing while no owner looks: the recorder waits, and a look wakes it at once."""

from __future__ import annotations

import threading
import time

import pytest

from agent.custodian import live_buffer
from agent.custodian.live_buffer import LiveBuffer, Viewer
from agent.errors import RequestError
from agent.ipc.control_operations import GetLiveGops
from agent.ipc.protocol import LiveViewers


@pytest.fixture(autouse=True)
def _no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_buffer, "_WAIT_S", 0.0)


class Waiting:
    """A recorder that asks for a viewer, in its own thread."""

    def __init__(self, buffer: LiveBuffer) -> None:
        self.answers: list[bool] = []
        self.thread = threading.Thread(target=lambda: self.answers.append(buffer.wait_for_viewer(600).now))
        self.thread.start()
        while not buffer._changed._waiters and not self.answers:  # type: ignore[attr-defined]
            time.sleep(0.001)

    def answer(self) -> bool:
        self.thread.join(60)
        return self.answers[0]


def test_the_recorder_waits_until_an_owner_looks() -> None:
    buffer = LiveBuffer()
    waiting = Waiting(buffer)
    assert waiting.answers == []
    buffer.answer(GetLiveGops(after=0), b"")
    assert waiting.answer() is True


def test_the_recorder_stops_waiting_when_the_custodian_ends() -> None:
    buffer = LiveBuffer()
    waiting = Waiting(buffer)
    assert waiting.answers == []
    buffer.close()
    assert waiting.answer() is False
    buffer.answer(GetLiveGops(after=0), b"")
    assert buffer.wait_for_viewer(600).now is False


@pytest.mark.parametrize(("piece", "pieces", "size"), [(-1, 2, 1), (2, 2, 1), (0, 0, 1), (0, 129, 1), (0, 1, 65_537)])
def test_a_piece_that_no_gop_can_have_is_refused(piece: int, pieces: int, size: int) -> None:
    with pytest.raises(RequestError, match="a few pieces of 64 KiB"):
        LiveBuffer().put(1, piece, pieces, bytes(size), begins=False)


def numbers(buffer: LiveBuffer, after: int = 0) -> list[int]:
    """Returns the numbers of all GOPs on the shelf, question by question as a client asks."""
    found: list[int] = []
    while new := buffer.answer(GetLiveGops(after=after), b"")[0]["numbers"]:
        found += new
        after = new[-1]
    return found


def test_the_largest_gop_is_taken_and_a_new_one_drops_what_was_not_complete() -> None:
    buffer = LiveBuffer()
    for piece in range(128):
        buffer.put(1, piece, 128, bytes([piece]) * 65_536, begins=False)
    buffer.put(2, 0, 2, b"lost", begins=False)
    buffer.put(3, 1, 2, b"end", begins=False)
    buffer.put(3, 0, 2, b"start ", begins=False)
    result, body = buffer.answer(GetLiveGops(after=0), b"")
    assert result == {"numbers": [1], "sizes": [128 * 65_536], "watching": [], "small": False}
    assert body[65_535:65_537] == b"\0\1"
    assert buffer.answer(GetLiveGops(after=1), b"")[1] == b"start end"


def test_the_shelf_holds_sixteen_megabytes_and_drops_the_oldest() -> None:
    buffer = LiveBuffer()
    for number in range(1, 4):
        for piece in range(128):
            buffer.put(number, piece, 128, bytes(65_536), begins=False)
    assert numbers(buffer) == [2, 3]
    buffer.put(4, 0, 1, b"x", begins=False)
    assert numbers(buffer) == [3, 4]
    assert numbers(buffer, 3) == [4]
    assert buffer.answer(GetLiveGops(after=99), b"")[0]["numbers"] == [3], "a client from before a restart"


def test_a_look_counts_for_some_seconds() -> None:
    clock = [1000.0]
    buffer = LiveBuffer(lambda: clock[0])
    assert buffer.wait_for_viewer(0).now is False
    buffer.answer(GetLiveGops(after=0), b"")
    clock[0] += live_buffer._LOOKS_S - 0.01
    assert buffer.wait_for_viewer(0).now is True
    clock[0] += 0.01
    assert buffer.wait_for_viewer(0).now is False


@pytest.mark.parametrize("what", ["a new part", "the end"])
def test_a_viewer_who_waits_is_woken(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    monkeypatch.setattr(live_buffer, "_WAIT_S", 3600.0)
    buffer, shown = LiveBuffer(), []
    viewer = threading.Thread(target=lambda: shown.append(buffer.show(Viewer("s1"), GetLiveGops(after=0))[1]))
    viewer.start()
    while not buffer._changed._waiters:  # type: ignore[attr-defined]
        time.sleep(0.001)
    if what == "the end":
        buffer.close()
    else:
        buffer.put(1, 0, 1, b"part", begins=True)
    viewer.join(60)
    assert shown == [b"" if what == "the end" else b"part"]


def test_nothing_is_shown_any_more_after_the_end() -> None:
    buffer = LiveBuffer()
    buffer.put(1, 0, 1, b"x", begins=False)
    buffer.close()
    assert buffer.answer(GetLiveGops(after=0), b"") == (
        {"numbers": [], "sizes": [], "watching": [], "small": False},
        b"",
    )


def test_a_gop_is_shown_for_ten_seconds() -> None:
    clock = [1000.0]
    buffer = LiveBuffer(lambda: clock[0])
    buffer.put(1, 0, 1, b"old", begins=False)
    clock[0] += 10.0
    buffer.put(2, 0, 1, b"new", begins=False)
    assert numbers(buffer) == [1, 2]
    clock[0] += 0.001
    assert numbers(buffer) == [2]
    clock[0] += 10.0
    assert numbers(buffer) == []


def test_four_thousand_and_ninety_six_parts_are_kept_and_one_answer_has_four_megabytes() -> None:
    buffer = LiveBuffer(lambda: 0.0)
    for number in range(4097):
        buffer.put(number, 0, 1, b"x", begins=False)
    assert buffer.answer(GetLiveGops(after=0), b"")[0]["numbers"] == list(range(2, 4098))
    for number in range(3):
        for piece in range(32):
            buffer.put(5000 + number, piece, 32, bytes(65_536), begins=False)
    answer, body = buffer.answer(GetLiveGops(after=4097), b"")
    assert (answer["numbers"], len(body)) == ([4098, 4099], 4 << 20)


def test_an_altered_recorder_that_changes_the_number_of_pieces_begins_again() -> None:
    buffer = LiveBuffer()
    buffer.put(1, 0, 3, b"a", begins=False)
    buffer.put(1, 0, 2, b"b", begins=False)
    assert numbers(buffer) == []
    buffer.put(1, 1, 2, b"c", begins=False)
    assert buffer.answer(GetLiveGops(after=0), b"")[1] == b"bc"
    buffer.put(1, 0, 2, b"d", begins=False)
    assert numbers(buffer) == [1], "each of the pieces comes again"


def test_a_piece_is_answered_with_whether_somebody_looks() -> None:
    buffer = LiveBuffer()
    assert buffer.put(1, 0, 1, b"x", begins=False).now is False
    buffer.answer(GetLiveGops(after=0), b"")
    assert buffer.put(2, 0, 1, b"x", begins=False).now is True
    buffer.close()
    assert buffer.put(3, 0, 1, b"x", begins=False).now is False


def test_a_second_viewer_joins_at_the_last_keyframe_however_long_ago_that_was() -> None:
    """With a keyframe every 16 s, the second viewer saw nothing for up to 16 s: the keyframe was deleted after ten."""
    clock = [1000.0]
    buffer = LiveBuffer(lambda: clock[0])
    buffer.put(1, 0, 1, b"before", begins=True)
    for number in range(2, 82):  # a GOP of 16 s
        buffer.put(number, 0, 1, b"part", begins=number == 2)
        clock[0] += 0.2
    assert numbers(buffer) == list(range(2, 82)), "all of the newest GOP, and nothing from before it"
    assert numbers(buffer, 80) == [81], "the first viewer goes on where they are"
    buffer.put(82, 0, 1, b"key", begins=True)
    assert numbers(buffer) == [82]
    assert numbers(buffer, 75) == list(range(76, 83)), "a viewer a second behind gets the rest of the GOP before it too"
    clock[0] += 10.001
    assert not buffer.wait_for_viewer(0).now
    assert len(buffer._filmed._parts) == 0, "the camera is off, and no owner looks"


def test_a_viewer_who_is_seconds_behind_goes_on_with_the_newest_keyframe() -> None:
    """Over a slow link, a viewer got all of the old pictures first, and fell further behind."""
    clock = [1000.0]
    buffer = LiveBuffer(lambda: clock[0])
    for number in range(1, 31):
        buffer.put(number, 0, 1, b"part", begins=number % 10 == 1)
        clock[0] += 0.2
    assert numbers(buffer, 12) == list(range(21, 31))
    assert numbers(buffer, 22) == list(range(23, 31)), "no keyframe since: it needs each of these"
    assert numbers(buffer, 29) == [30]


def test_a_gop_whose_keyframe_did_not_fit_is_deleted_by_its_age() -> None:
    clock = [1000.0]
    buffer = LiveBuffer(lambda: clock[0])
    for number in range(1, 5):
        for piece in range(128):
            buffer.put(number, piece, 128, bytes(65_536), begins=number == 1)
    clock[0] += 9.0
    buffer.put(5, 0, 1, b"x", begins=False)
    clock[0] += 2.0
    assert numbers(buffer) == [5]


def test_viewers_are_told_of_the_others_while_these_look() -> None:
    clock = [1000.0]
    buffer = LiveBuffer(lambda: clock[0])

    def others(viewer: Viewer) -> list[str]:
        found: list[str] = buffer.show(viewer, GetLiveGops(after=0))[0]["watching"]
        return found

    phone, tablet, bo = Viewer("s1", "anna"), Viewer("s2", "anna"), Viewer("s3", "bo")
    assert others(phone) == []
    assert others(bo) == ["anna"]
    assert others(tablet) == ["anna", "bo"], "her other browser, too: it may not be in her hand"
    assert buffer.answer(GetLiveGops(after=0), b"")[0]["watching"] == ["anna", "bo"]
    assert others(phone) == ["", "anna", "bo"], "the control socket names no owner"
    clock[0] += live_buffer._LOOKS_S - 0.01
    assert others(phone) == ["", "anna", "bo"]
    clock[0] += 0.01
    assert others(bo) == ["anna"], "the others have left"


def test_the_list_of_viewers_is_bounded_and_more_are_shown_the_door_all_the_same() -> None:
    buffer = LiveBuffer()
    buffer.put(1, 0, 1, b"x", begins=True)
    for number in range(200):
        assert buffer.show(Viewer(str(number), str(number)), GetLiveGops(after=0))[1] == b"x"
    assert len(buffer._viewers) == 64


def test_the_recorder_is_told_which_glance_keys_look_while_they_do() -> None:
    clock = [1000.0]
    buffer = LiveBuffer(lambda: clock[0])
    buffer.show(Viewer("s1", "anna"), GetLiveGops(after=0))
    assert buffer.wait_for_viewer(0) == LiveViewers(True)
    buffer.show(Viewer("link 1", "anna", "age1b"), GetLiveGops(after=0))
    buffer.show(Viewer("link 2", "bo", "age1a"), GetLiveGops(after=0))
    assert buffer.put(1, 0, 1, b"x", begins=True) == LiveViewers(True, ("age1a", "age1b"))
    clock[0] += live_buffer._LOOKS_S
    assert buffer.wait_for_viewer(0) == LiveViewers(False)


class SlowPhone:
    """A viewer with slow answers, while a recorder films 250 kB a second in parts of 25 kB."""

    def __init__(self) -> None:
        self.clock = [1000.0]
        self.buffer = LiveBuffer(lambda: self.clock[0])
        self.viewer = Viewer("link phone", "anna", "age1a")
        self.after, self.small = 0, False
        self.made = 0

    def film(self, seconds: float) -> None:
        for _ in range(round(10 * seconds)):
            self.buffer.put(self.made, 0, 1, bytes(25_000), begins=self.made % 10 == 0)
            self.made += 1
            self.clock[0] += 0.1

    def ask(self) -> tuple[list[int], bytes, bool]:
        answer, body = self.buffer.show(self.viewer, GetLiveGops(self.after, self.small))
        self.after, self.small = max([self.after, *answer["numbers"]]), answer["small"]
        return answer["numbers"], body, answer["small"]

    def fall_behind(self) -> None:
        self.film(0.5)
        assert len(self.ask()[1]) == 125_000
        self.film(1.0)
        assert self.ask() == ([], b"", True)


def test_a_viewer_who_falls_behind_gets_small_pictures_and_the_recorder_hears_of_it() -> None:
    phone = SlowPhone()
    phone.fall_behind()
    assert phone.buffer.wait_for_viewer(0) == LiveViewers(False, ("age1a",), small_kbps=400)
    phone.buffer.put(7, 0, 1, b"small", begins=True, small=True)
    phone.buffer.put(8, 0, 1, b" ones", begins=False, small=True)
    assert phone.ask() == ([16, 17], b"small ones", True)
    phone.buffer.put(9, 0, 1, b" more", begins=False, small=True)
    assert phone.ask() == ([18], b" more", True)
    # Another viewer looks at the filmed pictures meanwhile.
    assert phone.buffer.show(Viewer("tablet", "bo"), GetLiveGops(0))[0]["numbers"] == list(range(11, 16))
    assert phone.buffer.wait_for_viewer(0) == LiveViewers(True, ("age1a",), small_kbps=400)
    assert phone.buffer.answer(GetLiveGops(0), b"")[0]["small"] is False


def test_small_pictures_are_bounded_apart_from_the_others() -> None:
    phone = SlowPhone()
    phone.film(4.0)
    phone.fall_behind()
    for number in range(1, 5):
        for piece in range(16):
            phone.buffer.put(number, piece, 16, bytes([number]) * 65_536, begins=True, small=True)
    held = phone.buffer._small._parts
    assert [(each.sealed[0], len(each.sealed)) for each in held] == [(3, 1 << 20), (4, 1 << 20)]
    assert len(phone.buffer._filmed._parts) > 10, "those of the camera stay"


def test_small_pictures_of_an_earlier_viewer_are_not_shown() -> None:
    phone = SlowPhone()
    phone.buffer.put(1, 0, 1, b"a minute ago", begins=True, small=True)
    phone.film(4.0)
    phone.fall_behind()
    phone.buffer.put(2, 0, 1, b"now", begins=True, small=True)
    assert phone.ask()[1] == b"now"


@pytest.mark.parametrize(("ago_s", "shown"), [(3.0, b"now"), (3.001, b"")])
def test_small_pictures_count_as_those_of_now_for_three_seconds(ago_s: float, shown: bytes) -> None:
    phone = SlowPhone()
    phone.fall_behind()
    phone.small = False
    phone.buffer.put(2, 0, 1, b"now", begins=True, small=True)
    phone.clock[0] += ago_s
    assert phone.ask()[1:] == (shown, True)


def test_a_second_viewer_of_small_pictures_joins_at_their_keyframe() -> None:
    phone = SlowPhone()
    phone.fall_behind()
    for number in range(3):
        phone.buffer.put(number, 0, 1, b"%d" % number, begins=number == 1, small=True)
    other = SlowPhone()
    other.buffer, other.clock, other.viewer = phone.buffer, phone.clock, Viewer("link other")
    other.film(0.5)
    other.ask()
    other.film(1.0)
    for number in range(3, 6):
        phone.buffer.put(number, 0, 1, b"%d" % number, begins=number == 4, small=True)
    assert other.ask()[1:] == (b"45", True)


def test_all_get_the_small_pictures_of_the_slowest_link() -> None:
    phone = SlowPhone()
    phone.fall_behind()
    slower = SlowPhone()
    slower.buffer, slower.clock, slower.viewer = phone.buffer, phone.clock, Viewer("link slower")
    slower.film(0.5)
    slower.ask()
    slower.film(4.0)
    assert slower.ask()[2] is True
    phone.ask()
    assert phone.buffer.wait_for_viewer(0).small_kbps == 100


def test_a_client_on_the_doorbell_itself_is_never_slow() -> None:
    phone = SlowPhone()
    phone.viewer = Viewer("control", is_local=True)
    phone.film(0.5)
    phone.ask()
    phone.film(1.0)
    assert phone.ask()[2] is False
