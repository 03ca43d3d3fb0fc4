"""Is an update waiting, and does the doorbell hear of updates at all?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.cli.checks.finding import Finding, fine, poor
from agent.config import Configuration

__all__ = ["check_updates"]

_SEE = "See: doorward update, and docs/updates.md."
_TROUBLES = {
    "network": "The newest look for updates reached no server.",
    "expired": "The news of updates is too old: newer news may be held back.",
    "refused": "The newest look found something that was not signed as it must be.",
    "clock": "Without the time of day, the doorbell does not look for updates.",
    "disk": "The newest look for updates found no room on the disk.",
}


def check_updates(configuration: Configuration, status: Mapping[str, Any]) -> Finding:
    """`status`: of the running doorbell, or empty."""
    if configuration.updates is None:
        return poor("updates", "The doorbell does not look for updates.", "Add [updates]: docs/updates.md.")
    update = status.get("update")
    if update is None:
        return fine("updates", f"They come from {configuration.updates.source}.")
    if update.get("offer"):
        offer = str(update["offer"])
        words = (
            f"Security update {offer} waits for an owner."
            if update.get("security")
            else f"Update {offer} waits for an owner."
        )
        return poor("updates", words, "Install it: doorward update.")
    if update.get("trouble"):
        return poor("updates", _TROUBLES.get(str(update["trouble"]), "The newest look for updates failed."), _SEE)
    return fine("updates", f"{update.get('running')} is the newest version for this doorbell.")
