"""Prints what left: by time, as stills, film and sound, including footage that was deleted since."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from agent.cli import words
from agent.cli.language import in_words, listed, spoken
from agent.clients.owner.shared_footage import SharedFootage
from agent.clients.promise import promised
from agent.wire.disclosures import PartKind

__all__ = ["shared_document", "shared_lines"]

_KINDS: Final = {PartKind.POSTER: "still", PartKind.SEGMENT: "film", PartKind.SOUND: "sound"}


def shared_lines(shared: SharedFootage, requester: str | None = None) -> Iterator[str]:
    """Yields what left, and the promises about it. `requester`: its name by its root, if it is still trusted."""
    names = listed([each for each in (shared.by, shared.co_approver) if each]) or in_words("an owner")
    if shared.begun_ms is None:
        yield in_words(f"{names} approved this.  Nothing of it has left:")
    else:
        yield in_words(f"{names} approved this.  It began to leave {words.day(shared.begun_ms)} UTC:")
    if shared.items is None:
        why = shared.unlisted.value if shared.unlisted is not None else ""
        yield in_words(f"    The files cannot be listed: {why}.  The ledger has the number of segments.")
        return
    for each in shared.items:
        until = f"–{words.clock(each.end_ms)}" if each.kind is not PartKind.POSTER else " " * 9
        redacted = f"  {in_words('redacted by you')}" if each.redacted else ""
        gone = "" if each.stored else f"  {in_words('no longer stored')}"
        kind = in_words(_KINDS[each.kind])
        yield f"    {words.instant(each.start_ms)}{until}  {kind:<5}  {each.id}{redacted}{gone}"
    if not shared.items:
        yield in_words("    No still, film or sound.")
    if shared.asked is not None:
        name = requester or shared.asked.requester
        yield f"    {promised(shared.asked, name, spoken())}"


def shared_document(shared: SharedFootage | None) -> dict[str, Any] | None:
    """Returns the document for `--json`; None before an approval."""
    if shared is None:
        return None
    return {
        "disclosure": shared.disclosure,
        "approved_by": [each for each in (shared.by, shared.co_approver) if each],
        "begun_ms": shared.begun_ms,
        "items": None
        if shared.items is None
        else [
            {
                "kind": _KINDS[each.kind],
                "id": each.id,
                "start_ms": each.start_ms,
                "end_ms": each.end_ms,
                "stored": each.stored,
                "redacted": each.redacted,
            }
            for each in shared.items
        ],
    }
