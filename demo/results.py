"""What the demo leaves behind: the film, the report, the picture, and `summary.json` for machines."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from agent.owner.keys import IdentityKind
from demo.story import Outcome, Story
from demo.telling import Teller

__all__ = ["leave"]


def leave(story: Story, outcome: Outcome, folder: Path, tell: Teller) -> None:
    """Write everything into `folder`, and say where it is."""
    shared = [(outcome.opened.merged, "shared.mp4"), (outcome.opened.report, "report.html")] if outcome.opened else []
    tell.act("See for yourself")
    for source, name in shared:
        if source is not None and source.exists():
            shutil.copyfile(source, folder / name)
    (folder / "contact-sheet.png").write_bytes(outcome.picture)
    (folder / "summary.json").write_text(json.dumps(_summary(story, outcome, folder), indent=2) + "\n")
    tell.file("the film", folder / "shared.mp4")
    tell.file("the report", folder / "report.html")
    tell.file("the picture", folder / "contact-sheet.png")
    tell.file("for machines", folder / "summary.json")
    tell.say("And by hand, as the owner, from the copied disk:")
    tell.command(_by_hand(story, outcome, folder))


def _by_hand(story: Story, outcome: Outcome, folder: Path) -> str:
    """What opens one segment without us where the owner's keys are of the kind that stock `age` reads."""
    owner, state_dir = story.owner.folder, story.stage.state_dir
    segment = outcome.matched[0] if outcome.matched else "SEGMENT"
    if story.owner.card.kind is IdentityKind.X25519:
        return f"age -d -i {owner / 'identity.txt'} {state_dir}/vault/segments/{segment[0]}/{segment}.age | mpv -"
    return f".venv/bin/doorward owner open {segment} --keys {owner} --vault {state_dir} --out {folder / 'out' / 'mine'}"


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
        "film": str(folder / "shared.mp4"),
        "report": str(folder / "report.html"),
        "picture": str(folder / "contact-sheet.png"),
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
