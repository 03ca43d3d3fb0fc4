"""Reads a manifest that lies in chapters: where it begins, its lines in order, and the line at its end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from agent.core.vault.manifest import (
    LONGEST_LINE_BYTES,
    ChainFault,
    ChainHead,
    ChainStep,
    RawLine,
    SignedRecord,
    carried_of,
    chapter_of,
    chapter_start,
    follow,
    missing_chapters,
    oldest_stated,
    parse_line,
)
from agent.core.vault.signed_once import ManifestEnd, SignedOnce, end_of
from agent.errors import FormatError, StorageError
from agent.ports import ManifestLog
from agent.vault.disk_faults import is_damage
from agent.wire.identities import MldsaPublicKey, PublicKey

__all__ = [
    "ManifestCheck",
    "check_manifest",
    "end_of_manifest",
    "first_line",
    "last_line",
    "oldest_chapter",
    "read_manifest",
    "read_readable",
    "read_tail",
]

_BEGINNING: Final = ChainHead()
_TAIL_BYTES: Final = 64 << 10
"""The newest lines with the last `coverage`: those of a quarter of an hour of continuous recording, 35 kB, and more."""


def first_line(log: ManifestLog, chapter: int) -> SignedRecord | None:
    """The first line of a chapter, when it can be read."""
    data = log.read(chapter_start(chapter), LONGEST_LINE_BYTES + 1)
    line, feed, _rest = data.partition(b"\n")
    with suppress(FormatError):
        return parse_line(line) if feed else None
    return None


def oldest_chapter(log: ManifestLog) -> int:
    """The oldest chapter that is needed, as the newest chapter with a readable beginning says."""
    for chapter in reversed(log.chapters()):
        signed = first_line(log, chapter) if chapter else None
        stated = oldest_stated(chapter, signed.line) if signed is not None else None
        if stated is not None:
            return stated
    return 0


def last_line(log: ManifestLog, tip: ChainHead) -> SignedRecord | None:
    """The line behind which `tip` stands, when it is the end of that line and of the lines carried behind it."""
    beginning = chapter_start(chapter_of(tip.offset))
    start = max(beginning, tip.offset - LONGEST_LINE_BYTES - 1)
    # The longest line with its line feed: the whole line in front of `tip` is in it.
    before = log.read(start, tip.offset - start)
    if len(before) != tip.offset - start or not before.endswith(b"\n"):
        return None
    with suppress(FormatError):
        last = parse_line(before[:-1].rpartition(b"\n")[2])
        if (last.chain_hash, last.sequence + 1) == (tip.previous, tip.sequence) and not carried_of(last.record):
            return last
    first = first_line(log, chapter_of(tip.offset))
    if first is None or (first.chain_hash, first.sequence + 1) != (tip.previous, tip.sequence):
        return None
    ends = beginning + len(first.line) + 1 + carried_of(first.record)
    return first if ends == tip.offset else None


def read_manifest(log: ManifestLog, tip: ChainHead = _BEGINNING) -> Iterator[ChainStep]:
    """Every line from `tip` on; from the oldest chapter that is needed when `tip` is the beginning."""
    position = chapter_start(oldest_chapter(log)) if tip == _BEGINNING else tip.offset
    return follow(log.raw_lines(position), tip)


def read_readable(log: ManifestLog, chapter: int, unread: list[ChainFault]) -> Iterator[ChainStep]:
    """Every line from the beginning of `chapter` on. A chapter that the disk has lost ends there, and is added to
    `unread`."""
    return follow(_readable_lines(log, chapter, unread))


def read_tail(log: ManifestLog, size_bytes: int) -> Iterator[ChainStep]:
    """The newest lines: about `size_bytes` of them, from the newest chapter and the one before it."""
    newest = chapter_of(log.end())
    missing = size_bytes
    for chapter in (newest, newest - 1):
        size = log.sizes().get(chapter, 0)
        position = chapter_start(chapter) + max(0, size - missing)
        missing -= size
        if missing <= 0 or not size or not chapter:
            break
    return follow(log.raw_lines(position), ChainHead(position))


def end_of_manifest(log: ManifestLog, mldsa: MldsaPublicKey) -> ManifestEnd:
    """Judges the newest lines (`core.vault.signed_once`). The newest chapter is read only if its tail does not decide.

    Raises `StorageError`.
    """
    end = end_of(read_tail(log, _TAIL_BYTES), mldsa)
    if end.is_known:
        return end
    return end_of(follow(log.raw_lines(chapter_start(chapter_of(log.end())))), mldsa)


@dataclass(frozen=True, slots=True)
class ManifestCheck:
    """`signed_once`: the number of lines that no second signature covers. An hour of them is sound."""

    faults: tuple[ChainFault, ...]
    signed_once: int


def check_manifest(log: ManifestLog, key: PublicKey, mldsa: MldsaPublicKey | None = None) -> ManifestCheck:
    """Everything wrong with a whole manifest: missing chapters, unreadable lines, broken links, other signatures, and
    missing second signatures, which `mldsa` verifies (`manifest.follow`).

    A chapter that the disk has lost (`is_damage`) is a fault, too. Reading goes on with the next chapter. Raises
    `StorageError` for other errors, for example too many open files.
    """
    oldest = _oldest_readable(log)
    unread: list[ChainFault] = []
    wrong: list[ChainFault] = []
    signed_once = SignedOnce(count_only=True)
    for step in follow(_readable_lines(log, oldest, unread), key=key, mldsa=mldsa):
        signed_once.add(step)
        wrong += (step.fault,) if step.fault else ()
    return ManifestCheck((*missing_chapters(oldest, log.chapters()), *unread, *wrong), signed_once.lines)


def _oldest_readable(log: ManifestLog) -> int:
    """Like `oldest_chapter`, but asks an older chapter if the disk has lost the newest."""
    for chapter in reversed(log.chapters()):
        try:
            signed = first_line(log, chapter) if chapter else None
        except StorageError as error:
            if not is_damage(error):
                raise
            continue
        stated = oldest_stated(chapter, signed.line) if signed is not None else None
        if stated is not None:
            return stated
    return min(log.chapters(), default=0)


def _readable_lines(log: ManifestLog, oldest: int, unread: list[ChainFault]) -> Iterator[RawLine]:
    """The lines from chapter `oldest` on.  A chapter of which the disk has lost a part is added to `unread`."""
    sizes = log.sizes()
    newest = max(sizes, default=0)
    for chapter in sorted(each for each in sizes if each >= oldest):
        end = chapter_start(chapter) + sizes[chapter]
        try:
            for raw in log.raw_lines(chapter_start(chapter)):
                if chapter_of(raw.position) != chapter:
                    break
                yield raw
                # Stop before the log opens the next chapter: its errors are not this chapter's. Only the newest grows.
                if chapter != newest and raw.end >= end:
                    break
        except StorageError as error:
            if not (is_damage(error) or isinstance(error.__cause__, FileNotFoundError)):
                raise
            if chapter in log.chapters():  # else it was deleted meanwhile
                unread.append(ChainFault(0, f"The chapter cannot be read: {error.message}", chapter))
