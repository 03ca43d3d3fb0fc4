"""Opens one answer for a viewer: verifies all of it, then hands out its films, segments and stills one by one.

No report and no bundle is written (`opened_disclosure` writes them). The opened media lies in a private folder for as
long as the block lasts: in memory by default, or below a folder that the caller names. For example:

    with opened_answer(requester, disclosure) as answer:
        if answer.verification.ok:
            for clip in answer.clips:
                film = answer.film(clip)

Footage is opened only after the whole answer verified, so each block costs a verification. A viewer keeps the block
open while a person watches. The caller records who opened what.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.clients.media.confined import ConfinedMedia
from agent.clients.requester.checks import Grade
from agent.clients.requester.clips import DisclosedClip, DisclosedSegment, clips_of
from agent.clients.requester.disclosure_folder import AnswerFolder
from agent.clients.requester.grades import DisclosureGrades, grades_of
from agent.clients.requester.identity import Requester
from agent.clients.requester.verification import Verification, VerifiedItem, examine
from agent.errors import FormatError, StorageError
from agent.platform import files

__all__ = ["Film", "OpenedAnswer", "opened_answer"]

_MEMORY: Final = Path("/dev/shm")  # noqa: S108 (a file system in memory; the folder below it is private)
_COPIES: Final = 3
"""Room for the opened parts, a joined film, and the copy that the joining makes."""


@dataclass(frozen=True, slots=True)
class Film:
    """One playable MP4 of a clip. It exists as long as the block of `opened_answer`."""

    path: Path
    seconds: float


class OpenedAnswer:
    """One answer, verified. `clips` is empty unless `verification.ok`."""

    def __init__(self, verification: Verification, folder: Path, media: ConfinedMedia) -> None:
        self.verification = verification
        self.clips: tuple[DisclosedClip, ...] = clips_of(verification)
        self.grades: DisclosureGrades = grades_of(verification)
        self._folder = folder
        self._media = media
        self._films: dict[int, Film] = {}

    @property
    def grade(self) -> Grade | None:
        """Returns the most that was shared of any clip. None if a check failed."""
        return self.grades.grade if self.verification.ok else None

    @property
    def span_ms(self) -> tuple[int, int] | None:
        """Returns the first and the last time of the shared footage, by the device's clock (UTC ms). None without
        footage."""
        if not self.clips:
            return None
        return min(clip.start_ms for clip in self.clips), max(clip.end_ms for clip in self.clips)

    def film(self, clip: DisclosedClip) -> Film:
        """Returns one MP4 of all shown segments of the clip, with their sound. Joins it on the first call.

        Raises `FormatError` if only a still was shared, or if its segments cannot be joined. Then `segment` has them.
        """
        if clip.number not in self._films:
            if not clip.segments:
                raise FormatError("Of this clip only a still was shared.", remedy="Show the still.")
            segments = [self._kept(each.verified) for each in clip.segments]
            sounds = [self._kept(each.sound) if each.sound is not None else None for each in clip.segments]
            out = self._folder / f"clip-{clip.number}.mp4"
            self._films[clip.number] = Film(out, self._media.join(segments, out, sounds))
        return self._films[clip.number]

    def segment(self, segment: DisclosedSegment) -> bytes:
        """Returns the MP4 of one segment, exactly as the device sealed it, without its context record."""
        with files.storage_errors(self._folder):
            return self._kept(segment.verified).read_bytes()

    def still(self, clip: DisclosedClip) -> bytes:
        """Returns a JPEG: the poster if it was shared, else the first picture. Raises `FormatError` if none
        decodes."""
        with files.storage_errors(self._folder):
            if clip.poster is not None:
                return self._kept(clip.poster).read_bytes()
        return self._media.still(self._kept(clip.segments[0].verified))

    def _kept(self, item: VerifiedItem) -> Path:
        return self._folder / f"{item.number}.part"


@contextlib.contextmanager
def opened_answer(requester: Requester, disclosure: str, private: Path | None = None) -> Iterator[OpenedAnswer]:
    """Yields the answer, verified and opened. The media is gone after the block.

    `private`: an existing folder for the media. By default it stays in memory (`/dev/shm`). Raises `ConfigurationError`
    if this is no id of a disclosure, and `StorageError` if there is too little room. A failed check is no error: read
    `verification`.
    """
    room = private if private is not None else _MEMORY
    _require_room(room, requester.answer(disclosure), named=private is not None)
    with files.storage_errors(room):
        folder = Path(tempfile.mkdtemp(prefix="doorward-", dir=room))  # mode 0700

    def keep(item: VerifiedItem, data: bytes) -> None:
        if not item.unopened:
            path = folder / f"{item.number}.part"
            with files.storage_errors(path):
                path.write_bytes(data)

    try:
        with ConfinedMedia() as media:
            yield OpenedAnswer(examine(requester, disclosure, keep), folder, media)
    finally:
        # Also after an error or an interrupt: no opened picture may stay behind.
        shutil.rmtree(folder, ignore_errors=True)


def _require_room(room: Path, answer: AnswerFolder, *, named: bool) -> None:
    with files.storage_errors(room):
        free_bytes = shutil.disk_usage(room).free
        size_bytes = answer.parts_bytes()
    if free_bytes < _COPIES * size_bytes:
        raise StorageError(
            f"{room}: too little room to open {size_bytes} bytes.",
            remedy="Free some space." if named else "Name a private folder on a disk with more room.",
        )
