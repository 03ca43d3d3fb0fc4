"""A covered picture leaves by no other way: still, clip of the same time, pictures past the end of the record."""

from __future__ import annotations

import io
import json
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest

from agent.clients.opening import open_bytes
from agent.clients.owner import decisions
from agent.clients.owner.decisions import ShareChoice, approve
from agent.clients.owner.redaction import Redactions, read_plan
from agent.clients.owner.review import RequestReview
from agent.core.vault.segment import split_media
from agent.errors import RequestError
from agent.wire.disclosures import PartKind
from agent.wire.statements import Approval
from tests.clients.owner.conftest import REPLY, WINDOW_MS, Home, now, signed_request
from tests.sounds import track


def planned(seen: RequestReview, *entries: dict[str, object]) -> Redactions:
    return read_plan(json.dumps({"redactions": entries}).encode(), seen)


def whole_picture(**named: object) -> dict[str, object]:
    return {"kind": "face", "places": [[0, 0, 0, 100, 100]], **named}


def reviewed(home: Home, number: int, *segments: str) -> RequestReview:
    request = home.device.ask_for(signed_request(id=f"{number:032x}", seq=number + 100), segments)
    return RequestReview.fetch(home.device, home.keys, request, clock=now)


def nothing_left(home: Home) -> bool:
    return not any(isinstance(each, Approval) for each in home.device.statements)


def test_the_still_of_a_clip_that_the_plan_covers_does_not_leave_though_its_film_stays(
    home: Home, media: list[bytes]
) -> None:
    """An owner who covers a face in a clip, and shares only its still beside another clip, would show the face."""
    shown = home.device.record(media[0], WINDOW_MS, event=1, poster=True)
    other = home.device.record(media[1], WINDOW_MS + 60_000, event=2)
    seen = reviewed(home, 1, shown, other)
    clip = next(each for each in seen.clips if each.poster_of is not None)
    plan = planned(seen, whole_picture(clip=1), whole_picture(clip=2))
    with pytest.raises(RequestError, match="poster of clip 1 may show what you cover"):
        approve(home.device, home.keys, seen, ShareChoice((other,), (clip,), redactions=plan), clock=now)
    assert nothing_left(home)


def test_what_is_covered_in_one_film_does_not_leave_in_another_of_the_same_time(home: Home, media: list[bytes]) -> None:
    """With continuous recording a clip and what was recorded between clips hold the same pictures."""
    covered = home.device.record(media[0], WINDOW_MS, event=1)
    beside = home.device.record(media[0], WINDOW_MS + 500, event=2)
    after = home.device.record(media[1], WINDOW_MS + 2500, event=2)
    seen = reviewed(home, 2, covered, beside, after)
    numbers = {each.id: each.number for each in seen.segments}
    plan = planned(seen, whole_picture(segment=numbers[covered]))
    with pytest.raises(RequestError, match=rf"Segment {numbers[beside]} .*segment {numbers[covered]}"):
        approve(home.device, home.keys, seen, ShareChoice((covered, beside), redactions=plan), clock=now)
    assert nothing_left(home)
    both = planned(seen, whole_picture(segment=numbers[covered]), whole_picture(segment=numbers[beside]))
    assert approve(home.device, home.keys, seen, ShareChoice((covered, beside, after), redactions=both), clock=now)


def test_a_film_that_ends_before_the_covered_stretch_leaves_as_recorded(home: Home, media: list[bytes]) -> None:
    before = home.device.record(media[0], WINDOW_MS, event=1)
    covered = home.device.record(media[0], WINDOW_MS + 500, event=2)
    seen = reviewed(home, 7, before, covered)
    numbers, spans = (
        {each.id: each.number for each in seen.segments},
        {each.id: each.record.span for each in seen.segments},
    )
    overlap_s = (spans[before].end_us - spans[covered].start_us) / 1e6
    for begins_s, leaves in ((round(overlap_s - 0.5, 3), False), (round(overlap_s, 3), True)):
        places = [[begins_s, 0, 0, 100, 100]]
        plan = planned(seen, whole_picture(segment=numbers[covered], from_s=begins_s, places=places))
        choice = ShareChoice((before, covered), redactions=plan)
        if leaves:
            assert approve(home.device, home.keys, seen, choice, clock=now)
        else:
            with pytest.raises(RequestError, match="shows the time that you cover"):
                approve(home.device, home.keys, seen, choice, clock=now)


def test_a_still_of_the_time_that_is_covered_in_another_clip_does_not_leave(home: Home, media: list[bytes]) -> None:
    covered = home.device.record(media[0], WINDOW_MS, event=1)
    beside = home.device.record(media[0], WINDOW_MS + 500, event=2, poster=True)
    seen = reviewed(home, 3, covered, beside)
    clip = next(each for each in seen.clips if each.poster_of is not None)
    numbers = {each.id: each.number for each in seen.segments}
    plan = planned(seen, whole_picture(segment=numbers[covered]))
    with pytest.raises(RequestError, match=r"poster of clip \d"):
        approve(home.device, home.keys, seen, ShareChoice((covered,), (clip,), redactions=plan), clock=now)
    assert nothing_left(home)


def test_a_muted_stretch_does_not_leave_in_the_sound_of_another_film(home: Home, media: list[bytes]) -> None:
    muted = home.device.record(media[0], WINDOW_MS, event=1, sound=track(2.0))
    beside = home.device.record(media[0], WINDOW_MS + 500, event=2, sound=track(2.0))
    seen = reviewed(home, 4, muted, beside)
    numbers = {each.id: each.number for each in seen.segments}
    plan = planned(seen, {"segment": numbers[muted], "kind": "voice"})
    with pytest.raises(RequestError, match=rf"sound of segment {numbers[beside]}"):
        approve(home.device, home.keys, seen, ShareChoice((muted, beside), sound=True, redactions=plan), clock=now)
    assert nothing_left(home)
    assert approve(home.device, home.keys, seen, ShareChoice((muted, beside), redactions=plan), clock=now)


def test_a_cover_that_lasts_to_the_end_lasts_longer_than_an_altered_record_says(home: Home, media: list[bytes]) -> None:
    """A recorder that was taken over dates the end of a film too early, so that the owner's cover ends before it."""
    first = home.device.record(media[0], WINDOW_MS, event=1, length_ms=800, sound=track(2.0))
    second = home.device.record(media[1], WINDOW_MS + 2000, event=1)
    seen = reviewed(home, 5, first, second)
    plan = planned(seen, whole_picture(clip=1), {"clip": 1, "kind": "voice"})
    approve(home.device, home.keys, seen, ShareChoice((first, second), sound=True, redactions=plan), clock=now)
    film, _ = split_media(open_bytes(home.device.outbox[PartKind.SEGMENT, first], [REPLY]))
    with av.open(io.BytesIO(film)) as container:
        brightest = [int(frame.to_ndarray(format="gray").max()) for frame in container.decode(video=0)]
    assert len(brightest) == 20
    assert max(brightest) < 30
    sound, _ = split_media(open_bytes(home.device.outbox[PartKind.SOUND, first], [REPLY]))
    with av.open(io.BytesIO(sound)) as container:
        loudest = max(float(np.abs(frame.to_ndarray()).max()) for frame in container.decode(audio=0))
    assert loudest < 0.01


# -- to the microsecond, and word for word -----------------------------------------------------------------------------

SECOND_US = 10**6


def film(number: int, start_us: int, end_us: int, boot: str = "b" * 32, *, is_cut: bool = False) -> Any:
    """A segment of a review, as far as a cover asks for it."""
    span = SimpleNamespace(start_us=start_us, end_us=end_us, boot=boot)
    return SimpleNamespace(
        id=f"film {number}", number=number, record=SimpleNamespace(span=span), is_cut=is_cut, has_sound=True
    )


def hiding(*numbers: int, from_ms: int = 500, until_ms: int = 1500) -> dict[str, tuple[Any, ...]]:
    return {f"film {number}": (SimpleNamespace(from_ms=from_ms, until_ms=until_ms),) for number in numbers}


def refusal(*films: Any, posters: tuple[Any, ...] = (), films_hidden: Any = (), sounds_hidden: Any = ()) -> str | None:
    """Why these films of a review cannot be shared together, the sounds included."""
    redactions = Redactions(dict(films_hidden), dict(sounds_hidden))
    choice = ShareChoice(tuple(each.id for each in films), posters, sound=True, redactions=redactions)
    seen: Any = SimpleNamespace(segments=films)
    try:
        decisions._require_no_other_view(seen, choice, films)
    except RequestError as refused:
        return str(refused)
    return None


@pytest.mark.parametrize(
    ("start_us", "end_us", "leaves"),
    [
        (0, 1_501_000, True),
        (0, 1_501_001, False),
        (2_499_000, 9_000_000, True),
        (2_498_999, 9_000_000, False),
        (1_900_000, 2_000_000, True),
        (1_900_000, 2_000_001, False),
    ],
)
def test_a_film_with_one_picture_of_the_covered_time_does_not_leave(start_us: int, end_us: int, leaves: bool) -> None:
    """Half a second of the covered film until one and a half: on the boot's clock 1.5 to 2.5 s.

    A plan is rounded to milliseconds. A film of a tenth of a second is one that follows the covered one.
    """
    covered, beside = film(1, SECOND_US, 5 * SECOND_US), film(2, start_us, end_us)
    asked = refusal(covered, beside, films_hidden=hiding(1))
    assert asked == (
        None
        if leaves
        else "Segment 2 shows the time that you cover in segment 1. It would leave as recorded. "
        "Name it in the plan as well, or leave it out."
    )
    assert refusal(covered, film(2, start_us, end_us, "another boot"), films_hidden=hiding(1)) is None


@pytest.mark.parametrize(("end_us", "leaves"), [(1_100_000, True), (1_100_001, False)])
def test_the_film_in_front_of_a_covered_one_may_end_within_its_first_picture(end_us: int, leaves: bool) -> None:
    covered = film(2, SECOND_US, 5 * SECOND_US)
    asked = refusal(film(1, 0, end_us), covered, films_hidden=hiding(2, from_ms=0))
    assert (asked is None) is leaves


@pytest.mark.parametrize(
    ("start_us", "end_us", "leaves"),
    [
        (0, 1_200_000, True),
        (0, 1_202_000, False),
        (2_800_000, 4_000_000, True),
        (2_798_000, 4_000_000, False),
    ],
)
def test_a_sound_that_is_heard_into_the_muted_time_does_not_leave(start_us: int, end_us: int, leaves: bool) -> None:
    """Muted from 1.5 to 2.5 s. The last packet of a sound is heard after its film has ended, for up to 0.3 s."""
    asked = refusal(film(1, SECOND_US, 5 * SECOND_US), film(2, start_us, end_us), sounds_hidden=hiding(1))
    assert (asked is None) is leaves


def test_a_muted_word_is_not_heard_at_the_end_of_the_sound_before_it(home: Home, media: list[bytes]) -> None:
    """The last packet of a sound begins within its film, and is heard after it. A whole segment is muted here."""
    before = home.device.record(media[0], WINDOW_MS, event=1, sound=track(2.0))
    muted = home.device.record(media[1], WINDOW_MS + 2000, event=1, sound=track(2.0))
    seen = reviewed(home, 8, before, muted)
    plan = planned(seen, {"segment": 2, "kind": "voice"})
    approve(home.device, home.keys, seen, ShareChoice((before, muted), sound=True, redactions=plan), clock=now)
    sound, context = split_media(open_bytes(home.device.outbox[PartKind.SOUND, before], [REPLY]))
    assert [(each.from_ms, each.until_ms) for each in context.redactions or ()] == [(1700, 2000)]
    with av.open(io.BytesIO(sound)) as container:
        rate_hz = container.streams.audio[0].codec_context.sample_rate
        heard = np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)
    assert np.abs(heard[:, : round(1.6 * rate_hz)]).max() > 0.1
    assert np.abs(heard[:, round(1.8 * rate_hz) :]).max() < 0.01


def test_a_sound_and_a_still_of_the_hidden_time_are_refused_by_their_names() -> None:
    hidden, beside = film(1, 0, 4 * SECOND_US), film(2, 0, 4 * SECOND_US)
    assert refusal(hidden, beside, sounds_hidden=hiding(1)) == (
        "The sound of segment 2 holds the time that you mute in segment 1. It would leave as recorded. "
        "Name it in the plan as well, or leave it out."
    )
    still: Any = SimpleNamespace(number=7, segments=(film(3, 9 * SECOND_US, 10 * SECOND_US), beside))
    assert refusal(hidden, posters=(still,), films_hidden=hiding(1)) == (
        "The poster of clip 7 may show a time that you cover in another clip. Leave the poster out."
    )
    later: Any = SimpleNamespace(number=7, segments=(film(3, 9 * SECOND_US, 10 * SECOND_US),))
    assert refusal(hidden, posters=(later,), films_hidden=hiding(1)) is None


def test_a_cut_film_hides_nothing_because_it_cannot_be_redacted_and_the_next_one_still_does() -> None:
    films = film(1, 0, 4 * SECOND_US, is_cut=True), film(2, 0, 4 * SECOND_US)
    beside = film(3, 0, 4 * SECOND_US)
    assert refusal(films[0], beside, films_hidden=hiding(1)) is None
    assert "in segment 2." in str(refusal(*films, beside, films_hidden=hiding(1, 2)))


def test_an_approval_has_room_for_exactly_what_the_device_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decisions, "MOST_STATEMENT_BYTES", 2_000_000)
    decisions._require_room([bytes(1_000_000)] * 2, exact=True)
    with pytest.raises(RequestError, match="or leave 'exact' out of the plan"):
        decisions._require_room([bytes(1_000_000), bytes(1_000_001)], exact=True)
    with pytest.raises(RequestError) as refused:
        decisions._require_room([bytes(1_000_000), bytes(1_000_001)], exact=False)
    assert str(refused.value) == (
        "The redacted films have 2 MB together, and one approval has room for 2 MB. "
        "Share fewer of the segments that you redact."
    )
