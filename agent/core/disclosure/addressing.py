"""Address of an answer: a stanza in the header of part 0 that names the reply key of its request.

A requester with 100 000 open requests finds the key at once instead of trying each one. A stranger's part 0 then costs
one look-up. The stanza wraps no key, and other readers of age files skip it. It tells a broker the request of an answer
one message earlier than the requester's receipt does.

Source: PROTOCOL.md, "Disclosure".
"""

from __future__ import annotations

import hashlib
from typing import Final

from agent.core.vault.age.header import Stanza, parse_header
from agent.errors import FormatError

__all__ = ["reply_stanza", "reply_tag", "reply_tag_in"]

_KIND: Final = "doorward-reply"
_TAG_DIGITS: Final = 16


def reply_tag(reply: str) -> str:
    """Returns the first 16 hex digits of the SHA-256 of the recipient's text."""
    return hashlib.sha256(reply.encode("ascii")).hexdigest()[:_TAG_DIGITS]


def reply_stanza(reply: str) -> Stanza:
    return Stanza(_KIND, (reply_tag(reply),), b"")


def reply_tag_in(part: bytes) -> str:
    """Returns the tag in the header of part 0. Raises `FormatError` unless it has exactly one."""
    header, _ = parse_header(part)
    found = [stanza for stanza in header.stanzas if stanza.kind == _KIND]
    # One stanza in one spelling, so that two readers cannot take one answer for answers to two requests.
    if len(found) != 1 or len(found[0].arguments) != 1 or found[0].body:
        raise FormatError(f"Part 0 must name its reply key in one stanza of kind {_KIND}.")
    return found[0].arguments[0]
