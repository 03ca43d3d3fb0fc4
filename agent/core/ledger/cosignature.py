"""Cosignatures of witnesses on a checkpoint, and the body that asks a witness for one.

- A cosignature is a signature line of a note: base64 of key hash (4 bytes) ‖ time in UTC s (8 bytes, big-endian) ‖
  Ed25519 signature (64 bytes). It signs `cosignature/v1`, the time, and the text of the checkpoint.
- Lines of other names or keys are ignored. A line of a known witness that fails to verify counts as forged.

Source: https://c2sp.org/tlog-cosignature (Ed25519) and https://c2sp.org/tlog-witness.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from agent.core.ledger.checkpoint import MAX_NOTE_BYTES, MAX_SIGNATURES
from agent.errors import FormatError, OpenError
from agent.wire import strictjson
from agent.wire.identities import SIGNATURE_BYTES
from agent.wire.witness_keys import Witness

__all__ = [
    "MAX_ANSWER_BYTES",
    "Cosignature",
    "add_checkpoint_body",
    "conflict_size",
    "cosigned_message",
    "find_cosignatures",
]

MAX_ANSWER_BYTES: Final = 8 * 1024
"""A witness answers with a few lines of less than 400 bytes."""
MAX_PROOF_LINES: Final = 63
_KEY_HASH_BYTES: Final = 4
_TIME_BYTES: Final = 8
_LATEST_S: Final = 253_402_300_799
"""The end of the year 9999. The specification allows later times, which no witness can mean."""
_LINE: Final = re.compile(r"— (?P<name>[!-*,-~]{1,128}) (?P<signature>[A-Za-z0-9+/]{16,4096}={0,2})")
_SIZE: Final = re.compile(rb"(0|[1-9][0-9]{0,15})\n")


@dataclass(frozen=True, slots=True)
class Cosignature:
    """A verified statement: at `time_s` (UTC s) the largest head that `witness` knew of this log was this one."""

    witness: Witness
    time_s: int
    line: str
    """The signature line without its newline."""


def cosigned_message(text: str, time_s: int) -> bytes:
    """Returns the bytes that a witness signs. `text`: the checkpoint's text with its final newline."""
    return f"cosignature/v1\ntime {time_s}\n{text}".encode()


def find_cosignatures(text: str, lines: str, witnesses: Sequence[Witness]) -> tuple[Cosignature, ...]:
    """Returns the cosignatures of `witnesses` among signature `lines`, each of which ends in a newline.

    `text`: the checkpoint's text. Raises `FormatError` for bytes that are no signature lines, and `OpenError` if a line
    has the name and key hash of a known witness but no valid signature.
    """
    parts = lines.split("\n")
    if parts.pop() != "" or len(lines.encode()) > MAX_NOTE_BYTES or len(parts) > MAX_SIGNATURES:
        raise FormatError("These are not the signature lines of a note.")
    found = []
    for line in parts:
        parsed = _LINE.fullmatch(line)
        if parsed is None:
            raise FormatError("A signature line of this note is malformed.")
        data = strictjson.decode_base64(parsed["signature"])
        # signed-note: lines of unknown keys are skipped, for example those of other witnesses.
        known = next((each for each in witnesses if (each.name, each.key_hash) == (parsed["name"], data[:4])), None)
        if known is not None:
            found.append(_verified(text, line, data[_KEY_HASH_BYTES:], known))
    return tuple(found)


def add_checkpoint_body(old_size: int, proof: Sequence[bytes], note: bytes) -> bytes:
    """Returns the body of `add-checkpoint`. `proof` leads from `old_size` to the checkpoint in the signed `note`.

    Raises `FormatError` for a proof with more than 63 hashes.
    """
    if len(proof) > MAX_PROOF_LINES:
        raise FormatError(f"A witness takes at most {MAX_PROOF_LINES} hashes of a proof.")
    # tlog-witness: the size, the proof, an empty line, then the note as it was signed.
    lines = [f"old {old_size}", *map(strictjson.encode_base64, proof), "", ""]
    return "\n".join(lines).encode() + note


def conflict_size(answer: bytes) -> int:
    """Returns the size that a witness names if it knows another head. Raises `FormatError`."""
    found = _SIZE.fullmatch(answer)
    if found is None:
        raise FormatError("The witness refused the checkpoint and named no size.")
    return int(found[1])


def _verified(text: str, line: str, signature: bytes, witness: Witness) -> Cosignature:
    if len(signature) != _TIME_BYTES + SIGNATURE_BYTES:
        raise _forged(witness)
    time_s = int.from_bytes(signature[:_TIME_BYTES], "big")
    if time_s > _LATEST_S or not witness.key.verifies(signature[_TIME_BYTES:], cosigned_message(text, time_s)):
        raise _forged(witness)
    return Cosignature(witness, time_s, line)


def _forged(witness: Witness) -> OpenError:
    return OpenError(f"A cosignature in the name of {witness.name} is not by that witness, or not of this ledger.")
