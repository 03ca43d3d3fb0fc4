"""Root's report that files of the installed program were changed (scripts/installation/integrity.py)."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from agent.wire.fields import Count, UtcMs, Version1
from agent.wire.strictjson import Message

__all__ = ["MAX_REPORT_BYTES", "ProgramChanges"]

MAX_REPORT_BYTES: Final = 64 * 1024


class ProgramChanges(Message, frozen=True):
    """`since_ms`: when root first saw it. `files`: the first names of `count`, below the version's folder."""

    v: Version1
    since_ms: UtcMs
    count: Count
    files: Annotated[tuple[Annotated[str, Meta(max_length=4096)], ...], Meta(max_length=20)]
