"""A covered picture leaves by no other way: still, clip of the same time, pictures past the end of the record."""

from __future__ import annotations

import io
import json

import av
import numpy as np
import pytest

from agent.clients.opening import open_bytes
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
            with pytest.raises(RequestError, match="holds the time that you cover"):
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
