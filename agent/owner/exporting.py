"""Makes ordinary files of opened footage: an MP4 and a JPEG for each clip, or for each segment.

One segment that does not open costs itself: the others are written, and the problem is told with what is missing.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agent import files
from agent.core.opinion.sights import Sight, in_order
from agent.errors import DoorwardError, FormatError, NetworkError
from agent.media.join import join_mp4
from agent.media.poster import poster_of_media
from agent.owner.keys import AgeIdentity
from agent.owner.opening import OpenedSegment
from agent.owner.reviewing import Clip, Review
from agent.owner.sources import Listed, Source

__all__ = ["ClipFiles", "Exported", "clips_of", "export_clip", "export_review", "stem_of"]


@dataclass(frozen=True, slots=True)
class Exported:
    """What became of one clip.  `notes` say, segment by segment, what is missing and why."""

    event: str
    start_ms: int
    video: Path | None
    still: Path | None
    seconds: float
    segments: tuple[OpenedSegment, ...] = field(repr=False)
    notes: tuple[str, ...]

    @property
    def seen(self) -> tuple[Sight, ...]:
        """What a second opinion saw in the segments that were opened."""
        return in_order(sight for each in self.segments if each.context for sight in each.context.seen or ())


@dataclass(frozen=True, slots=True)
class ClipFiles:
    """One clip of a review as files to look at; `segments` by number.

    `seen`: what a second opinion saw in each segment that somebody looked at, by number.
    """

    clip: Clip
    video: Path | None
    still: Path | None
    segments: dict[int, Path]
    notes: tuple[str, ...]
    seen: dict[int, tuple[Sight, ...]] = field(default_factory=dict)


def clips_of(listed: Iterable[Listed]) -> tuple[tuple[Listed, ...], ...]:
    """Segments grouped by event, in order."""
    events: dict[str, list[Listed]] = {}
    for item in listed:
        events.setdefault(item.event, []).append(item)
    return tuple(tuple(members) for members in events.values())


def export_clip(
    source: Source,
    identities: Sequence[AgeIdentity],
    clip: Sequence[Listed],
    out: Path,
    opened_one: Callable[[], None] = lambda: None,
    *,
    sound: bool = True,
) -> Exported:
    """Open the segments of one clip and write them as `<UTC time>-<event>.mp4`, with a still beside it.

    `sound`: with what was heard, where there is something.
    Gaps between segments that follow each other are closed.  Raises `StorageError` when `out` cannot be written.
    """
    opened, heard, notes = [], [], []
    for item in clip:
        try:
            segment = source.open(item.id, identities)
        except NetworkError:
            raise
        except DoorwardError as error:
            notes.append(f"segment {item.id} is left out: {error}")
            continue
        finally:
            opened_one()
        opened.append(segment)
        fetch = functools.partial(source.sound, item.id, identities)
        heard.append(_heard(fetch, f"segment {item.id}", notes) if sound and item.sound else None)
        if not segment.whole:
            notes.append(f"segment {item.id} has no end: verified to byte {segment.verified_bytes}")
    if not opened:
        return Exported(clip[0].event, clip[0].start_ms, None, None, 0.0, (), tuple(notes))
    stem = stem_of(clip)
    media = [segment.media for segment in opened]
    video, seconds = _join(media, heard, files.make_folder(out) / f"{stem}.mp4", notes)
    still = _write_still(_poster(source, identities, clip, notes), opened[0].media, out / f"{stem}.jpg")
    return Exported(clip[0].event, clip[0].start_ms, video, still, seconds, tuple(opened), tuple(notes))


def stem_of(clip: Sequence[Listed]) -> str:
    """What the files of one clip are called: they sort by time, and the same clip is called the same again."""
    return f"{_stamp(clip[0].start_ms)}-{clip[0].event[:8]}"


def export_review(review: Review, clip: Clip, out: Path, opened_one: Callable[[], None] = lambda: None) -> ClipFiles:
    """Open one clip of a review for looking at: `clip-N.jpg`, `clip-N.mp4` and a `segment-N.mp4` for each segment."""
    files.make_folder(out)
    media, heard, segments, notes = [], [], {}, list[str]()
    seen: dict[int, tuple[Sight, ...]] = {}
    for each in clip.segments:
        try:
            opened = review.open(each.id)
            sound = _heard(functools.partial(review.sound, each.id), f"segment {each.number}", notes)
            path = out / f"segment-{each.number:03}.mp4"
            _write_video([opened.media], [sound], path)
        except FormatError as error:
            notes.append(f"segment {each.number} is left out: {error}")
            continue
        finally:
            opened_one()
        media.append(opened.media)
        heard.append(sound)
        segments[each.number] = path
        if opened.context is not None and opened.context.seen is not None:
            seen[each.number] = opened.context.seen
    if not media:
        return ClipFiles(clip, None, None, segments, tuple(notes))
    video, _ = _join(media, heard, out / f"clip-{clip.number}.mp4", notes)
    try:
        poster = review.poster(clip)
    except FormatError as error:
        poster = None
        notes.append(f"the poster is left out: {error}")
    still = _write_still(poster, media[0], video.with_suffix(".jpg"))
    return ClipFiles(clip, video, still, segments, tuple(notes), seen)


def _join(media: Sequence[bytes], heard: Sequence[bytes | None], out: Path, notes: list[str]) -> tuple[Path, float]:
    """The video, or the first of several where the segments do not go into one."""
    try:
        return out, _write_video(media, heard, out)
    except FormatError as error:
        notes.append(f"written segment by segment: {error.message}")
    names = [out.with_name(f"{out.stem}-{number:03}{out.suffix}") for number in range(1, len(media) + 1)]
    parts = zip(media, heard, names, strict=True)
    return names[0], sum(_write_video([each], [sound], name) for each, sound, name in parts)


def _write_video(media: Sequence[bytes], heard: Sequence[bytes | None], out: Path) -> float:
    """Its seconds.  Footage is for its owner's eyes, wherever they put it."""
    seconds = join_mp4(media, out, sounds=heard).seconds
    with files.storage_errors(out):
        out.chmod(0o600)
    return seconds


def _write_still(poster: bytes | None, media: bytes, out: Path) -> Path | None:
    """The clip's poster, or a picture of its beginning."""
    if poster is None:
        try:
            poster = poster_of_media(media)
        except FormatError:
            return None
    files.write(out, poster, secret=True)
    return out


def _heard(fetch: Callable[[], bytes | None], of: str, notes: list[str]) -> bytes | None:
    """A sound that is gone, or does not open, costs nothing but itself."""
    try:
        return fetch()
    except NetworkError:
        raise
    except DoorwardError as error:
        notes.append(f"the sound of {of} is left out: {error}")
        return None


def _poster(
    source: Source, identities: Sequence[AgeIdentity], clip: Sequence[Listed], notes: list[str]
) -> bytes | None:
    first = next((item.id for item in clip if item.poster), None)
    if first is None:
        return None
    try:
        return source.poster(first, identities).image
    except DoorwardError as error:
        notes.append(f"the poster is left out: {error}")
        return None


def _stamp(utc_ms: int) -> str:
    return time.strftime("%Y-%m-%dT%H-%M-%SZ", time.gmtime(utc_ms // 1000))
