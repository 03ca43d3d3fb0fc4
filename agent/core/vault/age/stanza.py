"""One recipient stanza of an age header: a kind, its arguments, and the wrapped file key in base64 lines.

    -> KIND ARGUMENT …
    BASE64 in lines of 64 columns, ended by a shorter line, which may be empty

Lines and spaces have one form only, for the reason given in `canonical.py`. A reader skips kinds that it does not know.
This module therefore checks the shape of a stanza, and the identity that claims the stanza checks its meaning.

Source: c2sp.org/age, "Recipient stanza" and "ABNF definition of file header".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from agent.core.vault.age.canonical import from_base64, to_base64
from agent.errors import FormatError

__all__ = ["Stanza", "parse_stanzas"]

_COLUMNS = 64
_ARGUMENT = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class Stanza:
    """One stanza. `kind` and `arguments` must be non-empty printable ASCII, spaces excluded. Raises `FormatError`."""

    kind: str
    arguments: tuple[str, ...]
    body: bytes

    def __post_init__(self) -> None:
        if not all(_ARGUMENT.fullmatch(word) for word in (self.kind, *self.arguments)):
            raise FormatError("An age stanza has an empty argument or one with unprintable characters.")

    def serialise(self) -> str:
        """Returns the stanza's lines. Every line, including the last, ends with a line feed."""
        encoded = to_base64(self.body)
        # Goes one step past the end: a body that fills its last line still needs the empty line that ends a stanza.
        lines = [encoded[i : i + _COLUMNS] for i in range(0, len(encoded) + 1, _COLUMNS)]
        return "\n".join((" ".join(("->", self.kind, *self.arguments)), *lines, ""))


def parse_stanzas(lines: Iterable[str]) -> Iterator[Stanza]:
    """Yields the stanzas made of exactly these `lines` (without line feeds). Raises `FormatError` at the first bad
    one."""
    rest = iter(lines)
    for line in rest:
        mark, *words = line.split(" ")
        if mark != "->" or not words:
            raise FormatError("An age header has a line that belongs to no stanza.")
        kind, *arguments = words
        yield Stanza(kind, tuple(arguments), _body(rest))


def _body(rest: Iterator[str]) -> bytes:
    encoded: list[str] = []
    for line in rest:
        encoded.append(line)
        if len(line) < _COLUMNS:
            return from_base64("".join(encoded))
        if len(line) > _COLUMNS:
            raise FormatError("An age stanza has a line of more than 64 columns.")
    raise FormatError("An age stanza is not ended by a short line.")
