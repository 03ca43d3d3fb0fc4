"""Is an update waiting, and does the doorbell hear of updates at all?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from agent.cli.checks.finding import Finding, fine, poor
from agent.cli.update_troubles import told
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
_PASSES = ("network",)
"""Troubles that leave an offer as it is: the doorbell looks again. Each other one is mended or reported first, because
an offer is installed only with the time, room and news that is good, and because an attack goes on."""


def check_updates(configuration: Configuration, status: Mapping[str, Any]) -> Iterator[Finding]:
    """Yields what a person must do first, first. `status`: of the running doorbell, or empty."""
    if configuration.updates is None:
        yield poor("updates", "The doorbell does not look for updates.", "Add [updates]: docs/updates.md.")
        return
    update = status.get("update")
    if update is None:
        yield fine("updates", f"They come from {configuration.updates.source}.")
        return
    trouble, offer = update.get("trouble"), update.get("offer")
    words = told(str(trouble))
    remedy = _SEE if words is None else words.remedy
    found = poor("updates", _TROUBLES.get(str(trouble), "The newest look for updates failed."), remedy)
    waits = trouble in _PASSES
    if trouble and not waits:
        yield found
    if offer:
        waiting = (
            f"Security update {offer} waits for an owner."
            if update.get("security")
            else f"Update {offer} waits for an owner."
        )
        yield poor("updates", waiting, "Install it: doorward update.")
    if trouble and waits:
        yield found
    if not trouble and not offer:
        yield fine("updates", f"{update.get('running')} is the newest version for this doorbell.")
