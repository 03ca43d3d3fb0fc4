"""One recipient stanza of an age header: a kind, its arguments, and the wrapped file key in base64 lines.

    -> KIND ARGUMENT …
    BASE64 in lines of 64 columns, ended by a shorter line, which may be empty

Lines and spaces have one form only, for the reason given in `canonical.py`.  A reader that does not know a kind skips
it, so a stanza is checked for its shape here and for its meaning by the identity that claims it.

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
    """`kind` and `arguments` are non-empty printable ASCII without spaces; FormatError if not."""

    kind: str
    arguments: tuple[str, ...]
    body: bytes

    def __post_init__(self) -> None:
        if not all(_ARGUMENT.fullmatch(word) for word in (self.kind, *self.arguments)):
            raise FormatError("An age stanza has an empty argument or one with unprintable characters.")

    def serialise(self) -> str:
        """The stanza's lines, the last one ended by a line feed too."""
        encoded = to_base64(self.body)
        # One step past the end: a body that fills its last line gets the empty line that ends a stanza.
        lines = [encoded[i : i + _COLUMNS] for i in range(0, len(encoded) + 1, _COLUMNS)]
        return "\n".join((" ".join(("->", self.kind, *self.arguments)), *lines, ""))


def parse_stanzas(lines: Iterable[str]) -> Iterator[Stanza]:
    """The stanzas made of exactly these `lines` (without line feeds), in order; FormatError at the first bad one."""
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
