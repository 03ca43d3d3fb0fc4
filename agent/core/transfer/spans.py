"""A set of integers kept as half-open spans: which bytes of a part are here, or still to be sent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

__all__ = ["ByteRanges"]


class ByteRanges:
    """Ascending spans `(start, end)` that neither overlap nor touch.  Changed in place."""

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
        """How many integers are in the set."""
        return sum(end - start for start, end in self._spans)

    def add(self, start: int, end: int) -> None:
        """Put `[start, end)` in."""
        if start >= end:
            return
        apart = [span for span in self._spans if span[1] < start or span[0] > end]
        joined = [span for span in self._spans if not (span[1] < start or span[0] > end)]
        merged = (min([start, *(s for s, _ in joined)]), max([end, *(e for _, e in joined)]))
        self._spans = sorted([*apart, merged])

    def remove(self, start: int, end: int) -> None:
        """Take `[start, end)` out."""
        if start >= end:
            return
        kept: list[tuple[int, int]] = []
        for left, right in self._spans:
            kept += [(a, b) for a, b in ((left, min(right, start)), (max(left, end), right)) if a < b]
        self._spans = kept

    def missing(self, end: int) -> ByteRanges:
        """What of `[0, end)` is not in the set."""
        rest = ByteRanges([(0, end)])
        for span in self._spans:
            rest.remove(*span)
        return rest

    def covers(self, start: int, end: int) -> bool:
        """Whether all of `[start, end)` is in."""
        return any(left <= start and end <= right for left, right in self._spans)

    def first(self, most: int) -> tuple[int, int]:
        """The lowest span, ending no later than the next multiple of `most`: retries then repeat the same chunks."""
        start, end = self._spans[0]
        return start, min(end, (start // most + 1) * most)
