"""An owner's keys in a browser outlast a backup and a kit of other keys that are used in it."""

from __future__ import annotations

import pytest

from tests.web.test_the_program import node

pytestmark = pytest.mark.interop

CODE = "0123456789"
BEN = "ben with a passkey"


def test_no_backup_and_no_kit_replaces_other_keys_in_a_browser() -> None:
    found = node("kept_keys.mjs", many_passphrases=True)
    came = {name: (each["answer"], each["owner"]) for name, each in found.items()}  # type: ignore[index]
    assert came == {
        "a backup that opens, beside other keys": (CODE, BEN),
        "a backup that does not open, beside other keys": ("error.button-code", BEN),
        "a backup that opens, without keys": (CODE, "ana"),
        "a backup that does not open, without keys": ("error.button-code", None),
        "the own passphrase": (CODE, BEN),
        "the own passkey": (CODE, BEN),
        "another passphrase": ("error.passphrase", BEN),
        "own keys of another doorbell": ("error.button-code", BEN),
        "to restore, beside other keys": ("error.keys-here", BEN),
        "to restore, while the doorbell is away": ("error.lost", None),
        "to claim with another kit": ("error.other-kit", BEN),
        "to recover, beside other keys": ("error.keys-here", BEN),
    }
    beside = {name for name, (_, owner) in came.items() if owner == BEN}
    assert all(found[name]["isSame"] for name in beside)  # type: ignore[index]
    assert not any(found[name]["asked"] for name in beside)  # type: ignore[index]


def test_a_browser_without_room_or_leave_for_the_keys_is_told_with_its_remedy() -> None:
    """The page said "Something unexpected happened: QuotaExceededError"."""
    assert node("storage.mjs") == [
        ["PageError", "error.storage", "SecurityError"],
        ["PageError", "error.storage-full", "QuotaExceededError"],
        ["PageError", "error.storage", "null"],
    ]
