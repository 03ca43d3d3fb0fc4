"""Names of a requester's client certificates: PROTOCOL.md, section 9."""

from __future__ import annotations

import string

__all__ = ["requester_of"]

_ENDS = string.ascii_lowercase + string.digits


def requester_of(common_name: str) -> str | None:
    """The requester that the holder acts for. None for another kind of name."""
    requester, dot, worker = common_name.partition(".")
    if not _plain(requester, 32) or (dot and not _plain(worker, 31)):
        return None
    looks_like_a_device = len(requester) == 16 and set(requester) <= set(string.hexdigits.lower())
    return None if looks_like_a_device else requester


def _plain(word: str, most: int) -> bool:
    return 1 <= len(word) <= most and set(word) <= {*_ENDS, "-"} and word[0] in _ENDS and word[-1] in _ENDS
