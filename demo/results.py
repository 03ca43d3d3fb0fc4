"""The demo's results: the film, the report, the picture, and `summary.json` for machines."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

from agent.clients.owner.keys import IdentityKind
from demo.story import Outcome, Story
from demo.telling import Teller

__all__ = ["forget", "leave"]

_FILM, _REPORT, _PICTURE, _SUMMARY = "shared.mp4", "report.html", "contact-sheet.png", "summary.json"
_OUT = "out"
"""The demo runs in this folder, inside the folder of the results."""


def forget(folder: Path) -> None:
    """Removes the results of an earlier run. Otherwise a failed run would seem to have produced them."""
    for name in (_FILM, _REPORT, _PICTURE, _SUMMARY):
        (folder / name).unlink(missing_ok=True)
    for link in folder.iterdir():
        if link.is_symlink() and link.readlink().parts[:1] == (_OUT,):
            link.unlink()


def leave(story: Story, outcome: Outcome, folder: Path, tell: Teller) -> None:
    """Write everything into `folder`, and say where it is."""
    shared = [(outcome.opened.merged, _FILM), (outcome.opened.report, _REPORT)] if outcome.opened else []
    tell.act("Look at the results")
    for source, name in shared:
        if source is not None and source.exists():
            shutil.copyfile(source, folder / name)
    if outcome.opened is not None:
        _link(outcome.opened.report.parent, folder)
    (folder / _PICTURE).write_bytes(outcome.picture)
    (folder / _SUMMARY).write_text(json.dumps(_summary(story, outcome, folder), indent=2) + "\n")
    tell.file("the film", folder / _FILM)
    tell.file("the report", folder / _REPORT)
    if outcome.opened is not None:
        tell.file("its evidence", outcome.opened.report.parent)
    tell.file("the picture", folder / _PICTURE)
    tell.file("for machines", folder / _SUMMARY)
    tell.say("As the owner, open a segment of the copied disk yourself:")
    tell.command(_by_hand(story, outcome, folder))


def _link(opened: Path, folder: Path) -> None:
    """Links the files beside the original report, so that the links in its copy also work."""
    for path in opened.iterdir():
        link = folder / path.name
        if not link.exists():
            link.symlink_to(path.relative_to(folder))


def _by_hand(story: Story, outcome: Outcome, folder: Path) -> str:
    """Returns the command that opens one segment. For X25519 keys it is stock `age`, so no Doorward code is needed."""
    owner, state_dir = story.owner.folder, story.stage.state_dir
    segment = outcome.matched[0] if outcome.matched else "SEGMENT"
    if story.owner.card.kind is IdentityKind.X25519:
        sealed = state_dir / "vault" / "segments" / segment[0] / f"{segment}.age"
        return shlex.join(["age", "-d", "-i", str(owner / "identity.txt"), str(sealed)]) + " | mpv -"
    command = ["doorward", "owner", "open", segment, "--keys", owner, "--vault", state_dir]
    return ".venv/bin/" + shlex.join([str(part) for part in [*command, "--out", folder / "out" / "mine"]])


def _summary(story: Story, outcome: Outcome, folder: Path) -> dict[str, object]:
    state_dir = story.stage.state_dir
    sealed = sorted((state_dir / "vault" / "segments").rglob("*.age"))
    opened = outcome.opened
    loot = outcome.loot
    return {
        "ok": not outcome.failed,
        "failed": outcome.failed,
        "device": {"id": story.device.id, "key": story.device.text, "state_dir": str(state_dir)},
        "owner_identity": str(story.owner.folder / "identity.txt"),
        "recovery_identity": str(story.owner.folder / "recovery-kit.txt"),
        "segments": [str(path) for path in sealed if not path.name.endswith(".poster.age")],
        "posters": [str(path) for path in sealed if path.name.endswith(".poster.age")],
        "matched": list(outcome.matched),
        "approved": list(outcome.approved),
        "disclosure": outcome.disclosure,
        "requests": [
            {
                "id": asked.signed.id,
                "what": asked.title,
                "outcome": asked.outcome,
                "bytes_sent": asked.bytes_sent,
            }
            for asked in outcome.requests
        ],
        "published": [{"topic": message.topic, "bytes": message.size_bytes} for message in outcome.published],
        "opened": [str(path) for path in opened.mp4s] if opened else [],
        "film": str(folder / _FILM),
        "report": str(folder / _REPORT),
        "evidence": str(opened.report.parent) if opened else None,
        "picture": str(folder / _PICTURE),
        "thief": {
            "files": loot.files,
            "segments": loot.segments,
            "posters": loot.posters,
            "opened": list(loot.opened),
            "secrets": list(loot.secrets),
        }
        if loot
        else None,
        "timings_s": outcome.timings_s,
    }
