"""Opens a disclosure: verifies all of it, then writes files that a person can watch, read and pass on.

    report.html       the request, the answer, and each check in plain words
    certificate.html  for a court, filled in as far as a program can; missing if no file was shared
    all.mp4           all segments in order, one after the other; missing if the pictures differ in format
    clips/            one MP4 for each clip, with its sound if it was shared
    segments/         one MP4 for each segment: exactly the content of the sealed file that the device signed
    sounds/           one MP4 without pictures for each segment with shared sound, likewise
    pictures/         one JPEG for each clip
    c2pa/             if asked for: copies of all of these with Content Credentials (`content_credentials`)
    bundle/           the evidence, for a third party and for machines (`evidence`)

A file that is as the device sealed it but fails to open as film, sound or still is named in the report and stays sealed
in the bundle. The other files are unaffected. Films are opened in a process with limits (`clients.media.confined`).

The folder gets its name once it is complete. If a check fails it holds only the report and the bundle with the verdict.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path
from typing import Final

from agent.clients.media.confined import ConfinedMedia
from agent.clients.requester.certificate import render_certificate
from agent.clients.requester.clips import DisclosedClip, clips_of
from agent.clients.requester.content_credentials import (
    FOLDER,
    CredentialedClip,
    require_c2pa,
    write_credentials,
)
from agent.clients.requester.evidence import BUNDLE_FILE, write_bundle
from agent.clients.requester.identity import Requester
from agent.clients.requester.report import ReportPicture, render
from agent.clients.requester.verification import Verification, VerifiedItem, examine
from agent.errors import ConfigurationError, FormatError
from agent.platform import files

__all__ = ["OpenedClip", "OpenedDisclosure", "open_disclosure"]

_BUNDLE: Final = "bundle"


@dataclass(frozen=True, slots=True)
class OpenedClip:
    """One clip on the disk. `mp4` is None if only a picture was shared, or if `problem` gives a reason."""

    clip: DisclosedClip
    mp4: Path | None
    segments: tuple[Path, ...]
    picture: Path | None
    seconds: float
    sounds: tuple[Path | None, ...] = ()
    """One for each segment. None for one without shared sound."""
    problem: str = ""
    """Reason why its segments cannot be joined into one film. The single segments are written."""


@dataclass(frozen=True, slots=True)
class OpenedDisclosure:
    """The output of `open_disclosure`. Unless `verification.ok` it is only a report and a bundle."""

    verification: Verification
    folder: Path
    report: Path
    bundle: Path
    clips: tuple[OpenedClip, ...] = ()
    merged: Path | None = None

    @property
    def mp4s(self) -> tuple[Path, ...]:
        """One for each segment, in order."""
        return tuple(path for clip in self.clips for path in clip.segments)


def open_disclosure(
    requester: Requester,
    disclosure: str,
    *,
    now_s: int,
    out: Path | None = None,
    zone: tzinfo | None = None,
    credentials: bool = False,
) -> OpenedDisclosure:
    """Opens one disclosure into `out` (by default `opened/<disclosure>` in the requester's folder).

    `now_s`, `zone`: the date of the report, and its time zone (by default this machine's). `credentials`: also write
    copies of the films with Content Credentials. Raises `ConfigurationError` if `out` holds other files or the package
    for credentials is missing, and `StorageError` if it cannot be written.
    """
    if credentials:
        require_c2pa()
    final = out or requester.folder / "opened" / disclosure
    _require_ours(final)
    files.make_folder(final.parent)
    making = final.with_name(f"{final.name}.making")
    shutil.rmtree(making, ignore_errors=True)
    files.make_folder(making)
    try:
        with ConfinedMedia() as media:
            opened = _ClipBuilder(requester, making, now_s, zone, media).open(disclosure, credentials=credentials)
        # `_require_ours` has seen that this program wrote it.
        shutil.rmtree(final, ignore_errors=True)
        with files.storage_errors(final):
            # One rename: a reader never finds a folder with half of the evidence.
            making.rename(final)
            files.sync_folder(final.parent)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return _moved(opened, making, final)


class _ClipBuilder:
    """Writer of a folder under a temporary name."""

    def __init__(
        self, requester: Requester, folder: Path, now_s: int, zone: tzinfo | None, media: ConfinedMedia
    ) -> None:
        self._requester = requester
        self._folder = folder
        self._now_s = now_s
        self._zone = zone
        self._media = media

    def open(self, disclosure: str, *, credentials: bool) -> OpenedDisclosure:
        verification = examine(self._requester, disclosure, self._keep)
        clips = tuple(self._clip(clip) for clip in clips_of(verification))
        shutil.rmtree(self._folder / "kept", ignore_errors=True)  # also removes media that opened before a check failed
        sounds = [path for clip in clips for path in clip.sounds]
        merged = self._merged([path for clip in clips for path in clip.segments], sounds)
        report = self._folder / "report.html"
        pictures = [
            ReportPicture(
                each.clip,
                each.picture.read_bytes() if each.picture else b"",
                each.seconds,
                each.mp4 is not None,
                each.problem,
            )
            for each in clips
        ]
        text = render(verification, pictures, merged is not None, now_s=self._now_s, zone=self._zone)
        files.write(report, text.encode("utf-8"))
        certificate = render_certificate(verification, now_s=self._now_s)
        if certificate is not None:
            files.write(self._folder / "certificate.html", certificate.encode("utf-8"))
        if credentials and verification.ok:
            self._write_credentials(verification, clips, merged)
        beside = files.below(self._folder)
        bundle = write_bundle(self._folder / _BUNDLE, self._requester, verification, self._now_s, beside=beside)
        return OpenedDisclosure(verification, self._folder, report, bundle, clips, merged)

    def _write_credentials(self, verification: Verification, clips: Sequence[OpenedClip], merged: Path | None) -> None:
        shown = [CredentialedClip(each.clip, each.segments, each.mp4, each.sounds, each.picture) for each in clips]
        write_credentials(self._folder / FOLDER, self._requester, verification, shown, self._media, merged)

    def _keep(self, item: VerifiedItem, data: bytes) -> None:
        if item.unopened:
            return  # not written: a double-click would open it in a player outside our sandbox
        files.make_folder(self._folder / "kept")
        with files.storage_errors(self._kept(item)):
            self._kept(item).write_bytes(data)

    def _kept(self, item: VerifiedItem) -> Path:
        return self._folder / "kept" / str(item.number)

    def _clip(self, clip: DisclosedClip) -> OpenedClip:
        segments, sounds = [], []
        for each in clip.segments:
            segments.append(self._take(each.verified, "segments", f"segment-{each.number:03}.mp4"))
            name = f"segment-{each.number:03}-sound.mp4"
            sounds.append(self._take(each.sound, "sounds", name) if each.sound is not None else None)
        mp4 = files.make_folder(self._folder / "clips") / f"clip-{clip.number:02}.mp4" if segments else None
        seconds, problem = 0.0, ""
        if mp4 is not None:
            try:
                seconds = self._media.join(segments, mp4, sounds)
            except FormatError as error:
                mp4, problem = None, error.message
        return OpenedClip(clip, mp4, tuple(segments), self._picture(clip, segments), seconds, tuple(sounds), problem)

    def _take(self, item: VerifiedItem, folder: str, name: str) -> Path:
        path = files.make_folder(self._folder / folder) / name
        with files.storage_errors(path):
            self._kept(item).rename(path)
        return path

    def _picture(self, clip: DisclosedClip, segments: Sequence[Path]) -> Path | None:
        """Returns the poster if it was shared, else the first picture of the video."""
        path = files.make_folder(self._folder / "pictures") / f"clip-{clip.number:02}.jpg"
        try:
            image = self._kept(clip.poster).read_bytes() if clip.poster else self._media.still(segments[0])
        except FormatError:
            return None
        files.write(path, image)
        return path

    def _merged(self, segments: Sequence[Path], sounds: Sequence[Path | None]) -> Path | None:
        if not segments:
            return None
        try:
            self._media.join(segments, self._folder / "all.mp4", sounds)
        except FormatError:
            return None  # usually two picture formats: the single clips are written
        return self._folder / "all.mp4"


def _require_ours(folder: Path) -> None:
    """Raises `ConfigurationError` if the folder holds files that `open` did not write."""
    if files.is_there(folder) and not files.is_file(folder / _BUNDLE / BUNDLE_FILE):
        raise ConfigurationError(f"{folder} exists and holds other files.", remedy="Choose another --out.")


def _moved(opened: OpenedDisclosure, old: Path, new: Path) -> OpenedDisclosure:
    def there(path: Path) -> Path:
        return new / path.relative_to(old)

    clips = tuple(
        OpenedClip(
            each.clip,
            there(each.mp4) if each.mp4 else None,
            tuple(map(there, each.segments)),
            there(each.picture) if each.picture else None,
            each.seconds,
            tuple(there(path) if path else None for path in each.sounds),
            each.problem,
        )
        for each in opened.clips
    )
    merged = there(opened.merged) if opened.merged else None
    return OpenedDisclosure(opened.verification, new, there(opened.report), there(opened.bundle), clips, merged)
