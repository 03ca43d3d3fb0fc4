"""Writes opened footage as ordinary files: an MP4 and a JPEG for each clip or segment.

If one segment fails to open, the others are still written, and the notes name the missing one.

A process with limits (`agent.clients.media.confined`) joins and decodes the films. A network camera made the bytes, so
they are untrusted even if the owner's doorbell recorded and signed them.
"""

from __future__ import annotations

import functools
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from agent.clients.media.confined import ConfinedMedia
from agent.clients.owner.keys import AgeIdentity
from agent.clients.owner.review import RequestReview, ReviewedClip
from agent.clients.owner.sealed_footage import OpenedSegment
from agent.clients.owner.segment_sources import FootageSource, ListedSegment
from agent.core.object_detection.labels import ObjectLabel, sorted_labels
from agent.errors import DoorwardError, FormatError, NetworkError
from agent.platform import files

__all__ = ["ClipFiles", "ExportedClip", "clips_of", "export_clip", "export_review", "stem_of"]


@dataclass(frozen=True, slots=True)
class ExportedClip:
    """The result for one clip. `notes` name each missing segment and the reason."""

    event: str
    start_ms: int
    video: Path | None
    still: Path | None
    seconds: float
    segments: tuple[OpenedSegment, ...] = field(repr=False)
    notes: tuple[str, ...]

    @property
    def seen(self) -> tuple[ObjectLabel, ...] | None:
        """The labels of object detection in the opened segments; empty if it is unsure, None if it examined none."""
        examined = [each.context.seen for each in self.segments if each.context and each.context.seen is not None]
        return sorted_labels(chain.from_iterable(examined)) if examined else None


@dataclass(frozen=True, slots=True)
class ClipFiles:
    """One clip of a review as files; `segments` by number.

    `seen`: the labels of object detection in each opened segment, by number.
    """

    clip: ReviewedClip
    video: Path | None
    still: Path | None
    segments: dict[int, Path]
    notes: tuple[str, ...]
    seen: dict[int, tuple[ObjectLabel, ...]] = field(default_factory=dict)


def clips_of(listed: Iterable[ListedSegment]) -> tuple[tuple[ListedSegment, ...], ...]:
    """Segments grouped by event, in order."""
    events: dict[str, list[ListedSegment]] = {}
    for item in listed:
        events.setdefault(item.event, []).append(item)
    return tuple(tuple(members) for members in events.values())


def export_clip(
    source: FootageSource,
    identities: Sequence[AgeIdentity],
    clip: Sequence[ListedSegment],
    out: Path,
    opened_one: Callable[[], None] = lambda: None,
    *,
    sound: bool = True,
    media: ConfinedMedia | None = None,
) -> ExportedClip:
    """Opens the segments of one clip and writes them as `<UTC time>-<event>.mp4`, with a still beside it.

    `sound`: include the sound, if any. `media`: the process that opens films; without it, one is started for this clip.
    Gaps between consecutive segments are closed. Raises `StorageError` if `out` is not writable.
    """
    opened, heard, notes = [], [], []
    for item in clip:
        try:
            segment = source.open(item.id, identities)
        # Raised on: without the device, every further segment would fail, and the owner would read a page of notes.
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
        return ExportedClip(clip[0].event, clip[0].start_ms, None, None, 0.0, (), tuple(notes))
    stem = stem_of(clip)
    films = [segment.media for segment in opened]
    with _opener(media) as confined:
        video, seconds = _join(confined, films, heard, files.make_folder(out) / f"{stem}.mp4", notes)
        still = _write_still(confined, _poster(source, identities, clip, notes), films[0], out / f"{stem}.jpg")
    return ExportedClip(clip[0].event, clip[0].start_ms, video, still, seconds, tuple(opened), tuple(notes))


def stem_of(clip: Sequence[ListedSegment]) -> str:
    """Returns the file name of a clip, without suffix. Names sort by time, and a clip always gets the same name."""
    return f"{_stamp(clip[0].start_ms)}-{clip[0].event[:8]}"


def export_review(
    review: RequestReview,
    clip: ReviewedClip,
    out: Path,
    opened_one: Callable[[], None] = lambda: None,
    *,
    media: ConfinedMedia | None = None,
) -> ClipFiles:
    """Open one clip of a review for looking at: `clip-N.jpg`, `clip-N.mp4` and a `segment-N.mp4` for each segment."""
    files.make_folder(out)
    with _opener(media) as confined:
        return _export_review(confined, review, clip, out, opened_one)


def _export_review(
    confined: ConfinedMedia, review: RequestReview, clip: ReviewedClip, out: Path, opened_one: Callable[[], None]
) -> ClipFiles:
    films, heard, segments, notes = [], [], {}, list[str]()
    seen: dict[int, tuple[ObjectLabel, ...]] = {}
    for each in clip.segments:
        try:
            opened = review.open(each.id)
            sound = _heard(functools.partial(review.sound, each.id), f"segment {each.number}", notes)
            path = out / f"segment-{each.number:03}.mp4"
            _write_video(confined, [opened.media], [sound], path)
        except FormatError as error:
            notes.append(f"segment {each.number} is left out: {error}")
            continue
        finally:
            opened_one()
        films.append(opened.media)
        heard.append(sound)
        segments[each.number] = path
        if opened.context is not None and opened.context.seen is not None:
            seen[each.number] = opened.context.seen
    if not films:
        return ClipFiles(clip, None, None, segments, tuple(notes))
    name = out / f"clip-{clip.number}.mp4"
    video, _ = _join(confined, films, heard, name, notes)
    try:
        poster = review.poster(clip)
    except FormatError as error:
        poster = None
        notes.append(f"the poster is left out: {error}")
    still = _write_still(confined, poster, films[0], (video or name).with_suffix(".jpg"))
    return ClipFiles(clip, video, still, segments, tuple(notes), seen)


@contextmanager
def _opener(media: ConfinedMedia | None) -> Iterator[ConfinedMedia]:
    if media is not None:
        yield media
        return
    with ConfinedMedia() as own:
        yield own


def _join(
    confined: ConfinedMedia, films: Sequence[bytes], heard: Sequence[bytes | None], out: Path, notes: list[str]
) -> tuple[Path | None, float]:
    """Returns the video, or the first one if the segments need several files; None without a video."""
    try:
        return out, _write_video(confined, films, heard, out)
    except FormatError as error:
        # Two resolutions cannot be one film, for example after the camera was exchanged within an event.
        notes.append(f"written segment by segment: {error.message}")
    first, seconds = None, 0.0
    for number, (film, sound) in enumerate(zip(films, heard, strict=True), 1):
        name = out.with_name(f"{out.stem}-{number:03}{out.suffix}")
        try:
            seconds += _write_video(confined, [film], [sound], name)
        except FormatError as error:
            notes.append(f"part {number} is left out: {error.message}")
            continue
        first = first or name
    return first, seconds


def _write_video(confined: ConfinedMedia, films: Sequence[bytes], heard: Sequence[bytes | None], out: Path) -> float:
    """Its seconds.  Footage is for its owner's eyes, wherever they put it."""
    with _laid_out(out, [*films, *heard]) as paths:
        segments = [path for path in paths[: len(films)] if path is not None]
        # In their folder, which no other user may enter: `out` may lie in one that everyone reads.
        made = segments[0].with_name(out.name)
        seconds = confined.join(segments, made, paths[len(films) :])
        with files.storage_errors(out):
            made.chmod(0o600)
            made.replace(out)
    return seconds


@contextmanager
def _laid_out(out: Path, media: Sequence[bytes | None]) -> Iterator[list[Path | None]]:
    """Each of `media` as a file beside `out`, where the other process finds it, until the end of the block."""
    with files.storage_errors(out):
        # Beside the result, not in /tmp: opened footage stays on the disk that its owner chose for it.
        folder = tempfile.TemporaryDirectory(prefix=".opening-", dir=out.absolute().parent)
    with folder as name:
        paths: list[Path | None] = []
        with files.storage_errors(out):
            for number, data in enumerate(media):
                path = Path(name) / str(number)
                if data is not None:
                    path.write_bytes(data)
                paths.append(None if data is None else path)
        yield paths


def _write_still(confined: ConfinedMedia, poster: bytes | None, film: bytes, out: Path) -> Path | None:
    """The clip's poster, or a picture of its beginning."""
    if poster is None:
        with _laid_out(out, [film]) as (path,):
            try:
                poster = None if path is None else confined.still(path)
            except FormatError:
                poster = None
    if poster is None:
        return None
    files.write(out, poster, secret=True)
    return out


def _heard(fetch: Callable[[], bytes | None], of: str, notes: list[str]) -> bytes | None:
    """Fetches a sound. If it is missing or fails to open, only the sound is left out."""
    try:
        return fetch()
    except NetworkError:
        raise
    except DoorwardError as error:
        notes.append(f"the sound of {of} is left out: {error}")
        return None


def _poster(
    source: FootageSource, identities: Sequence[AgeIdentity], clip: Sequence[ListedSegment], notes: list[str]
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
