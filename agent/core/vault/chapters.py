"""Decides when the manifest begins a new chapter, which old chapters are then deleted, and which of their lines stay.

The manifest is a log that is cleaned from its oldest end. If the manifest is larger than its bound, a chapter is
deleted. The lines that are still needed are copied into the chapter that begins (`carried`): those of stored segments,
and the `clock-sync` records that date them.

The bound is twice the lines of the stored segments, plus a share of the vault for the history of deleted ones. The
factor of two means that about half of the cleaned lines are obsolete, so that a line is seldom copied again.

Source: FORMAT.md, "Chapters"; docs/decisions/0027-the-manifest-has-chapters.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["ChapterLimits", "chapter_limits", "chapters_to_delete"]

_HISTORY_OF: Final = 256
_LEAST_HISTORY_BYTES: Final = 2 << 20
_CHAPTERS_OF_HISTORY: Final = 8
_LARGEST_CHAPTER_BYTES: Final = 4 << 20
"""Recording waits while a chapter is copied. This many bytes take a slow card about half a second."""
_MOST_AT_ONCE: Final = 16
"""Most chapters deleted when one begins. Each is read once, to find its `clock-sync` records."""


@dataclass(frozen=True, slots=True)
class ChapterLimits:
    """`chapter_bytes`: a chapter of this size is full. `history_bytes`: room for lines of deleted segments."""

    chapter_bytes: int
    history_bytes: int


def chapter_limits(most_bytes: int) -> ChapterLimits:
    """Returns the limits of a vault that may hold `most_bytes`: 1/256 of it is for history, at least 2 MiB."""
    history_bytes = max(_LEAST_HISTORY_BYTES, most_bytes // _HISTORY_OF)
    return ChapterLimits(min(_LARGEST_CHAPTER_BYTES, history_bytes // _CHAPTERS_OF_HISTORY), history_bytes)


def chapters_to_delete(sizes: Mapping[int, int], needed: Mapping[int, int], limits: ChapterLimits) -> Sequence[int]:
    """Returns the chapters to delete when a new one begins, the oldest first.

    `sizes`: the bytes of each chapter, by number. `needed`: the bytes in it that would have to be copied. All copies
    together are at most one chapter long, so that no chapter is larger than those before it.
    """
    total_bytes = sum(sizes.values())
    bound_bytes = 2 * sum(needed.values()) + limits.history_bytes
    going: list[int] = []
    copied_bytes = 0
    for chapter in sorted(sizes)[:_MOST_AT_ONCE]:
        copied_bytes += needed.get(chapter, 0)
        # The oldest goes whatever it carries: a chapter of needed lines alone would otherwise block those behind it.
        if total_bytes <= bound_bytes or (going and copied_bytes > limits.chapter_bytes):
            break
        going.append(chapter)
        total_bytes -= sizes[chapter] - needed.get(chapter, 0)
    return going
