"""A set of integers kept as half-open spans: the bytes of a part that are here, or still to be sent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

__all__ = ["ByteRanges"]


class ByteRanges:
    """Ascending, disjoint spans `(start, end)` with a gap between neighbours. Changed in place."""

    def __init__(self, spans: Iterable[tuple[int, int]] = ()) -> None:
        self._spans: list[tuple[int, int]] = []
        for start, end in spans:
            self.add(start, end)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(tuple(self._spans))

    def __bool__(self) -> bool:
        return bool(self._spans)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ByteRanges) and self._spans == other._spans

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Spans({self._spans})"

    @property
    def total(self) -> int:
        """Returns how many integers are in the set."""
        return sum(end - start for start, end in self._spans)

    def add(self, start: int, end: int) -> None:
        """Adds `[start, end)`."""
        if start >= end:
            return
        apart = [span for span in self._spans if span[1] < start or span[0] > end]
        joined = [span for span in self._spans if not (span[1] < start or span[0] > end)]
        merged = (min([start, *(s for s, _ in joined)]), max([end, *(e for _, e in joined)]))
        self._spans = sorted([*apart, merged])

    def remove(self, start: int, end: int) -> None:
        """Removes `[start, end)`."""
        if start >= end:
            return
        kept: list[tuple[int, int]] = []
        for left, right in self._spans:
            kept += [(a, b) for a, b in ((left, min(right, start)), (max(left, end), right)) if a < b]
        self._spans = kept

    def missing(self, end: int) -> ByteRanges:
        """Returns the part of `[0, end)` outside the set."""
        rest = ByteRanges([(0, end)])
        for span in self._spans:
            rest.remove(*span)
        return rest

    def covers(self, start: int, end: int) -> bool:
        """Returns whether all of `[start, end)` is in the set."""
        return any(left <= start and end <= right for left, right in self._spans)

    def first(self, most: int) -> tuple[int, int]:
        """Returns the lowest span, cut at the next multiple of `most`, so that retries repeat the same chunks."""
        start, end = self._spans[0]
        return start, min(end, (start // most + 1) * most)
