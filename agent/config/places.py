"""Finds the line of a key in a TOML text, so that an error can name it.

`tomllib` forgets where values stood. This module reads the same text only for positions. If it misreads a text, the
error names a wrong line, but no setting changes.
"""

from __future__ import annotations

import re

__all__ = ["KeyPath", "Places"]

KeyPath = tuple[str | int, ...]
"""("motion", "zones", 0, "name"): table names, positions in arrays of tables, key."""

_NAME = r"""(?:[\w-]+|"[^"]+"|'[^']+')"""
_NAMES = rf"{_NAME}(?:\s*\.\s*{_NAME})*"
_HEADER = re.compile(rf"^\s*(\[\[?)\s*({_NAMES})")
"""Matches without the end of the header. If a header is broken off, the names before the break are the key."""
_ASSIGNMENT = re.compile(rf"^\s*({_NAMES})\s*=")
_PART = re.compile(r"""[\w-]+|"([^"]*)"|'([^']*)'""")
_TOKEN = re.compile(r'"""|\'\'\'|"(?:\\.|[^"\\])*"|\'[^\']*\'|#.*|[\[\]{}]')


class Places:
    """Key path → line number, both ways."""

    def __init__(self, text: str) -> None:
        self._lines: dict[KeyPath, int] = {}
        self._begun: list[tuple[int, KeyPath]] = []
        """Every start of a key, in the order of the text; a repeated key appears twice."""
        self._tables: dict[tuple[str, ...], int] = {}
        self._table: KeyPath = ()
        self._open_string = ""
        self._depth = 0
        for number, line in enumerate(text.split("\n"), start=1):
            self._read(number, line)

    def line(self, path: KeyPath) -> int:
        """The line of `path`, or of the nearest thing around it that has one."""
        for length in range(len(path), 0, -1):
            if path[:length] in self._lines:
                return self._lines[path[:length]]
        return 1

    def key(self, line: int) -> KeyPath:
        """Returns the last key that begins at or above `line`; empty before the first."""
        return next((path for number, path in reversed(self._begun) if number <= line), ())

    def _read(self, number: int, line: str) -> None:
        if self._open_string or self._depth:
            self._skip_value(line)
            return
        if header := _HEADER.match(line):
            self._enter(_parts(header[2]), is_array=header[1] == "[[")
            self._begin(self._table, number)
        elif assignment := _ASSIGNMENT.match(line):
            self._begin(self._table + _parts(assignment[1]), number)
            self._skip_value(line[assignment.end() :])

    def _begin(self, path: KeyPath, number: int) -> None:
        for length in range(1, len(path) + 1):
            # The first place counts: a table that is named again further below is still found where it begins.
            self._lines.setdefault(path[:length], number)
        self._begun.append((number, path))

    def _enter(self, names: tuple[str, ...], *, is_array: bool) -> None:
        if is_array:
            # `[[zones]]` twice is zones[0] and zones[1].
            self._tables[names] = self._tables.get(names, -1) + 1
        path: list[str | int] = []
        for depth, name in enumerate(names, start=1):
            path.append(name)
            if names[:depth] in self._tables:
                path.append(self._tables[names[:depth]])
        self._table = tuple(path)

    def _skip_value(self, rest: str) -> None:
        """Follow brackets and multi-line strings to where the value ends."""
        if self._open_string:
            _, closed, rest = rest.partition(self._open_string)
            if not closed:
                return
            self._open_string = ""
        for token in _TOKEN.finditer(rest):
            if token[0] in ('"""', "'''"):
                self._open_string = token[0]
                self._skip_value(rest[token.end() :])
                return
            self._depth += (token[0] in ("[", "{")) - (token[0] in ("]", "}"))
        # A text that is no TOML may close more than it opens. The lines after it must still be found.
        self._depth = max(self._depth, 0)


def _parts(dotted: str) -> tuple[str, ...]:
    """The names in `a . "b c" . d`."""
    return tuple(part[1] or part[2] or part[0].strip("\"'") for part in _PART.finditer(dotted))
