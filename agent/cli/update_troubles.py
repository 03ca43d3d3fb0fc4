"""Why a look for updates found nothing out: what is wrong, and what a person does about it.

`doorward update`, `doorward owner update` and the doctor share these words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from agent.core.updates import UpdateTrouble

__all__ = ["TROUBLES", "Trouble", "told"]


class Trouble(NamedTuple):
    """`remedy` may end with a command behind two spaces."""

    message: str
    remedy: str


TROUBLES: Final[Mapping[str, Trouble]] = {
    UpdateTrouble.NETWORK.value: Trouble(
        "The server cannot be reached, or is too slow.",
        "The doorbell tries again within 15 hours. If it stays so, check its network and updates.source.",
    ),
    UpdateTrouble.EXPIRED.value: Trouble(
        "The signed news is too old. If it stays so, an attacker may hold newer news back.",
        "Connect the doorbell to another network, or ask the makers. "
        "Then look again on the doorbell:  sudo doorward update check",
    ),
    UpdateTrouble.REFUSED.value: Trouble(
        "What the server has is not what its makers signed.",
        "Nothing was changed. If it stays so, report it to the makers.",
    ),
    UpdateTrouble.CLOCK.value: Trouble(
        "The doorbell does not know the time.",
        "Connect it to a time server, or set the clock on the doorbell:  sudo date -s '2026-12-01 12:00'",
    ),
    UpdateTrouble.DISK.value: Trouble(
        "The disk has no room, or fails.",
        "Free some space, or lower vault.free_floor. To see what is wrong, on the doorbell:  sudo doorward doctor",
    ),
}


def told(trouble: str) -> Trouble | None:
    """Returns the words for a trouble, None for one of a later version."""
    return TROUBLES.get(trouble)
