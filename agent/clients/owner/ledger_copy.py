"""A ledger as files, for a third party, who can verify it without the device.

    entries.jsonl      every entry, word for word, a line each        checkpoint.txt   the note the device signed
    device.txt         the device's two public keys, and the steps of the check

To verify it, hash the entries to the root in the note and check both signatures of the note. A later copy of the same
ledger must continue this copy; otherwise the ledger was rewritten.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from agent.clients.owner.ledger_reader import LedgerView
from agent.core.ledger.checkpoint import Checkpoint, open_checkpoint
from agent.core.ledger.entries import LedgerEntry, decode_entry, encode_entry
from agent.core.ledger.merkle import leaf_hash, root_of
from agent.errors import ConfigurationError, FormatError, OpenError
from agent.platform import files
from agent.wire.envelope import HybridKey
from agent.wire.identities import MldsaPublicKey, parse_public_key

__all__ = ["keys_of_copy", "read_copy", "write_copy"]

_LIMIT_BYTES: Final = 1 << 30
_HOW: Final = (
    "The first line is the doorbell's Ed25519 key, and the second its ML-DSA-44 key.\n"
    "Compare both with the keys that an answer of this doorbell shows, or that its owner tells you another way.\n"
    "Check it with: doorward ledger verify --folder FOLDER\n"
    "Or by hand (RFC 6962): each line of entries.jsonl without its newline is a leaf; the tree's root is the third\n"
    "line of checkpoint.txt in base64, and the note has the device's signatures (c2sp.org/signed-note, Ed25519, and\n"
    "c2sp.org/tlog-cosignature, ML-DSA-44).\n"
)


def write_copy(folder: Path, view: LedgerView, device: HybridKey, note: str) -> None:
    """Write a verified ledger into the new folder `folder`.  Raises `ConfigurationError` when there is one already."""
    if files.is_there(folder):
        raise ConfigurationError(f"{folder} already exists.", remedy="Choose a new folder.")
    with files.storage_errors(folder):
        # No `exist_ok`: files of another copy beside these would be read as one.
        folder.mkdir(parents=True)
        (folder / "entries.jsonl").write_bytes(b"".join(encode_entry(entry) + b"\n" for entry in view.entries))
        (folder / "checkpoint.txt").write_text(note, encoding="utf-8")
        (folder / "device.txt").write_text(f"{device.ed25519.text}\n{device.mldsa.text}\n\n{_HOW}", encoding="utf-8")


def keys_of_copy(folder: Path) -> HybridKey:
    """Returns the keys that a copy names. They show who signed it only after a comparison with the device's keys."""
    if not files.is_file(folder / "device.txt"):
        raise _no_copy(folder)
    try:
        first, second, *_ = files.read(folder / "device.txt", _LIMIT_BYTES).decode().splitlines()
        return HybridKey(parse_public_key(first), MldsaPublicKey.parse(second))
    except ValueError as error:
        raise _no_copy(folder) from error


def read_copy(folder: Path) -> tuple[Checkpoint, tuple[LedgerEntry, ...]]:
    """Reads and verifies the ledger in a folder. Raises `OpenError` if the entries differ from the signed note."""
    device = keys_of_copy(folder)
    try:
        checkpoint = open_checkpoint(files.read(folder / "checkpoint.txt", _LIMIT_BYTES), device)
        leaves = files.read(folder / "entries.jsonl", _LIMIT_BYTES).splitlines()
    except UnicodeDecodeError as error:
        raise _no_copy(folder) from error
    if len(leaves) != checkpoint.size or root_of(map(leaf_hash, leaves)) != checkpoint.root:
        raise OpenError(
            f"The entries in {folder} are not the {checkpoint.size} of the ledger that the device signed.",
            remedy="Do not rely on this copy.",
        )
    return checkpoint, tuple(map(decode_entry, leaves))


def _no_copy(folder: Path) -> FormatError:
    return FormatError(
        f"{folder} is not a copy of a ledger.", remedy="Give the folder that 'doorward ledger export' wrote."
    )
