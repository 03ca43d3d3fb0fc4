"""An answer of the device that is no live picture is refused before any of it is shown."""

from __future__ import annotations

from typing import Any

import pytest

from agent.clients.opening import X25519Identity
from agent.clients.owner import live_stream
from agent.clients.owner.live_stream import LiveGop, Stream, watch
from agent.core.live import LiveContext, join_part, live_plaintext
from agent.core.timebase import ClockQuality
from agent.core.vault.fields import TimeSpan
from agent.errors import NetworkError, OpenError
from tests.clients.owner.conftest import NOW_MS, Home, now
from tests.clients.owner.fake_device import BOOT
from tests.live_parts import frame_of, key_file, part_of


def gop(
    home: Home,
    media: bytes,
    start_ms: int = 0,
    *,
    quality: ClockQuality = ClockQuality.SYNCED,
    continues: bool = False,
) -> bytes:
    """A live GOP of one second, or a part that continues one, sealed to the owner."""
    span = TimeSpan(
        boot=BOOT,
        start_us=start_ms * 1000,
        end_us=(start_ms + 1000) * 1000,
        utc_ms=NOW_MS - 1000 + start_ms,
        quality=quality,
    )
    context = LiveContext(device=home.device.key.id, span=span, continues=continues)
    recipient = home.keys.identity.recipient()
    return part_of(live_plaintext(media, context), [recipient])


def shows(home: Home, *answers: tuple[dict[str, Any], bytes], small: list[bool] | None = None) -> list[int]:
    """Makes the device give these answers. Returns the number after which each question asks. `small`: whether each
    question asks for small pictures."""
    asked: list[int] = []
    is_small = [] if small is None else small
    left = iter(answers)

    def live(body: bytes, after: int, small: bool) -> dict[str, Any]:
        asked.append(after)
        is_small.append(small)
        return {}

    home.device.on_live = live  # type: ignore[attr-defined]
    home.device.lies["live"] = lambda _, __: next(left)
    return asked


@pytest.mark.parametrize(
    ("numbers", "sizes"),
    [([1], []), ([1, 2], [0]), (["1"], [0]), ([1], ["0"]), ([True], [0]), ([1], [1.0]), ([-1], [0]), ([1], [-1])],
)
def test_an_answer_that_is_no_list_of_sizes_is_refused(home: Home, numbers: list[Any], sizes: list[Any]) -> None:
    shows(home, ({"numbers": numbers, "sizes": sizes}, b""))
    with pytest.raises((OpenError, NetworkError), match=r"is malformed|'live' cannot be used|is incomplete"):
        next(watch(home.device, home.keys, clock=now))


def test_an_answer_that_is_shorter_or_longer_than_its_sizes_is_refused(home: Home, media: list[bytes]) -> None:
    sealed = gop(home, media[0])
    for body in (sealed[:-1], sealed + b"\0"):
        shows(home, ({"numbers": [1], "sizes": [len(sealed)]}, body))
        with pytest.raises(OpenError, match="answer is incomplete"):
            next(watch(home.device, home.keys, clock=now))


def test_each_question_asks_after_the_newest_number_and_an_empty_answer_is_no_end(
    home: Home, media: list[bytes]
) -> None:
    one, two = gop(home, media[0]), gop(home, media[1], 1000)
    both = {"numbers": [4, 7], "sizes": [len(one), len(two)]}
    asked = shows(home, ({"numbers": [], "sizes": []}, b""), (both, one + two), ({"numbers": [], "sizes": []}, b""))
    stream = watch(home.device, home.keys, clock=now)
    assert next(stream) == ()
    assert [(each.media, each.seconds) for each in next(stream)] == [(media[0], 1.0), (media[1], 1.0)]
    assert next(stream) == ()
    assert asked == [0, 0, 7]


def test_a_picture_of_thirty_seconds_ago_is_the_oldest_that_is_shown_as_live(home: Home, media: list[bytes]) -> None:
    sealed = gop(home, media[0])
    answer = ({"numbers": [1], "sizes": [len(sealed)]}, sealed)
    shows(home, answer)
    assert next(watch(home.device, home.keys, clock=lambda: NOW_MS + 30_000))
    shows(home, answer)
    with pytest.raises(OpenError, match="too old"):
        next(watch(home.device, home.keys, clock=lambda: NOW_MS + 30_001))
    doubtful = gop(home, media[0], quality=ClockQuality.UNKNOWN)
    shows(home, ({"numbers": [1], "sizes": [len(doubtful)]}, doubtful))
    assert next(watch(home.device, home.keys, clock=lambda: NOW_MS + 30_001)), "its clock says nothing of its age"


def test_a_picture_is_shown_once_and_never_before_an_earlier_one(home: Home, media: list[bytes]) -> None:
    one, two = gop(home, media[0]), gop(home, media[1], 999)
    shows(home, ({"numbers": [1, 2], "sizes": [len(one), len(two)]}, one + two))
    with pytest.raises(OpenError, match="repeats an old live picture"):
        next(watch(home.device, home.keys, clock=now))


def test_the_newest_gop_that_is_sealed_again_for_a_newcomer_is_skipped(home: Home, media: list[bytes]) -> None:
    """Live view at the command line ended as soon as a phone at the door began to watch."""
    one, two = gop(home, media[0]), gop(home, media[1], 1000)
    numbers, sizes = [1, 2, 3], [len(one), len(one), len(two)]
    shows(home, ({"numbers": numbers, "sizes": sizes}, one + one + two))
    found = next(watch(home.device, home.keys, clock=now))
    assert [each.media for each in found] == media[:2]


def test_a_gop_of_which_a_part_is_missing_is_shown_up_to_there_and_the_next_one_whole(
    home: Home, media: list[bytes]
) -> None:
    """Frames after a missing part do not decode until the next keyframe."""
    stays = [gop(home, media[0]), gop(home, media[1], 1000, continues=True)]
    lost = [gop(home, media[2], start_ms, continues=True) for start_ms in (3000, 4000)]
    following = [gop(home, media[0], 5000), gop(home, media[1], 6000, continues=True)]
    parts = [*stays, *lost, *following]
    shows(home, ({"numbers": list(range(1, 7)), "sizes": [len(each) for each in parts]}, b"".join(parts)))
    found = next(watch(home.device, home.keys, clock=now))
    assert [(each.media, each.continues) for each in found] == [
        (media[0], False), (media[1], True), (media[0], False), (media[1], True),
    ]  # fmt: skip


def test_a_viewer_who_joins_within_a_gop_waits_for_the_next_one(home: Home, media: list[bytes]) -> None:
    parts = [gop(home, media[0], continues=True), gop(home, media[1], 1000, continues=True), gop(home, media[2], 2000)]
    shows(home, ({"numbers": [1, 2, 3], "sizes": [len(each) for each in parts]}, b"".join(parts)))
    found = next(watch(home.device, home.keys, clock=now))
    assert [each.media for each in found] == [media[2]]


def test_the_fragments_of_a_stream_are_numbered_from_one(home: Home, media: list[bytes]) -> None:
    parts = [gop(home, media[number], number * 1000) for number in range(3)]
    shows(home, ({"numbers": [1, 2, 3], "sizes": [len(each) for each in parts]}, b"".join(parts)))
    stream = Stream()
    written = [stream.add(each) for each in next(watch(home.device, home.keys, clock=now))]
    assert [int.from_bytes(data[data.index(b"mfhd") + 8 :][:4]) for data in written] == [1, 2, 3]
    assert [b"ftyp" in data for data in written] == [True, False, False], "one header for all"


def test_a_picture_that_is_sealed_to_another_owner_is_not_shown(home: Home, media: list[bytes]) -> None:
    sealed = part_of(b"x", [X25519Identity(b"x" * 32).recipient()])
    shows(home, ({"numbers": [1], "sizes": [len(sealed)]}, sealed))
    with pytest.raises(OpenError):
        next(watch(home.device, home.keys, clock=now))


def test_small_pictures_may_overlap_the_filmed_ones_where_they_begin_and_end(home: Home, media: list[bytes]) -> None:
    is_small: list[bool] = []
    filmed, small, again = gop(home, media[0]), gop(home, media[1], 500), gop(home, media[0], 1200)
    asked = shows(
        home,
        ({"numbers": [1], "sizes": [len(filmed)], "small": False}, filmed),
        ({"numbers": [], "sizes": [], "small": True}, b""),
        ({"numbers": [2], "sizes": [len(small)], "small": True}, small),
        ({"numbers": [3], "sizes": [len(again)], "small": False}, again),
        small=is_small,
    )
    stream = watch(home.device, home.keys, clock=now)
    found = [each for _ in range(4) for each in next(stream)]
    assert [(each.media, each.small) for each in found] == [(media[0], False), (media[1], True), (media[0], False)]
    assert (asked, is_small) == ([0, 1, 1, 2], [False, False, True, True])


def test_small_pictures_are_no_excuse_to_repeat_old_ones(home: Home, media: list[bytes]) -> None:
    old = gop(home, media[0], quality=ClockQuality.UNKNOWN)
    late = gop(home, media[1], 31_000, quality=ClockQuality.UNKNOWN)
    shows(
        home,
        ({"numbers": [1], "sizes": [len(late)], "small": False}, late),
        ({"numbers": [2], "sizes": [len(old)], "small": True}, old),
    )
    stream = watch(home.device, home.keys, clock=now)
    next(stream)
    with pytest.raises(OpenError, match="repeats an old live picture"):
        next(stream)


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> Stream:
    """A stream of media like `b"header|fragments|tick"`, of which the calls that write them are shown."""
    monkeypatch.setattr(live_stream, "header_of", lambda media: media.split(b"|")[0])
    monkeypatch.setattr(live_stream, "fragments_of", lambda media: media.split(b"|")[1])
    monkeypatch.setattr(live_stream, "tick_of", lambda media: int(media.split(b"|")[2]))
    monkeypatch.setattr(live_stream, "at_tick", lambda data, tick, number: b" %s at %d as %d" % (data, tick, number))
    return Stream()


def shown(media: bytes, start_s: float, *, continues: bool = False) -> LiveGop:
    start_us = round(start_s * 10**6)
    span = TimeSpan(boot=BOOT, start_us=start_us, end_us=start_us + 500_000, utc_ms=NOW_MS, quality=ClockQuality.SYNCED)
    return LiveGop(media, span, continues)


def test_a_player_gets_one_header_and_each_fragment_at_its_time_since_the_first(stream: Stream) -> None:
    ticks = live_stream.TICKS_PER_S
    assert stream.add(shown(b"H|a|3", 100)) == b"H a at 3 as 1"
    assert stream.add(shown(b"none|b|50", 100.5, continues=True)) == b" b at 50 as 2", "counted from its own GOP"
    assert stream.add(shown(b"H|c|0", 102)) == b" c at %d as 3" % (2 * ticks)
    assert stream.add(shown(b"none|d|7", 102.5, continues=True)) == b" d at %d as 4" % (2 * ticks + 7)


def test_another_picture_format_and_another_boot_begin_with_a_header_and_at_zero(stream: Stream) -> None:
    stream.add(shown(b"H|a|0", 100))
    assert stream.add(shown(b"H|b|0", 100)) == b" b at 0 as 2", "the same instant is no earlier one"
    assert stream.add(shown(b"I|c|0", 103)) == b"I c at 0 as 3"
    assert stream.add(shown(b"I|d|0", 104)) == b" d at %d as 4" % live_stream.TICKS_PER_S
    assert stream.add(shown(b"I|e|0", 5)) == b"I e at 0 as 5", "the device was restarted"


def test_a_gop_lasts_as_long_as_its_span() -> None:
    assert shown(b"", 100).seconds == 0.5


def test_a_part_opens_with_the_key_of_its_gop_and_a_newer_key_takes_its_place(home: Home) -> None:
    recipient = home.keys.identity.recipient()
    opener = live_stream.LiveOpener(home.keys.identities)
    with pytest.raises(OpenError, match="came without its key") as refused:
        opener.open(join_part(b"", frame_of(b"lost")))
    assert refused.value.remedy == "Watch again."
    first = key_file([recipient])
    assert opener.open(join_part(first, frame_of(b"one"))) == b"one"
    assert opener.open(join_part(b"", frame_of(b"two", ctr=1))) == b"two"
    key = opener._key
    assert opener.open(join_part(first, frame_of(b"three", ctr=2))) == b"three"
    assert opener._key is key, "a key that is known is not opened again"
    stranger = key_file([X25519Identity(b"x" * 32).recipient()])
    with pytest.raises(OpenError):
        opener.open(join_part(stranger, frame_of(b"x")))
    with pytest.raises(OpenError, match="came without its key"):
        opener.open(join_part(b"", frame_of(b"four", ctr=3)))


def test_a_live_picture_of_another_device_is_refused_with_what_to_do(home: Home, media: list[bytes]) -> None:
    span = TimeSpan(boot=BOOT, start_us=0, end_us=10**6, utc_ms=NOW_MS - 1000, quality=ClockQuality.SYNCED)
    plaintext = live_plaintext(media[0], LiveContext(device="0" * 16, span=span, continues=False))
    sealed = part_of(plaintext, [home.keys.identity.recipient()])
    shows(home, ({"numbers": [1], "sizes": [len(sealed)]}, sealed))
    with pytest.raises(OpenError, match="comes from another device") as refused:
        next(watch(home.device, home.keys, clock=now))
    assert refused.value.remedy == "Inspect the device."


def between(home: Home, media: bytes, start_us: int, end_us: int) -> bytes:
    """A GOP to the microsecond, of a clock that was never set, so its age is not judged."""
    span = TimeSpan(boot=BOOT, start_us=start_us, end_us=end_us, utc_ms=NOW_MS, quality=ClockQuality.UNKNOWN)
    context = LiveContext(device=home.device.key.id, span=span, continues=False)
    return part_of(live_plaintext(media, context), [home.keys.identity.recipient()])


def watched(home: Home, *parts: tuple[bytes, bool]) -> list[bytes]:
    """The films that are shown of these answers, each with one GOP, until one is refused."""
    shows(
        home,
        *(
            ({"numbers": [number], "sizes": [len(part)], "small": small}, part)
            for number, (part, small) in enumerate(parts, 1)
        ),
    )
    stream, shown = watch(home.device, home.keys, clock=now), list[bytes]()
    for _ in parts:
        try:
            shown += [gop.media for gop in next(stream)]
        except OpenError as refused:
            shown.append(str(refused).encode())
            break
    return shown


REPEATED = b"The device repeats an old live picture. Inspect the device."


@pytest.mark.parametrize(("start_us", "again"), [(40_000_000, False), (39_999_999, True)])
def test_a_gop_begins_where_the_one_before_ended_or_later(
    home: Home, media: list[bytes], start_us: int, again: bool
) -> None:
    parts = [(between(home, media[0], 39_000_000, 40_000_000), False)]
    parts += [(between(home, media[1], start_us, 41_000_000), False)]
    assert watched(home, *parts) == [media[0], REPEATED if again else media[1]]


@pytest.mark.parametrize(("start_us", "again"), [(10_000_001, False), (10_000_000, True)])
def test_the_first_small_picture_may_overlap_by_less_than_thirty_seconds_and_only_the_first(
    home: Home, media: list[bytes], start_us: int, again: bool
) -> None:
    filmed = between(home, media[0], 39_000_000, 40_000_000), False
    small = between(home, media[1], start_us, start_us + 500_000), True
    overlaps = between(home, media[2], start_us + 400_000, start_us + 900_000), True
    assert watched(home, filmed, small, overlaps) == [media[0], *([] if again else [media[1]]), REPEATED]
