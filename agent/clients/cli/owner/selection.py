"""Parses an owner's selection and prints it before they confirm.

Numbers are the review's: `1,3-5`, or `all`. Only typed numbers are selected.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from agent.cli import words
from agent.cli.language import counted, in_words, listed
from agent.clients.cli.owner.options import match_one
from agent.clients.owner import decisions
from agent.clients.owner.review import RequestReview, ReviewedClip
from agent.errors import ConfigurationError
from agent.wire.disclosures import ContactCard

__all__ = ["choice_of", "shared", "summary"]

_ALL = "all"
_RANGE = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")


def choice_of(
    seen: RequestReview, segments: str, clips: str, posters: str, exists: str, *, sound: bool
) -> decisions.ShareChoice:
    """Returns the selection of the four options, without duplicates and in order."""
    wanted = _segments(seen, segments)
    for clip in _clips(seen, "--clips", clips):
        wanted |= {each.number for each in clip.segments}
    return decisions.ShareChoice(
        tuple(each.id for each in seen.segments if each.number in wanted),
        _clips(seen, "--posters", posters),
        _clips(seen, "--exists", exists),
        _with_sound(seen, wanted, sound=sound),
    )


def _with_sound(seen: RequestReview, wanted: set[int], *, sound: bool) -> bool:
    if sound and not any(each.has_sound for each in seen.segments if each.number in wanted):
        raise ConfigurationError("None of the selected segments has sound.", remedy="Leave --sound out.")
    return sound


def _segments(seen: RequestReview, text: str) -> set[int]:
    by_number = {each.number: each for each in seen.segments}
    wanted: set[int] = set()
    for word in _words(text):
        if word == _ALL:
            wanted |= {each.number for each in seen.segments}
            continue
        for number in _numbers(word):
            if number not in by_number:
                raise ConfigurationError(f"There is no segment {number} in this request.", remedy=_remedy(seen))
            wanted.add(number)
        if not _RANGE.fullmatch(word):
            if not any(each.id.startswith(word) for each in seen.segments):
                raise ConfigurationError(f"There is no segment '{word}'.", remedy="Write 1,3-5, or all, or ids.")
            found = match_one("segment", word, [each.id for each in seen.segments])
            wanted |= {each.number for each in seen.segments if each.id == found}
    return wanted


def _clips(seen: RequestReview, option: str, text: str) -> tuple[ReviewedClip, ...]:
    by_number = {clip.number: clip for clip in seen.clips}
    wanted: set[int] = set()
    for word in _words(text):
        if word == _ALL:
            return seen.clips
        if not _RANGE.fullmatch(word):
            raise ConfigurationError(f"{option}: '{word}' is not a number.", remedy="Write clips like 1,3-5, or all.")
        for number in _numbers(word):
            if number not in by_number:
                raise ConfigurationError(f"There is no clip {number} in this request.", remedy=_remedy(seen))
            wanted.add(number)
    return tuple(by_number[number] for number in sorted(wanted))


def _words(text: str) -> list[str]:
    return [word for word in re.split(r"[\s,]+", text.strip().lower()) if word]


def _numbers(word: str) -> Sequence[int]:
    """Returns the numbers of `7` or `3-5`; an empty result for any other text."""
    found = _RANGE.fullmatch(word)
    if found is None:
        return ()
    first, last = int(found[1]), int(found[2] or found[1])
    if first > last:
        raise ConfigurationError(f"'{word}' runs backwards.", remedy=f"Write {last}-{first}.")
    return range(first, last + 1)


def _remedy(seen: RequestReview) -> str:
    return f"It has segments 1 to {len(seen.segments)} in clips 1 to {len(seen.clips)}."


def summary(seen: RequestReview, choice: decisions.ShareChoice, contact: ContactCard | None) -> str:
    chosen = [each for each in seen.segments if each.id in choice.segments]
    length = words.duration(sum(each.end_ms - each.start_ms for each in chosen))
    numbers = ", ".join(str(each.number) for each in chosen)
    what = shared(choice, in_words(f"{len(chosen)} of {len(seen.segments)} segments ({numbers}; {length})"))
    with_contact = "They also learn the labels of your keys and your contact data."
    told = with_contact if contact else "They also learn the labels of your keys."
    # Numbers are typed from a review, which may be of another request of the same requester.
    spans = [(each.start_ms, each.end_ms) for each in chosen]
    spans += [(clip.start_ms, clip.end_ms) for clip in (*choice.posters, *choice.told)]
    recorded = words.window(min(start for start, _ in spans), max(end for _, end in spans))
    which = f"Case {seen.request.case}, recorded {recorded}."
    return in_words(f"{told}  {which}  Share {what} with {seen.requester.name}?")


def shared(choice: decisions.ShareChoice, segments: str = "") -> str:
    """`2 segments, the poster of clip 1 and that clips 2, 3 exist`"""
    said = [
        choice.segments and (segments or counted(len(choice.segments), "segment")) + _redacted(choice),
        choice.sound and in_words("their sound"),
        choice.posters and in_words(f"the poster of {_listed(choice.posters)}"),
        choice.told and in_words(f"the existence of {_listed(choice.told)}"),
    ]
    return listed([each for each in said if each])


def _redacted(choice: decisions.ShareChoice) -> str:
    number = len(choice.redacted)
    return f", {in_words(f'of these as redacted by you: {number}')}" if number else ""


def _listed(clips: Sequence[ReviewedClip]) -> str:
    numbers = ", ".join(str(clip.number) for clip in clips)
    return f"{in_words('clip' if len(clips) == 1 else 'clips')} {numbers}"
