"""Live view: the newest GOPs, sealed while an owner looks, by the way that everything goes; no way to the camera."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import av
import pytest

from agent.clients.opening import HybridIdentity
from agent.clients.owner.keys import OwnerKeys
from agent.clients.owner.live_stream import LiveGop, LiveOpener, Stream, watch
from agent.clients.owner.sync import sync
from agent.core.live import LiveContext, live_plaintext, pieces_of, split_live, split_part
from agent.core.media import Gop, SoundPacket
from agent.core.segmenting import GopAssembler
from agent.core.timebase import NS_PER_MS, NS_PER_S, BootNs, ClockQuality
from agent.core.vault.fields import TimeSpan
from agent.core.vault.segment import split_media
from agent.custodian.live_buffer import LiveBuffer
from agent.errors import FormatError, OpenError, RequestError
from agent.ipc.control_client import DeviceLink
from agent.ipc.control_operations import GetLiveGops
from agent.ipc.protocol import LiveViewers
from agent.ipc.rpc import Request, read_answer
from agent.platform.system_clock import SystemClock
from agent.ports import Microphone
from agent.recorder.capture.microphone_file import FileMicrophone
from agent.recorder.live_stream import LiveParts
from agent.recorder.live_view import LiveEncoder
from agent.recorder.sound_recorder import RecordedSound
from tests.cameras import assembled, filmed_by_camera
from tests.live_parts import opened_by, part_of
from tests.recorder.test_recorder_and_hardware import House, until
from tests.scenarios.test_sound_goes_where_the_owner_says import beeps
from tests.sounds import noise, packets_of


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.close()


@pytest.fixture
def keys(house: House, tmp_path: Path) -> OwnerKeys:
    return OwnerKeys.load(tmp_path / "owner")


@pytest.fixture
def link(house: House, tmp_path: Path) -> Iterator[DeviceLink]:
    with DeviceLink(tmp_path / "state" / "control.sock") as link:
        yield link


def seen(link: DeviceLink, keys: OwnerKeys, at_least: int) -> list[LiveGop]:
    found: list[LiveGop] = []
    ends_s = time.monotonic() + 20
    for gops in watch(link, keys):
        found += gops
        if len(found) >= at_least:
            break
        assert time.monotonic() < ends_s, "waited in vain"
    return found


def test_an_owner_sees_what_is_filmed_part_by_part_in_a_stream_that_plays(
    house: House, keys: OwnerKeys, link: DeviceLink
) -> None:
    house.film()
    until(lambda: house.solo.recorder.delivering)
    began_us = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000
    gops = seen(link, keys, 20)
    assert house.solo.recorder.status().segments == 0, "nothing has happened, and nothing was stored"
    assert all(0 < gop.seconds < 2.2 for gop in gops)
    assert sum(gop.continues for gop in gops) > len(gops) / 2
    assert sorted(gop.seconds for gop in gops)[len(gops) // 2] < 0.3
    assert all(after.span.start_us >= before.span.end_us for before, after in pairwise(gops))
    assert gops[-1].span.end_us > began_us, "filmed while they look"
    stream = Stream()
    film = b"".join(map(stream.add, gops))
    with av.open(io.BytesIO(film)) as container:
        times = [float(frame.time or 0) for frame in container.decode(video=0)]
    assert len(times) == sum(round(gop.seconds * 20) for gop in gops)
    assert times == sorted(set(times))
    wanted_s = (gops[-1].span.end_us - gops[0].span.start_us) / 1e6
    assert abs(times[-1] - wanted_s) < 0.15


@pytest.mark.parametrize(("b_frames", "longest_s"), [(0, 0.07), (2, 1.1)])
def test_a_part_is_there_soon_after_its_pictures_but_only_as_short_as_their_order_allows(
    b_frames: int, longest_s: float
) -> None:
    _, packets = filmed_by_camera(frames=90, b_frames=b_frames)
    parts, cut = [], LiveParts(NS_PER_S // 15)
    for packet in packets:
        parts += cut.push(packet)
    first, *others = parts
    assert first.begins
    assert first.ends
    lengths_s = [(part.end_ns - part.start_ns) / NS_PER_S for part in others]
    assert max(lengths_s) <= longest_s
    assert min(lengths_s) > 0
    for before, after in pairwise(parts):
        assert abs(after.start_ns - before.end_ns) < NS_PER_MS
    # Nothing is lost, shown twice or shown in another order than it came.
    shown = [packet for part in parts for packet in part.packets]
    assert shown == packets[: len(shown)]
    assert len(packets) - len(shown) <= 15


def test_b_frames_that_begin_in_the_middle_are_skipped_until_the_next_keyframe() -> None:
    _, plain = filmed_by_camera(frames=45)
    _, reordered = filmed_by_camera(frames=45, b_frames=2)
    shift_ns = plain[-1].sensor_ns + NS_PER_S // 15 - reordered[0].sensor_ns
    late = [replace(each, sensor_ns=BootNs(each.sensor_ns + shift_ns)) for each in reordered]
    cut = LiveParts(NS_PER_S // 15)
    parts = [part for packet in [*plain, *late] for part in cut.push(packet)]
    for part in parts:
        if not part.begins:
            times = [packet.sensor_ns for packet in part.packets]
            assert times == sorted(times)
    assert parts[-1].begins
    assert parts[-1].end_ns > late[15].sensor_ns


def test_nothing_is_sealed_while_nobody_looks_and_looking_opens_no_camera(
    house: House, keys: OwnerKeys, link: DeviceLink
) -> None:
    house.film()
    until(lambda: house.solo.recorder.status().frames > 60)
    assert house.solo._recording._live.sealed == 0
    house.solo.recorder.set_privacy_switch(True)
    until(lambda: not house.solo.recorder.delivering)
    looking = watch(link, keys)
    assert [len(next(looking)) for _ in range(2)] == [0, 0]
    assert house.opened == 1
    assert house.solo.recorder.status().state == "privacy"
    house.solo.recorder.set_privacy_switch(False)
    assert seen(link, keys, 1)


def test_what_lies_on_the_shelf_opens_for_the_owners_alone_and_is_no_segment(
    house: House, keys: OwnerKeys, link: DeviceLink
) -> None:
    house.film()
    met = sync(link, keys)
    sealed = b""
    while not sealed:
        answer, body = link.fetch(GetLiveGops(0))
        sealed = body[: answer.sizes[0]] if answer.sizes else b""
    media, sound, context = split_live(LiveOpener([keys.identity]).open(sealed))
    assert media.startswith(b"\0\0\0")
    assert context.device == met.key.id
    assert (sound, context.sound) == (b"", None)
    with pytest.raises(OpenError):
        LiveOpener([HybridIdentity(bytes(32))]).open(sealed)
    with pytest.raises(FormatError):
        split_media(LiveOpener([keys.identity]).open(sealed))


AnswerT = TypeVar("AnswerT")


class Replayed:
    """A link with a device that shows live the GOPs that the test chooses."""

    def __init__(self, link: DeviceLink, sealed: list[bytes]) -> None:
        self._link = link
        self._sealed = sealed

    def ask(self, request: Request[AnswerT], *, body: bytes = b"") -> AnswerT:
        return self._link.ask(request, body=body)

    def fetch(self, request: Request[AnswerT], *, body: bytes = b"") -> tuple[AnswerT, bytes]:
        if not isinstance(request, GetLiveGops):
            return self._link.fetch(request, body=body)
        shown = self._sealed.pop(0)
        head = {"ok": True, "result": {"numbers": [1], "sizes": [len(shown)]}}
        return read_answer(type(request), head), shown


def long_gops(start_s: int, parts: int) -> list[Gop]:
    """A GOP of some seconds, 15 pictures a second, in parts of two."""
    _, packets = filmed_by_camera(frames=30 * parts, gop=30 * parts)
    shifted = [replace(each, sensor_ns=BootNs(each.sensor_ns + start_s * NS_PER_S)) for each in packets]
    found = assembled(shifted, GopAssembler(NS_PER_S // 15))
    assert len(found) == parts
    return found


class Desk:
    """A custodian where a person looks until the maker is stopped."""

    def __init__(self) -> None:
        self.sealed: dict[int, dict[int, bytes]] = {}
        self.beginnings: list[bool] = []
        self.viewers = LiveViewers(True)

    def wait_for_viewer(self, patience_s: float) -> LiveViewers:
        time.sleep(0.01 if patience_s else 0)
        return self.viewers

    def put(
        self, number: int, piece: int, pieces: int, data: bytes, *, begins: bool, small: bool = False
    ) -> LiveViewers:
        del small
        if not piece:
            self.beginnings.append(begins)
        self.sealed.setdefault(number, {})[piece] = data
        return self.viewers


def test_a_long_gop_is_shown_part_by_part_to_who_looks_from_its_middle_on(
    house: House, keys: OwnerKeys, link: DeviceLink
) -> None:
    """Live view stayed dark for as long as a GOP, and for good when one was larger than 4 MiB."""
    description, _ = filmed_by_camera(frames=1)
    maker, desk = LiveEncoder(house.solo.vault, SystemClock(), sync(link, keys).key.id), Desk()
    first, second = long_gops(0, 4), long_gops(8, 4)
    for part in first[:3]:
        maker.push(part, description)
    thread = threading.Thread(target=maker.run, args=(desk,))
    thread.start()
    try:
        until(lambda: len(desk.sealed) == 1)  # three parts that had come already, as one
        for number, part in enumerate([*first[3:], *second], 4):
            maker.push(part, description)
            until(lambda number=number: len(desk.sealed) == number - 2)  # type: ignore[misc]
    finally:
        maker.stop()
        thread.join()
    shown = [b"".join(pieces[at] for at in sorted(pieces)) for _, pieces in sorted(desk.sealed.items())]
    looking = watch(Replayed(link, list(shown)), keys)  # type: ignore[arg-type]
    gops = [gop for _ in shown for gop in next(looking)]
    assert [gop.continues for gop in gops] == [False, True, False, True, True, True]
    stream = Stream()
    with av.open(io.BytesIO(b"".join(map(stream.add, gops)))) as container:
        times = [float(frame.time or 0) for frame in container.decode(video=0)]
    assert times == pytest.approx([number / 15 for number in range(240)], abs=1e-3)
    # A viewer who begins in the middle skips pictures that need earlier ones.
    late = watch(Replayed(link, shown[1:]), keys)  # type: ignore[arg-type]
    with pytest.raises(OpenError, match="without its key"):
        next(late)
    assert len(next(watch(Replayed(link, shown[2:]), keys))) == 1  # type: ignore[arg-type]


def test_what_is_old_or_shown_again_or_another_device_s_is_refused(
    house: House, keys: OwnerKeys, link: DeviceLink
) -> None:
    device = sync(link, keys).key.id
    now_ms = time.time_ns() // 10**6

    def sealed(device: str, start_us: int, utc_ms: int) -> bytes:
        span = TimeSpan(
            boot="0" * 32, start_us=start_us, end_us=start_us + 10**6, utc_ms=utc_ms, quality=ClockQuality.SYNCED
        )
        plaintext = live_plaintext(b"", LiveContext(device=device, span=span))
        return part_of(plaintext, [keys.identity.recipient()])

    good, later = sealed(device, 10**7, now_ms), sealed(device, 2 * 10**7, now_ms)
    for shown, why in (
        ([good, later, good], "repeats an old live picture"),
        ([sealed("0" * 16, 10**7, now_ms)], "another device"),
        ([sealed(device, 10**7, now_ms - 3_600_000)], "is too old"),
    ):
        looking = watch(Replayed(link, shown), keys)  # type: ignore[arg-type]
        for _ in shown[1:]:
            next(looking)
        with pytest.raises(OpenError, match=why):
            next(looking)


def test_the_shelf_is_bounded_takes_only_pieces_of_gops_and_forgets() -> None:
    now_s = 100.0
    shelf = LiveBuffer(monotonic=lambda: now_s)
    assert not shelf.wait_for_viewer(0.0).now
    gop = bytes(6 << 20)
    for number in range(1, 6):
        pieces = pieces_of(gop)
        for each, data in enumerate(pieces):
            shelf.put(number, each, len(pieces), data, begins=False)
    answer, body = shelf.answer(GetLiveGops(after=0), b"")
    assert answer["numbers"] == [4], "an answer has four megabytes, or one GOP"
    assert len(body) == sum(answer["sizes"]) == len(gop)
    assert shelf.answer(GetLiveGops(after=4), b"")[0]["numbers"] == [5]
    small = pieces_of(bytes(1 << 20))
    for number in (6, 7, 8):
        for each, data in enumerate(small):
            shelf.put(number, each, len(small), data, begins=False)
    assert shelf.answer(GetLiveGops(after=5), b"")[0]["numbers"] == [6, 7, 8]
    assert shelf.wait_for_viewer(0.0).now
    for piece, pieces, data in ((1, 1, b"x"), (-1, 1, b"x"), (0, 10_000, b"x"), (0, 1, bytes(1 << 20))):
        with pytest.raises(RequestError):
            shelf.put(9, piece, pieces, data, begins=False)
    for piece, pieces in ((0, 3), (1, 2), (2, 3), (0, 2)):  # of an altered recorder: two counts for one GOP
        shelf.put(10, piece, pieces, b"x", begins=False)
    assert shelf.answer(GetLiveGops(after=8), b"")[0]["numbers"] == []
    now_s += 30
    assert not shelf.wait_for_viewer(0.0).now
    shelf.close()
    assert shelf.answer(GetLiveGops(after=0), b"")[0]["numbers"] == []


def test_who_joins_a_gop_of_sixteen_seconds_gets_it_in_a_few_parts_at_once(
    house: House, keys: OwnerKeys, link: DeviceLink
) -> None:
    """Eighty parts, each sealed separately, were more than the custodian keeps, so that the keyframe was lost."""
    description, packets = filmed_by_camera(frames=240, gop=240)
    cut = LiveParts(NS_PER_S // 15, known_order=True)  # a picture is a part, as after the first GOP
    parts = [part for packet in packets for part in cut.push(packet)]
    assert len(parts) > 64
    maker, desk = LiveEncoder(house.solo.vault, SystemClock(), sync(link, keys).key.id), Desk()
    *kept, newest = parts
    for part in kept:
        maker.push(part, description)
    thread = threading.Thread(target=maker.run, args=(desk,))
    thread.start()
    try:
        until(lambda: bool(desk.sealed))
        maker.push(newest, description)
        until(lambda: len(desk.sealed) == 2)
    finally:
        maker.stop()
        thread.join()
    assert desk.beginnings == [True, False]
    shown = [b"".join(pieces[at] for at in sorted(pieces)) for _, pieces in sorted(desk.sealed.items())]
    looking = watch(Replayed(link, list(shown)), keys)  # type: ignore[arg-type]
    gops = [gop for _ in shown for gop in next(looking)]
    stream = Stream()
    with av.open(io.BytesIO(b"".join(map(stream.add, gops)))) as container:
        times = [float(frame.time or 0) for frame in container.decode(video=0)]
    assert times == pytest.approx([number / 15 for number in range(len(times))], abs=1e-3)
    assert len(times) == sum(len(part.packets) for part in parts)


def test_pictures_that_a_network_camera_had_kept_are_not_shown_again(
    house: House, keys: OwnerKeys, link: DeviceLink
) -> None:
    """A camera that is asked for its stream may begin with a GOP that was shown already."""
    description, packets = filmed_by_camera(frames=60)
    maker = LiveEncoder(house.solo.vault, SystemClock(), sync(link, keys).key.id)
    shown: list[Gop] = []
    maker._filmed.push = lambda gop, _description: shown.append(gop)  # type: ignore[method-assign, assignment]
    for packet in packets[:46]:
        maker.packet(packet, description)
    again = replace(description)
    for packet in packets[15:]:
        maker.packet(packet, again)
    times = [packet.sensor_ns for part in shown for packet in part.packets]
    assert times == sorted(set(times))
    assert max(times) >= packets[45].sensor_ns


class Hearing(House):
    """A `House` with a microphone that hears a tone in the second half of each second."""

    def __init__(self, folder: Path) -> None:
        self.ear = FileMicrophone(beeps(folder / "beeps.wav", 60), paced=True)
        super().__init__(folder)

    def open_microphone(self) -> Microphone:
        return self.ear


@pytest.fixture
def hearing(tmp_path: Path) -> Iterator[Hearing]:
    house = Hearing(tmp_path)
    yield house
    house.close()


def test_sound_comes_sealed_with_the_pictures_and_only_an_owner_hears_it(hearing: Hearing, tmp_path: Path) -> None:
    """A tone as canary: no packet of it is in the custodian's hands, and an owner hears each."""
    keys = OwnerKeys.load(tmp_path / "owner")
    hearing.film()
    with DeviceLink(tmp_path / "state" / "control.sock") as link:
        until(lambda: hearing.solo.recorder.delivering)
        after, opened, given, opener = 0, [], [], LiveOpener([keys.identity])
        ends_s = time.monotonic() + 60
        while sum(context.sound is not None for _, _, context in opened) < 12:
            answer, body = link.fetch(GetLiveGops(after))
            at, after = 0, max((after, *answer.numbers))
            for size in answer.sizes:
                opened.append(split_live(opener.open(body[at : at + size])))
                at += size
            given.append(body)
            assert time.monotonic() < ends_s, "waited in vain"
    listening = hearing.solo.recorder._parts.sound
    assert listening is not None
    heard = tuple(listening._packets)
    sounds = [(sound, context.sound) for _, sound, context in opened if context.sound]
    assert len(sounds) >= 12, "the microphone is on"
    shown_ns: list[int] = []
    for sound, said in sounds:
        for at_ns, data in packets_of(sound) if b"moof" in sound else []:
            assert said is not None
            shown_ns.append(said.start_us * 1000 + at_ns)
            assert any(abs(each.heard_ns - shown_ns[-1]) < NS_PER_MS and each.data == data for each in heard)
    # Each packet once, without a hole.
    assert len(shown_ns) > 20
    assert all(0.9 < (later - earlier) / (1024 * NS_PER_S / 24_000) < 1.1 for earlier, later in pairwise(shown_ns))
    assert shown_ns[0] >= opened[0][2].span.start_us * 1000, "no more is heard than is seen"
    loud = [each.data for each in heard if len(each.data) > 60]
    assert len(loud) > 10
    assert not any(data in body for data in loud for body in given)


def test_the_privacy_switch_ends_the_sound_of_live_view(hearing: Hearing) -> None:
    hearing.film()
    listening = hearing.solo.recorder._parts.sound
    assert listening is not None
    until(lambda: listening.packets > 3)
    assert hearing.solo._recording._live._filmed.hear(0, 2**62) is not None
    hearing.solo.recorder.set_privacy_switch(True)
    until(lambda: not hearing.solo.recorder.delivering)
    assert hearing.solo._recording._live._filmed.hear(0, 2**62) is None


def test_sound_that_is_later_than_its_pictures_comes_with_the_next_part(
    house: House, keys: OwnerKeys, link: DeviceLink
) -> None:
    description, packets = filmed_by_camera(frames=45)
    first, second, third = (
        Gop(tuple(packets[at : at + 15]), BootNs(packets[at].sensor_ns + NS_PER_S)) for at in (0, 15, 30)
    )
    data, form = noise(4)
    start_ns = packets[0].sensor_ns
    have = [
        SoundPacket(each, BootNs(start_ns - NS_PER_S + number * form.packet_ns)) for number, each in enumerate(data)
    ]
    heard_until_ns, ear_is_open = start_ns + NS_PER_S // 2, True

    def hear(after_ns: int, until_ns: int) -> RecordedSound | None:
        found = tuple(each for each in have if after_ns < each.heard_ns < min(until_ns, heard_until_ns))
        return RecordedSound(form, found, None) if ear_is_open else None

    maker, desk = LiveEncoder(house.solo.vault, SystemClock(), sync(link, keys).key.id), Desk()
    maker.listen(hear)
    opener = LiveOpener([keys.identity])

    def sound_of(gop: Gop) -> tuple[int, list[bytes]]:
        """When it begins, µs, and its packets."""
        maker.push(gop, description)
        filmed = maker._filmed.due()
        assert filmed is not None
        maker._filmed.hand_over(filmed, desk)
        pieces = desk.sealed[filmed.number]
        sealed = b"".join(pieces[at] for at in sorted(pieces))
        _, sound, context = split_live(opener.open(sealed))
        if context.sound is None:
            assert not sound
            return 0, []
        return context.sound.start_us, [data for _, data in packets_of(sound)] if b"moof" in sound else []

    def from_to(after_ns: int, until_ns: int) -> list[bytes]:
        return [each.data for each in have if after_ns <= each.heard_ns < until_ns]

    assert sound_of(first)[1] == from_to(start_ns, heard_until_ns)
    late_ns, heard_until_ns = heard_until_ns, start_ns + 10 * NS_PER_S
    begins_us, packets_heard = sound_of(second)
    assert packets_heard == from_to(late_ns, second.end_ns)
    assert begins_us * 1000 < second.start_ns
    ear_is_open = False
    assert sound_of(third) == (0, [])
    # After a pause, sound begins with the pictures again.
    ear_is_open = True
    later = [replace(each, sensor_ns=BootNs(each.sensor_ns + 5 * NS_PER_S)) for each in packets[:15]]
    have = [replace(each, heard_ns=BootNs(each.heard_ns + 4 * NS_PER_S)) for each in have]
    fourth = Gop(tuple(later), BootNs(later[0].sensor_ns + NS_PER_S))
    assert sound_of(fourth)[1] == from_to(fourth.start_ns, fourth.end_ns)
    # A microphone that has heard nothing yet is announced by a header alone.
    have = []
    maker.push(replace(fourth, end_ns=BootNs(fourth.end_ns + 1)), description)
    assert maker._filmed._sound_of(fourth)[1] is not None


def test_a_media_key_lasts_while_the_same_people_look_and_a_new_list_of_owners_gets_another(
    house: House, keys: OwnerKeys, link: DeviceLink
) -> None:
    description, _ = filmed_by_camera(frames=1)
    maker, desk = LiveEncoder(house.solo.vault, SystemClock(), sync(link, keys).key.id), Desk()
    newcomer = HybridIdentity(bytes([3]) * 32)
    gops = [gop for start_s in range(0, 20, 4) for gop in long_gops(start_s, 2)]
    thread = threading.Thread(target=maker.run, args=(desk,))
    thread.start()

    def pushed(count: int) -> list[bytes]:
        for _ in range(count):
            maker.push(gops.pop(0), description)
            until(lambda: maker._filmed._number in desk.sealed)
        return [b"".join(pieces[at] for at in sorted(pieces)) for _, pieces in sorted(desk.sealed.items())]

    try:
        sealed_to = [split_part(each)[0] for each in pushed(4)]
        assert sealed_to[0] == sealed_to[2] != b""
        assert sealed_to[1] == sealed_to[3] == b"", "a part that continues a GOP costs no header"
        house.solo.vault.seal_to((newcomer.recipient(),), house.solo.vault.epoch + 1)
        pushed(2)
        until(lambda: opened_by(keys.identity, pushed(0))[-1] is None)
        assert opened_by(newcomer, pushed(2))[-1] is not None
        desk.viewers = LiveViewers(False)
        until(lambda: maker._filmed.sealer._media_key is None)
    finally:
        maker.stop()
        thread.join()


def test_a_glance_key_opens_live_view_while_it_looks_and_from_the_last_keyframe_on(
    house: House, keys: OwnerKeys, link: DeviceLink
) -> None:
    glance, stranger = (HybridIdentity(bytes([number]) * 32) for number in (1, 2))
    watching, foreign = str(glance.recipient()), str(stranger.recipient())
    description, _ = filmed_by_camera(frames=1)
    maker, desk = LiveEncoder(house.solo.vault, SystemClock(), sync(link, keys).key.id), Desk()
    maker.show_to((watching,))
    parts = long_gops(0, 5)
    thread = threading.Thread(target=maker.run, args=(desk,))
    thread.start()

    def opens(identity: HybridIdentity) -> list[bool]:
        parts = [b"".join(pieces[at] for at in sorted(pieces)) for _, pieces in sorted(desk.sealed.items())]
        return [each is not None for each in opened_by(identity, parts)]

    try:
        for number, part in enumerate(parts[:2], 1):
            maker.push(part, description)
            until(lambda number=number: len(desk.sealed) == number)  # type: ignore[misc]
        assert opens(glance) == [False, False], "nobody looks with it"
        desk.viewers = LiveViewers(True, (foreign, watching))
        until(lambda: opens(glance) == [False, True])  # the newest GOP again, from its keyframe on
        assert desk.beginnings == [True, False, True]
        maker.push(parts[2], description)
        until(lambda: opens(glance) == [False, True, True])
        desk.viewers = LiveViewers(True)
        for number, part in enumerate(parts[3:], 4):
            maker.push(part, description)
            until(lambda number=number: len(desk.sealed) == number)  # type: ignore[misc]
        until(lambda: opens(glance)[3:] == [False, False])  # the newest GOP again, with a key that it lacks
    finally:
        maker.stop()
        thread.join()
    assert not any(opens(stranger)), "the recorder knows no such key"
    assert all(opens(keys.identity))
