"""The signed head of a ledger: a C2SP tlog-checkpoint in a C2SP signed note, with the device's Ed25519 key.

    doorward/139e3940e64b5491
    42
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

    — doorward/139e3940e64b5491 <base64 of key hash (4 bytes) ‖ signature (64 bytes)>

- The origin is `doorward/<device key id>`, and so is the name of the key.  Extension lines are refused.
- The device's log of beats (`time_log`) has the origin `doorward/<device key id>/time`.
- A requester's desk signs its custody logs in the same form. Their origin is `doorward-desk/<desk key id>/<log>`, with
  the requester's id as `log`, so that no checkpoint of one log passes for another's.
- Signatures of others (witnesses) may follow and are ignored.  The device's own must be there exactly once and verify.
- The owner's client remembers the newest checkpoint it saw and calls `check_progress` to refuse a rollback.

Source: https://c2sp.org/signed-note and https://c2sp.org/tlog-checkpoint.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.core.ledger import merkle
from agent.errors import FormatError, OpenError
from agent.wire import base64
from agent.wire.identities import SIGNATURE_BYTES, PublicKey, public_key_of

__all__ = [
    "MAX_NOTE_BYTES",
    "MAX_SIGNATURES",
    "Checkpoint",
    "check_progress",
    "check_same_head",
    "checkpoint_signature",
    "open_checkpoint",
    "open_time_checkpoint",
    "origin_of",
    "parse_checkpoint",
    "sign_checkpoint",
    "sign_time_checkpoint",
    "time_origin_of",
    "verifier_key",
]

MAX_NOTE_BYTES: Final = 16 * 1024
MAX_SIGNATURES: Final = 16
_ED25519: Final = b"\x01"
_KEY_HASH_BYTES: Final = 4
_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,15}")
_ORIGIN: Final = re.compile(r"doorward/[0-9a-f]{16}(/time)?|doorward-desk/[0-9a-f]{16}/[a-z0-9-]{1,32}")
_SIGNATURE_LINE: Final = re.compile(r"— (?P<name>[^\s+]+) (?P<signature>[A-Za-z0-9+/]+={0,2})")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A ledger at one size. `root` is the 32-byte RFC 6962 root hash."""

    origin: str
    size: int
    root: bytes

    def __post_init__(self) -> None:
        if (
            not _ORIGIN.fullmatch(self.origin)
            or not _SIZE.fullmatch(str(self.size))
            or len(self.root) != merkle.HASH_BYTES
        ):
            raise FormatError("This is not a checkpoint of a Doorward ledger.")

    @property
    def text(self) -> str:
        """Returns the note's text: the signed bytes, final newline included."""
        return f"{self.origin}\n{self.size}\n{base64.encode(self.root)}\n"


def origin_of(signer: PublicKey, log: str = "") -> str:
    """Returns the name of the log, which is also the name of its key. `log`: the requester's id, for a desk's log."""
    return f"doorward-desk/{signer.id}/{log}" if log else f"doorward/{signer.id}"


def time_origin_of(signer: PublicKey) -> str:
    """Returns the name of the device's log of beats, which is also the name of its key."""
    return f"doorward/{signer.id}/time"


def verifier_key(signer: PublicKey, log: str = "") -> str:
    """Returns the key as other tools for signed notes take it: `<name>+<hash in hex>+<base64 of type ‖ key>`."""
    name = origin_of(signer, log)
    return f"{name}+{_key_hash(name, signer).hex()}+{base64.encode(_ED25519 + signer.raw)}"


def sign_checkpoint(frontier: merkle.Frontier, private_key: Ed25519PrivateKey, log: str = "") -> bytes:
    """Returns the signed note for the ledger's present head. `log`: as in `origin_of`."""
    return _sign(frontier, private_key, origin_of(public_key_of(private_key), log))


def sign_time_checkpoint(frontier: merkle.Frontier, private_key: Ed25519PrivateKey) -> bytes:
    """Returns the signed note for the present head of the device's log of beats."""
    return _sign(frontier, private_key, time_origin_of(public_key_of(private_key)))


def open_checkpoint(note: bytes, signer: PublicKey, log: str = "") -> Checkpoint:
    """Returns the checkpoint in `note` after verifying the signature of the device, or of the desk for a `log`.

    Raises `FormatError` if the bytes are not a note of this form, and `OpenError` if the signature fails.
    """
    return _open(note, signer, origin_of(signer, log))


def checkpoint_signature(note: bytes, signer: PublicKey) -> bytes:
    """Returns the signature of the device in a note that `open_checkpoint` accepts: 64 bytes, over its first lines."""
    _, _, signatures = note.decode("utf-8").rpartition("\n\n")
    return _own_signature(signatures, origin_of(signer), signer)


def open_time_checkpoint(note: bytes, signer: PublicKey) -> Checkpoint:
    """Returns the checkpoint of the device's log of beats. Raises like `open_checkpoint`."""
    return _open(note, signer, time_origin_of(signer))


def check_same_head(one: Checkpoint, other: Checkpoint) -> None:
    """Raises `OpenError` if both are of one log and one size, but of different content: a split view."""
    if (one.origin, one.size) == (other.origin, other.size) and one.root != other.root:
        raise OpenError(
            f"Two different ledgers of {one.origin} with {one.size} entries are signed by its key: "
            "different people were shown different ledgers.",
            remedy="Keep both checkpoints: together they are the evidence. Treat the device as tampered with.",
        )


def check_progress(old: Checkpoint, new: Checkpoint, proof: Sequence[bytes]) -> None:
    """Raises `OpenError` unless `new` is the ledger of `old`, equal or grown. A rollback or a fork is thus refused."""
    if old.origin != new.origin:
        raise OpenError("These are checkpoints of two different ledgers.")
    try:
        merkle.check_consistency(old.size, old.root, new.size, new.root, proof)
    except OpenError as cause:
        raise OpenError(
            f"The ledger of {new.origin} was rolled back or rewritten: its {new.size} entries do not continue the "
            f"{old.size} seen before.",
            remedy="Keep both checkpoints: together they are the evidence. Treat the device as tampered with.",
        ) from cause


def _sign(frontier: merkle.Frontier, private_key: Ed25519PrivateKey, name: str) -> bytes:
    text = Checkpoint(name, frontier.size, frontier.root).text
    signature = _key_hash(name, public_key_of(private_key)) + private_key.sign(text.encode("utf-8"))
    return f"{text}\n— {name} {base64.encode(signature)}\n".encode()


def _open(note: bytes, signer: PublicKey, name: str) -> Checkpoint:
    if len(note) > MAX_NOTE_BYTES:
        raise FormatError(f"A checkpoint has at most {MAX_NOTE_BYTES} bytes. This one has {len(note)}.")
    try:
        text, separator, signatures = note.decode("utf-8").rpartition("\n\n")
    except UnicodeDecodeError as cause:
        raise FormatError("This checkpoint is not UTF-8.") from cause
    if not separator:
        raise FormatError("This is not a signed note.")
    text += "\n"
    checkpoint = parse_checkpoint(text)
    signature = _own_signature(signatures, name, signer)
    if checkpoint.origin != name or not signer.verifies(signature, text.encode("utf-8")):
        raise _unverified(name)
    return checkpoint


def _key_hash(name: str, key: PublicKey) -> bytes:
    return hashlib.sha256(name.encode("utf-8") + b"\n" + _ED25519 + key.raw).digest()[:_KEY_HASH_BYTES]


def parse_checkpoint(text: str) -> Checkpoint:
    """Returns the checkpoint with this unsigned text. Raises `FormatError`."""
    lines = text.split("\n")
    if len(lines) != 4 or lines[3] or not _SIZE.fullmatch(lines[1]):
        raise FormatError("This note is not a checkpoint of three lines.")
    return Checkpoint(lines[0], int(lines[1]), base64.decode(lines[2]))


def _own_signature(signatures: str, name: str, key: PublicKey) -> bytes:
    """Returns the one signature line that claims to be `key`'s, without its key hash."""
    lines = signatures.split("\n")
    if lines.pop() != "" or not 1 <= len(lines) <= MAX_SIGNATURES:
        raise FormatError(f"A checkpoint ends in 1 to {MAX_SIGNATURES} signature lines.")
    own = []
    for line in lines:
        parsed = _SIGNATURE_LINE.fullmatch(line)
        if parsed is None:
            raise FormatError("A signature line of this checkpoint is malformed.")
        signature = base64.decode(parsed["signature"])
        if parsed["name"] == name and signature[:_KEY_HASH_BYTES] == _key_hash(name, key):
            own.append(signature[_KEY_HASH_BYTES:])
    if len(own) != 1 or len(own[0]) != SIGNATURE_BYTES:
        raise _unverified(name)
    return own[0]


def _unverified(name: str) -> OpenError:
    holder = "device" if name.startswith("doorward/") else "desk"
    return OpenError(f"This checkpoint is not signed by the {holder}'s key.")
