"""The newest GOP that live view and alerts are made of: its borders, its bounds, and the sound that goes with it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from structlog.testing import capture_logs

from agent.clients.opening import X25519Identity, open_bytes
from agent.core import live
from agent.core.live import LiveContext, LiveSound, live_plaintext, read_key, split_part
from agent.core.live_rate import small_picture
from agent.core.media import EncodedPacket, Gop, SoundDescription, SoundPacket, StreamDescription
from agent.core.sframe import FrameKey
from agent.core.timebase import NS_PER_MS, BootNs, seconds
from agent.core.vault.fields import span_between
from agent.errors import FormatError, NetworkError
from agent.ipc.protocol import LiveViewers
from agent.recorder import live_stream
from agent.recorder.live_sealing import LiveSealer
from agent.recorder.live_stream import LivePart, LiveParts, LiveStream, _joined
from agent.recorder.live_view import LiveEncoder
from agent.recorder.sound_recorder import RecordedSound
from tests.fake_disk import FakeDisk
from tests.vaults import OWNER, SEALING, SeededEntropy, TestVault, make_vault

STREAM = StreamDescription(64, 48, 10, 32, 24, live=True)
FRAME_NS = 100 * NS_PER_MS


@pytest.fixture
def tested() -> TestVault:
    return make_vault(FakeDisk())


@pytest.fixture
def maker(tested: TestVault) -> LiveStream:
    return LiveStream(tested.vault, tested.clock, SEALING.device, threading.Condition())


@pytest.fixture
def encoder(tested: TestVault) -> LiveEncoder:
    return LiveEncoder(tested.vault, tested.clock, SEALING.device)


def following(maker: LiveStream, told: int) -> LivePart | None:
    """The next part for who has had those up to number `told`."""
    maker._told = told
    return maker._next()


def again(maker: LiveStream, told: int) -> LivePart | None:
    """The newest GOP for another key, as far as it was handed over."""
    maker._told = told
    return maker._shown_already()


def at(tenth: float) -> BootNs:
    return BootNs(seconds(100) + round(tenth * FRAME_NS))


def part(tenth: float, *, begins: bool = False, length: float = 1, size: int = 1000) -> Gop:
    packet = EncodedPacket(bytes(size), begins, at(tenth))
    return Gop((packet,), at(tenth + length), begins=begins, ends=False)


def spans(maker: LiveStream) -> list[tuple[float, float]]:
    """From and to, in tenths of a second."""
    return [((each.start_ns - at(0)) / FRAME_NS, (each.end_ns - at(0)) / FRAME_NS) for each in maker._newest]


def numbers(maker: LiveStream) -> list[int]:
    return [each.number for each in maker._newest]


def test_a_part_ends_where_the_next_one_begins_though_its_end_was_a_guess(maker: LiveStream) -> None:
    maker.push(part(0, begins=True), STREAM)
    maker.push(part(1.3), STREAM)
    maker.push(part(2.1), STREAM)
    assert spans(maker) == [(0, 1), (1, 2.3), (2.3, 3.1)]


def test_a_keyframe_may_come_a_little_early_and_begins_at_the_guessed_end(maker: LiveStream) -> None:
    maker.push(part(0, begins=True), STREAM)
    maker.push(part(0.5, begins=True), STREAM)
    assert spans(maker) == [(1, 1.5)]
    maker.push(part(5, begins=True), STREAM)
    assert spans(maker) == [(5, 6)], "a keyframe after a pause begins at its own time"
    maker.push(part(4.9, begins=True), STREAM)
    assert spans(maker) == [(4.9, 5.9)], "and one that is a whole picture early is another stream's"


def test_a_part_lasts_at_least_a_microsecond(maker: LiveStream) -> None:
    maker.push(part(0, begins=True), STREAM)
    maker.push(part(0.2, length=0), STREAM)
    (_first, second) = maker._newest
    assert (second.start_ns, second.end_ns) == (at(1), at(1) + 1000)


def test_a_keyframe_takes_the_place_of_all_parts_before_it(maker: LiveStream) -> None:
    for tenth in range(3):
        maker.push(part(tenth, begins=tenth == 0), STREAM)
    maker.push(part(3, begins=True), STREAM)
    assert numbers(maker) == [4]
    assert maker._newest_bytes == 1000


def test_the_newest_gop_is_bounded_by_its_bytes_and_its_parts(
    maker: LiveStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_stream, "_MOST_BYTES", 2500)
    for tenth in range(4):
        maker.push(part(tenth, begins=tenth == 0), STREAM)
    assert numbers(maker) == [3, 4]
    assert maker._newest_bytes == 2000
    maker.push(part(4, size=500), STREAM)
    assert numbers(maker) == [3, 4, 5], "up to its limit"
    maker.push(part(5, size=9000), STREAM)
    assert numbers(maker) == [6], "the newest stays, however large it is"
    monkeypatch.setattr(live_stream, "_MOST_PARTS", 2)
    for tenth in range(6, 9):
        maker.push(part(tenth, size=1), STREAM)
    assert numbers(maker) == [8, 9]


def test_a_picture_of_now_is_the_newest_gop_from_its_keyframe_on(
    encoder: LiveEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert encoder.newest_picture() is None
    encoder.push(part(0, begins=True), STREAM)
    encoder.push(part(1), STREAM)
    newest = encoder.newest_picture()
    assert newest is not None
    assert (len(newest.parts), newest.codec, newest.end_ns, newest.live) == (2, STREAM.codec, at(2), True)
    monkeypatch.setattr(live_stream, "_MOST_BYTES", 1500)
    encoder.push(part(2), STREAM)
    assert encoder.newest_picture() is None, "its beginning is gone"
    encoder.push(part(3, begins=True), replace(STREAM, live=False))
    newest = encoder.newest_picture()
    assert newest is not None
    assert not newest.live
    encoder.forget()
    assert encoder.newest_picture() is None, "the camera is off"


def test_who_looks_gets_what_follows_or_the_newest_gop_and_no_part_without_its_beginning(
    maker: LiveStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert following(maker, 0) is None
    for tenth in range(4):
        maker.push(part(tenth, begins=tenth == 0), STREAM)
    whole = following(maker, 0)
    assert whole is not None
    assert (whole.number, len(whole.gop.packets), whole.gop.begins) == (4, 4, True)
    assert (whole.start_ns, whole.end_ns) == (at(0), at(4))
    rest = following(maker, 2)
    assert rest is not None
    assert (rest.number, len(rest.gop.packets), rest.gop.begins) == (4, 2, False)
    assert following(maker, 4) is None
    monkeypatch.setattr(live_stream, "_MOST_PARTS", 2)
    maker.push(part(4), STREAM)
    assert following(maker, 2) is None, "its part 3 is gone"
    assert following(maker, 3) is not None


def test_parts_that_have_come_already_are_joined_up_to_the_size_of_an_answer(
    maker: LiveStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_stream, "_JOINED_BYTES", 2000)
    for tenth in range(4):
        maker.push(part(tenth, begins=tenth == 0), STREAM)
    found = []
    told = 0
    while told < 4 and (joined := following(maker, told)) is not None:
        found.append(len(joined.gop.packets))
        told = joined.number
    assert found == [2, 2]
    maker.push(part(4, size=5000), STREAM)
    large = following(maker, 4)
    assert large is not None
    assert large.number == 5, "one part is given whatever its size"


def test_for_another_key_the_newest_gop_is_shown_again_up_to_what_was_shown(
    maker: LiveStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert again(maker, 3) is None
    for tenth in range(4):
        maker.push(part(tenth, begins=tenth == 0), STREAM)
    shown = again(maker, 3)
    assert shown is not None
    assert (shown.number, len(shown.gop.packets)) == (3, 3)
    assert again(maker, 0) is None
    monkeypatch.setattr(live_stream, "_MOST_PARTS", 3)
    maker.push(part(4), STREAM)
    assert again(maker, 5) is None, "its beginning is gone"


def test_joined_parts_begin_as_the_first_and_end_as_the_last(maker: LiveStream) -> None:
    maker.push(part(0, begins=True), STREAM)
    maker.push(replace(part(1), ends=True), STREAM)
    joined = _joined(tuple(maker._newest))
    assert (joined.gop.begins, joined.gop.ends, joined.gop.end_ns) == (True, True, at(2))


def test_a_part_without_its_beginning_is_not_shown(maker: LiveStream, tested: TestVault) -> None:
    maker.push(part(0), STREAM)
    with pytest.raises(FormatError, match="without its beginning"):
        maker._media_of(maker._newest[0])
    with pytest.raises(FormatError, match="without its beginning"):
        LiveSealer(tested.vault, SeededEntropy(1)).seal(b"part", begins=False)


class SameSecret:
    def token(self, size_bytes: int) -> bytes:
        return b"\7" * size_bytes


def test_each_key_of_live_view_counts_its_frames_from_nought(tested: TestVault) -> None:
    sealer = LiveSealer(tested.vault, SameSecret())
    secret = b"\7" * 32

    def sealed(plaintext: bytes, *, begins: bool) -> tuple[bytes, bytes]:
        return split_part(sealer.seal(plaintext, begins=begins))

    assert sealer.is_due
    first, frame = sealed(b"one", begins=True)
    assert frame == FrameKey(secret, 1).seal(0, b"one")
    said = open_bytes(first, [OWNER])
    assert (read_key(said).base_key, read_key(said).kid) == (secret, 1)
    assert sealed(b"two", begins=False) == (b"", FrameKey(secret, 1).seal(1, b"two"))
    assert sealed(b"three", begins=True) == (first, FrameKey(secret, 1).seal(2, b"three")), "the same viewers"
    sealer.look({"phone": X25519Identity(b"p" * 32).recipient()})
    assert sealer.is_due
    assert sealed(b"four", begins=False)[1] == FrameKey(secret, 1).seal(3, b"four"), "up to the next keyframe"
    second, frame = sealed(b"five", begins=True)
    assert frame == FrameKey(secret, 2).seal(0, b"five")
    assert open_bytes(second, [X25519Identity(b"p" * 32)]) == open_bytes(second, [OWNER])
    tested.vault.seal_to(tested.vault._sealing.recipients, 2)
    assert sealer.is_due, "another list of owners"
    sealer.seal(b"six", begins=True)
    assert not sealer.is_due
    sealer.forget()
    assert sealer.is_due


# -- the sound ---------------------------------------------------------------------------------------------------------

MONO = SoundDescription(24_000, b"\x13\x08", live=True)


class Heard:
    """A microphone that heard something all the time."""

    def __init__(self, packets: int | None = 10, description: SoundDescription | None = MONO) -> None:
        self.asked: list[tuple[float, float]] = []
        self._count, self._description = packets, description

    def __call__(self, after_ns: int, until_ns: int) -> RecordedSound | None:
        self.asked.append(((after_ns - at(0)) / FRAME_NS, (until_ns - at(0)) / FRAME_NS))
        if self._count is None:
            return None
        step = MONO.packet_ns
        packets = tuple(SoundPacket(b"\x21\x10\x04", BootNs(after_ns + 1 + n * step)) for n in range(self._count))
        return RecordedSound(self._description, packets, None)


def said(maker: LiveStream, gops: Sequence[Gop]) -> list[LiveSound | None]:
    return [maker._sound_of(gop)[1] for gop in gops]


def test_sound_begins_with_the_pictures_and_goes_on_where_it_ended(maker: LiveStream) -> None:
    heard = Heard()
    maker.hear = heard
    first, second = said(maker, [part(10, begins=True), part(11)])
    assert heard.asked[0] == pytest.approx((10, 11), abs=1e-6)
    last_ns = at(10) + 9 * MONO.packet_ns
    assert heard.asked[1] == pytest.approx(((last_ns - at(0)) / FRAME_NS, 12))
    assert first is not None
    assert first.start_us == at(10) // 1000
    assert second is not None
    assert second.start_us == (last_ns + 1) // 1000


def test_after_a_pause_of_the_pictures_sound_begins_again_with_them(maker: LiveStream) -> None:
    heard = Heard()
    maker.hear = heard
    said(maker, [part(10, begins=True), part(30, begins=True), part(51, begins=True), part(40, begins=True)])
    begins = [round(after, 3) for after, _until in heard.asked]
    assert begins[0] == 10
    assert begins[1] < 30, "within two seconds it goes on"
    assert begins[2:] == [51, 40], "after a longer pause, or for an earlier picture, it begins with the picture"


def test_less_sound_than_a_fifth_of_a_second_waits_for_the_next_part(maker: LiveStream) -> None:
    few = seconds(0.2) // MONO.packet_ns
    for count, comes in ((few, False), (few + 1, True)):
        maker.hear = Heard(count)
        assert said(maker, [part(10, begins=True)])[0] is not None, "a GOP begins with its sound"
        assert (said(maker, [part(11)])[0] is not None) is comes


@pytest.mark.parametrize("heard", [Heard(None), Heard(3, None)])
def test_without_a_microphone_there_is_no_sound(maker: LiveStream, heard: Heard) -> None:
    maker.hear = heard
    assert maker._sound_of(part(10, begins=True)) == (b"", None)


def test_a_silent_beginning_is_an_empty_track_at_its_time(maker: LiveStream) -> None:
    maker.hear = Heard(0)
    track, told = maker._sound_of(part(10, begins=True))
    assert told == LiveSound(len(track), at(10) // 1000)


# -- who looks ---------------------------------------------------------------------------------------------------------


def test_only_known_glance_keys_are_sealed_to_and_at_most_eight(
    encoder: LiveEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[str] = []
    monkeypatch.setattr(live_stream, "parse_recipient", lambda text: parsed.append(text) or OWNER.recipient())
    names = tuple(f"key-{number}" for number in range(10))
    encoder.show_to(names)
    looking = LiveViewers(True, ("a stranger", *names))
    assert encoder._look(looking) is looking
    assert sorted(encoder._filmed.sealer.glances) == sorted(names[:8])
    assert len(parsed) == 2 * 8, "once for each of the two streams"
    encoder._look(LiveViewers(True, names[:2]))
    assert list(encoder._filmed.sealer.glances) == list(encoder._small.sealer.glances) == ["key-0", "key-1"]
    assert len(parsed) == 2 * 8, "a key that looks already is not parsed again"


# -- parts of a camera's packets ---------------------------------------------------------------------------------------


def packet(tenth: float, *, keyframe: bool = False) -> EncodedPacket:
    return EncodedPacket(b"x" * 10, keyframe, at(tenth))


def test_from_the_second_gop_on_each_picture_is_a_part_at_once() -> None:
    parts = LiveParts(FRAME_NS)
    for tenth in range(5):
        parts.push(packet(tenth, keyframe=tenth == 0))
    (rest, keyframe) = parts.push(packet(5, keyframe=True))
    assert rest.end_ns == at(5), "the first GOP ends exactly where the second begins"
    assert (keyframe.begins, keyframe.end_ns, len(keyframe.packets)) == (True, at(6), 1)
    (single,) = parts.push(packet(6))
    assert (single.begins, single.ends, single.end_ns) == (False, False, at(7))
    (again,) = parts.push(packet(7, keyframe=True))
    assert again.begins


def test_after_pictures_in_another_order_each_gop_comes_in_long_parts() -> None:
    parts = LiveParts(FRAME_NS)
    parts.push(packet(0, keyframe=True))
    parts.push(packet(2))
    parts.push(packet(1))
    (rest,) = parts.push(packet(3, keyframe=True))
    assert len(rest.packets) == 3
    assert parts.push(packet(4)) == []


def test_a_keyframe_from_before_begins_anew_without_the_rest() -> None:
    parts = LiveParts(FRAME_NS)
    parts.push(packet(5, keyframe=True))
    parts.push(packet(6))
    (keyframe,) = parts.push(packet(2, keyframe=True))
    assert keyframe.begins
    assert keyframe.packets[0].sensor_ns == at(2)


def test_pictures_before_the_first_keyframe_are_no_part() -> None:
    parts = LiveParts(FRAME_NS, known_order=True)
    assert parts.push(packet(0)) == []
    (keyframe,) = parts.push(packet(1, keyframe=True))
    assert (keyframe.begins, keyframe.end_ns) == (True, at(2)), (
        "in a known order the first GOP comes in short parts too"
    )
    assert [part.end_ns for part in parts.push(packet(2))] == [at(3)]


def test_a_keyframe_of_the_same_moment_as_the_picture_before_begins_without_the_rest() -> None:
    parts = LiveParts(FRAME_NS)
    parts.push(packet(0, keyframe=True))
    parts.push(packet(1))
    (keyframe,) = parts.push(packet(1, keyframe=True))
    assert (keyframe.begins, len(keyframe.packets)) == (True, 1)


@pytest.mark.parametrize("tenth", [5, 4])
def test_a_picture_of_an_earlier_moment_ends_the_short_parts_until_the_next_keyframe(tenth: int) -> None:
    parts = LiveParts(FRAME_NS, known_order=True)
    parts.push(packet(0, keyframe=True))
    parts.push(packet(5))
    assert parts.push(packet(tenth)) == []
    assert parts.push(packet(6)) == []
    assert parts.push(packet(10, keyframe=True)) == [], "from here on it comes in long parts"
    (long,) = parts.push(packet(20, keyframe=True))
    assert (len(long.packets), long.end_ns, long.ends) == (1, at(20), True)


# -- from a camera to the viewers --------------------------------------------------------------------------------------


class Viewers:
    """A custodian that notes each piece."""

    def __init__(self) -> None:
        self.pieces: list[tuple[int, int, int, bytes, bool, bool]] = []

    def put(self, number: int, piece: int, pieces: int, data: bytes, *, begins: bool, small: bool) -> LiveViewers:
        self.pieces.append((number, piece, pieces, data, begins, small))
        return LiveViewers(True, (str(len(self.pieces)),))


class Unsealed:
    """In place of the sealer: what would be sealed stays readable."""

    is_due = False
    glances: ClassVar[dict[str, Any]] = {}

    def seal(self, plaintext: bytes, *, begins: bool) -> bytes:
        return (b"keyed:" if begins else b"") + plaintext


class Fragments:
    def __init__(self, _description: StreamDescription) -> None:
        self._count = 0

    def begin(self, gop: Gop) -> bytes:
        return b"film:" + self.add(gop)

    def add(self, gop: Gop) -> bytes:
        return b"".join(each.data for each in gop.packets)


@pytest.fixture
def open_maker(maker: LiveStream, monkeypatch: pytest.MonkeyPatch) -> LiveStream:
    monkeypatch.setattr(live_stream, "FragmentedMp4Writer", Fragments)
    sealer: Any = Unsealed()
    maker.sealer = sealer
    return maker


def test_each_part_is_handed_over_with_its_time_its_place_and_in_pieces(
    open_maker: LiveStream, tested: TestVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "PIECE_BYTES", 200)
    for tenth in range(3):
        open_maker.packet(packet(tenth, keyframe=tenth == 0), replace(STREAM))
    stream = replace(STREAM)
    open_maker._small = True
    for tenth in range(10, 13):
        open_maker.packet(packet(tenth, keyframe=tenth == 10), stream)
    custodian, answers = Viewers(), list[LiveViewers | None]()
    sink: Any = custodian
    first = following(open_maker, 0)
    assert first is not None
    answers.append(open_maker.hand_over(first, sink))
    open_maker.packet(packet(13), stream)
    second = open_maker.due()
    assert second is not None
    answers.append(open_maker.hand_over(second, sink))
    assert open_maker.due() is None
    now, boot = tested.clock.now(), tested.clock.boot_id
    context = LiveContext(
        device=SEALING.device, span=span_between(boot, now.at(at(10)), now.at(at(13))), continues=False, sound=None
    )
    follows = LiveContext(
        device=SEALING.device, span=span_between(boot, now.at(at(13)), now.at(at(14))), continues=True, sound=None
    )
    number = first.number
    whole = b"keyed:" + live_plaintext(b"film:" + b"x" * 30, context)
    rest = live_plaintext(b"x" * 10, follows)
    assert custodian.pieces == [
        (number, 0, 2, whole[:200], True, True),
        (number, 1, 2, whole[200:], True, True),
        (number + 1, 0, 2, rest[:200], False, True),
        (number + 1, 1, 2, rest[200:], False, True),
    ]
    assert answers == [LiveViewers(True, ("2",)), LiveViewers(True, ("4",))], "as the last piece was answered"
    assert open_maker.sealed == 2


def test_a_stream_that_has_begun_is_numbered_from_one(maker: LiveStream) -> None:
    maker.push(part(0, begins=True), STREAM)
    assert (numbers(maker), maker._newest_bytes, maker._told) == ([1], 1000, 0)


def test_parts_without_a_keyframe_are_kept_within_the_same_bytes(maker: LiveStream) -> None:
    maker.push(part(0), STREAM)
    assert maker._newest_bytes == 1000


def test_pictures_that_a_network_camera_had_kept_are_not_shown_again(maker: LiveStream) -> None:
    for tenth in range(3):
        maker.packet(packet(tenth, keyframe=tenth == 0), STREAM)
    maker.packet(packet(3, keyframe=True), STREAM)
    maker.packet(packet(4), STREAM)
    assert numbers(maker) == [2, 3], "the keyframe ended the first GOP, which was number 1"
    again = replace(STREAM)
    for tenth in range(3, 9):
        maker.packet(packet(tenth, keyframe=tenth == 3), again)
    maker.packet(packet(9, keyframe=True), again)
    assert numbers(maker) == [4], "the whole GOP from before was passed over"
    later = replace(STREAM)
    just_after = EncodedPacket(b"x", True, BootNs(at(9) + 1))
    maker.packet(just_after, later)
    maker.packet(packet(20, keyframe=True), later)
    assert numbers(maker) == [6], "a picture from a nanosecond later is new, and so is the next one"


def test_a_keyframe_may_be_up_to_a_tenth_of_a_second_early(maker: LiveStream) -> None:
    for early_ns, start_ns in (
        (1, at(1)),
        (FRAME_NS - 1, at(1)),
        (FRAME_NS, at(0)),
        (0, at(1)),
        (-1, at(1) + 1),
    ):
        maker.push(part(0, begins=True), STREAM)
        keyframe = EncodedPacket(b"x", True, BootNs(at(1) - early_ns))
        maker.push(Gop((keyframe,), at(2), begins=True, ends=False), STREAM)
        assert [each.start_ns for each in maker._newest] == [start_ns]
        maker.push(part(30, begins=True), STREAM)


def test_what_is_new_or_due_again_wakes_the_thread_of_live_view(open_maker: LiveStream) -> None:
    sealer: Any = open_maker.sealer
    assert not open_maker.has_new
    assert open_maker.due() is None
    open_maker.push(part(0, begins=True), STREAM)
    assert open_maker.has_new
    open_maker._told = 1
    assert not open_maker.has_new
    sealer.is_due = True
    assert open_maker.has_new, "for another key, the newest GOP is due again"
    again = open_maker.due()
    assert again is not None
    assert (again.number, again.gop.begins) == (1, True)
    open_maker.push(part(1), STREAM)
    sealer.is_due = False
    new = open_maker.due()
    assert new is not None
    assert (new.number, new.gop.begins) == (2, False)
    open_maker.forget()
    sealer.is_due = True
    assert not open_maker.has_new
    assert open_maker.due() is None


def test_sound_of_exactly_a_fifth_of_a_second_comes_with_its_part(maker: LiveStream) -> None:
    tenths = SoundDescription(8000, b"\x15\x88", live=True, frame_samples=800)
    heard = Heard(2, tenths)
    maker.hear = heard
    said(maker, [part(10, begins=True)])
    assert said(maker, [part(11)])[0] is not None


def test_sound_goes_on_if_a_picture_is_less_than_a_tenth_early_or_less_than_two_seconds_late(maker: LiveStream) -> None:
    for late_ns, goes_on in (
        (1 - FRAME_NS, True),
        (-FRAME_NS, False),
        (2 * 10**9 - 1, True),
        (2 * 10**9, False),
    ):
        heard = Heard(2)
        maker.hear = heard
        said(maker, [part(10, begins=True)])
        keyframe = EncodedPacket(b"x", True, BootNs(at(11) + late_ns))
        said(maker, [Gop((keyframe,), at(40), begins=True, ends=False)])
        assert (round(heard.asked[1][0], 2) == 10.43) is goes_on, "from its last packet on, or with the picture"
        maker._sealed_until_ns = 0


def test_a_silent_part_leaves_the_sound_where_it_was(maker: LiveStream) -> None:
    heard = Heard(0)
    maker.hear = heard
    said(maker, [part(10, begins=True), part(11, begins=True)])
    assert [round(after, 6) for after, _until in heard.asked] == [10, 10]


def test_a_part_that_cannot_be_shown_is_passed_over(maker: LiveStream) -> None:
    class NoSink:
        def put(self, *_piece: object, begins: bool, small: bool) -> LiveViewers:
            raise AssertionError(f"nothing is shown: {begins}, {small}")

    maker.push(part(0), STREAM)
    sink: Any = NoSink()
    assert maker.hand_over(maker._newest[0], sink) is None
    assert (maker.sealed, maker._told) == (0, 1)


# -- the encoder of live view, without its thread ----------------------------------------------------------------------


class Pictures:
    """In place of the small pictures."""

    def __init__(self) -> None:
        self.calls: list[object] = []
        self.packets: list[tuple[EncodedPacket, StreamDescription]] = []
        self.is_waiting = False

    def begin_again(self) -> None:
        self.calls.append("begins again")

    def frame(self, frame: object) -> None:
        self.calls.append(frame)

    def want(self, small: object) -> None:
        self.calls.append(small)

    def encode(self) -> list[tuple[EncodedPacket, StreamDescription]]:
        return self.packets


@pytest.fixture
def pictures(encoder: LiveEncoder) -> Pictures:
    made: Any = Pictures()
    encoder._pictures = made
    return made  # type: ignore[no-any-return]


def test_the_filmed_and_the_small_pictures_are_streams_of_their_own(encoder: LiveEncoder) -> None:
    assert (encoder._filmed._small, encoder._small._small) == (False, True)
    encoder._filmed.sealed, encoder._small.sealed = 3, 4
    assert encoder.sealed == 7
    heard = Heard()
    encoder.listen(heard)
    assert encoder._filmed.hear is encoder._small.hear is heard


def test_a_new_mask_and_the_end_of_the_camera_drop_the_small_picture_that_waits(
    encoder: LiveEncoder, pictures: Pictures
) -> None:
    frame: Any = "a frame"
    encoder.packet(packet(0, keyframe=True), STREAM)
    encoder.frame(frame)
    assert pictures.calls == ["a frame"]
    encoder.packet(replace(packet(1, keyframe=True), masked_anew=True), STREAM)
    assert pictures.calls == ["a frame", "begins again"]
    encoder.push(part(2, begins=True), STREAM)
    encoder._small.push(part(2, begins=True), STREAM)
    encoder.forget()
    assert pictures.calls == ["a frame", "begins again", "begins again"]
    assert (encoder._filmed.newest(), encoder._small.newest()) == ((), ())


@pytest.mark.parametrize(
    ("now", "small_kbps", "names"),
    [(False, 0, []), (True, 0, ["filmed"]), (False, 400, ["small"]), (True, 1, ["filmed", "small"])],
)
def test_a_stream_is_sealed_while_a_person_looks_at_it_and_forgets_its_key_otherwise(
    encoder: LiveEncoder, pictures: Pictures, now: bool, small_kbps: int, names: list[str]
) -> None:
    streams = {"filmed": encoder._filmed, "small": encoder._small}
    looking = LiveViewers(now, small_kbps=small_kbps)
    assert list(encoder._watched(looking)) == [streams[name] for name in names]
    forgotten: list[str] = []
    for name, stream in streams.items():
        stream.sealer.forget = lambda name=name: forgotten.append(name)  # type: ignore[method-assign, misc]
        stream.push(part(0, begins=True), STREAM)
    assert encoder._look(looking) is looking
    assert encoder.is_watched is bool(names)
    assert forgotten == [name for name in streams if name not in names]
    assert pictures.calls == [small_picture(small_kbps) if small_kbps else None]
    assert bool(encoder._small.newest()) is ("small" in names), "the next viewer gets no picture of earlier"
    assert encoder._filmed.newest()


def test_a_turn_hands_over_what_each_stream_has_and_asks_who_looks_if_there_was_nothing(
    encoder: LiveEncoder, pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[tuple[bool, float | None]] = []

    def wait_for(predicate: Any, timeout_s: float | None = None) -> bool:
        waited.append((bool(predicate()), timeout_s))
        return True

    monkeypatch.setattr(encoder._changed, "wait_for", wait_for)
    monkeypatch.setattr(live_stream, "FragmentedMp4Writer", Fragments)
    sealer: Any = Unsealed()
    encoder._filmed.sealer = encoder._small.sealer = sealer
    both, nobody = LiveViewers(True, small_kbps=400), LiveViewers(False)
    custodian: Any = Viewers()
    custodian.wait_for_viewer = lambda patience_s: nobody if patience_s == 0.0 else both
    assert encoder._turn(both, custodian) is nobody, "nothing was handed over"
    assert waited == [(False, 2.0)]
    pictures.packets = [(packet(5, keyframe=True), replace(STREAM, width_px=32))]
    encoder.push(part(0, begins=True), STREAM)
    assert encoder._turn(both, custodian) == LiveViewers(True, ("2",)), "as the last piece was answered"
    assert [(begins, small) for *_, begins, small in custodian.pieces] == [(True, False), (True, True)]
    assert waited[1:] == [(True, 2.0)]
    pictures.packets, pictures.is_waiting = [], True
    encoder._turn(LiveViewers(False), custodian)
    assert waited[2:] == [(True, 2.0)], "a small picture waits"


def test_without_a_custodian_live_view_waits_five_seconds_and_asks_again(
    encoder: LiveEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[tuple[bool, float | None]] = []

    def wait_for(predicate: Any, timeout_s: float | None = None) -> bool:
        waited.append((bool(predicate()), timeout_s))
        return True

    asked: list[float] = []

    def wait_for_viewer(patience_s: float) -> LiveViewers:
        asked.append(patience_s)
        watched.append(encoder.is_watched)
        if len(asked) == 2:
            encoder.stop()
            return LiveViewers(True)
        raise NetworkError("The custodian does not answer.")

    monkeypatch.setattr(encoder._changed, "wait_for", wait_for)
    sink: Any = SimpleNamespace(wait_for_viewer=wait_for_viewer)
    watched: list[bool] = []
    encoder._look(LiveViewers(True))
    with capture_logs() as lines:
        encoder.run(sink)
    assert asked == [2.0, 2.0]
    assert waited == [(False, 5.0)]
    assert watched == [True, False], "while the custodian is away nothing is shown"
    assert [line["event"] for line in lines] == ["not_shown_live"]
