"""The list of redactions: what it can say, where a cover is at each instant, and that it never covers less."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.timebase import ClockQuality
from agent.core.vault.fields import TimeSpan
from agent.core.vault.redactions import (
    BLOCK_PX,
    WHOLE,
    Place,
    Redaction,
    RedactionKind,
    covered_pixels,
    place_at,
    places_within,
)
from agent.core.vault.segment import Content, Context
from agent.errors import FormatError
from agent.wire import strictjson

FACE = RedactionKind.FACE


def place(at_ms: int = 0, left: int = 1000, top: int = 1000, width: int = 2000, height: int = 3000) -> Place:
    return Place(at_ms=at_ms, left=left, top=top, width=width, height=height)


def redaction(*places: Place, kind: RedactionKind = FACE, from_ms: int = 0, until_ms: int = 5000) -> Redaction:
    return Redaction(kind=kind, from_ms=from_ms, until_ms=until_ms, places=places)


VOICE = redaction(kind=RedactionKind.VOICE)


def test_a_cover_stays_before_its_first_place_and_after_its_last_one() -> None:
    moving = redaction(place(1000), place(2000, left=3000))
    assert place_at(moving, 0) == place(0)
    assert place_at(moving, 1000) == place(1000)
    assert place_at(moving, 4000) == place(4000, left=3000)


def test_a_cover_moves_in_a_straight_line_and_is_rounded_outwards() -> None:
    moving = redaction(place(0, left=0, width=100), place(3000, left=100, width=101))
    assert place_at(moving, 1000) == place(1000, left=33, width=101)
    back = redaction(place(0, top=100, height=100), place(3000, top=0, height=100))
    assert place_at(back, 1000) == place(1000, top=66, height=101)


def test_a_stretch_of_a_cover_is_the_same_cover() -> None:
    moving = redaction(place(0), place(2000, left=3000), place(4000, left=5000))
    assert places_within(moving, 1000, 3000) == (place(1000, left=2000), place(2000, left=3000), place(3000, left=4000))


@given(left=st.integers(0, WHOLE - 1), width=st.integers(1, WHOLE), size_px=st.integers(2, 4096))
def test_a_cover_fills_whole_blocks_and_never_less_than_its_rectangle(left: int, width: int, size_px: int) -> None:
    width = min(width, WHOLE - left)
    begin, _, end, _ = covered_pixels(place(left=left, width=width), size_px, 64)
    assert begin * WHOLE <= left * size_px
    assert end * WHOLE >= (left + width) * size_px
    assert begin % BLOCK_PX == 0
    assert end % BLOCK_PX == 0 or end == size_px
    assert 0 <= begin < end <= size_px


@pytest.mark.parametrize(
    ("cover", "size_px", "pixels"),
    [
        (place(left=0, top=0, width=1, height=1), (1000, 1000), (0, 0, 16, 16)),
        (place(left=160, top=320, width=160, height=161), (1000, 1000), (16, 32, 32, 64)),
        (place(left=159, top=319, width=161, height=161), (1000, 1000), (0, 16, 32, 48)),
        (place(left=9990, top=9990, width=10, height=10), (1000, 1000), (992, 992, 1000, 1000)),
        (place(left=5000, top=2500, width=2500, height=2500), (1920, 1080), (960, 256, 1440, 544)),
    ],
)
def test_a_cover_is_exactly_the_blocks_that_its_rectangle_touches(
    cover: Place, size_px: tuple[int, int], pixels: tuple[int, int, int, int]
) -> None:
    assert covered_pixels(cover, *size_px) == pixels


@pytest.mark.parametrize(
    ("what", "make"),
    [
        ("a rectangle that reaches beyond the right side", lambda: place(left=9000, width=1001)),
        ("a rectangle that reaches beyond the bottom", lambda: place(top=9000, height=1001)),
        ("an end before the begin", lambda: redaction(place(), from_ms=5, until_ms=5)),
        ("a face without a place", redaction),
        ("a voice with a place", lambda: redaction(place(), kind=RedactionKind.VOICE)),
        ("places out of order", lambda: redaction(place(10), place(10))),
        ("a place before the begin", lambda: redaction(place(4), from_ms=5)),
        ("a place after the end", lambda: redaction(place(9), until_ms=8)),
    ],
)
def test_a_list_that_makes_no_sense_is_refused(what: str, make: Any) -> None:
    with pytest.raises(FormatError):
        make()


def context(**changes: Any) -> Context:
    span = TimeSpan(boot="0b" * 16, start_us=0, end_us=5_000_000, utc_ms=1, quality=ClockQuality.SYNCED)
    values = {
        "kind": Content.SEGMENT, "device": "0" * 16, "segment": "a" * 26, "event": "a" * 26, "ordinal": 0, "span": span,
        "media_bytes": 1, "redactions": (redaction(place()),),
    }  # fmt: skip
    return Context(**{**values, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"redactions": (VOICE,)},
        {"kind": Content.SOUND},
        {"kind": Content.POSTER},
        {"label": "ring"},
        {"kind": Content.SOUND, "redactions": (VOICE,), "exact": True},
        {"redactions": None, "exact": True},
        {"seen": ()},
        {"redactions": (redaction(place(5001), from_ms=5001, until_ms=6000),)},
    ],
    ids=[
        "a voice in a film",
        "a face in a sound",
        "a still",
        "with a label",
        "an exact sound",
        "exact without a list",
        "with what was seen",
        "after the end",
    ],
)
def test_a_context_with_redactions_says_nothing_else_and_only_what_fits(changes: dict[str, Any]) -> None:
    with pytest.raises(FormatError):
        context(**changes)


def test_a_context_with_redactions_survives_the_wire() -> None:
    for each in (context(), context(exact=True), context(kind=Content.SOUND, redactions=(VOICE,))):
        assert strictjson.decode(strictjson.encode(each), Context) == each
    with pytest.raises(FormatError):
        strictjson.decode(strictjson.encode(context()).replace(b'"face"', b'"name"'), Context)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: redaction(place(5), from_ms=5, until_ms=5), "redactions: one ends before it begins."),
        (lambda: redaction(place(5), from_ms=6, until_ms=5), "redactions: one ends before it begins."),
        (redaction, "places: a voice has none, and every other kind has at least one."),
        (lambda: redaction(place(9), place(9)), "places: not in the order of time."),
        (lambda: redaction(place(4), from_ms=5), "places: one lies outside of the time of its redaction."),
        (lambda: redaction(place(6), until_ms=5), "places: one lies outside of the time of its redaction."),
    ],
)
def test_each_fault_of_a_redaction_has_its_words(make: Any, words: str) -> None:
    with pytest.raises(FormatError) as refused:
        make()
    assert str(refused.value) == words


def test_places_may_lie_at_both_ends_of_a_redaction() -> None:
    assert redaction(place(5), place(6), from_ms=5, until_ms=6).places == (place(5), place(6))


def test_a_film_with_a_face_and_a_voice_is_refused_for_the_voice() -> None:
    for redactions in ((redaction(place()), VOICE), (VOICE, redaction(place()))):
        for kind in (Content.SEGMENT, Content.SOUND):
            with pytest.raises(FormatError, match="voices in a sound, and all other kinds in a film"):
                context(kind=kind, redactions=redactions)
    edge = redaction(place(5000), from_ms=5000, until_ms=6000)
    assert context(redactions=(edge,)).redactions == (edge,)
