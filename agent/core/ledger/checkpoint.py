"""The signed head of a ledger: a C2SP tlog-checkpoint in a C2SP signed note, with both signatures of the device.

    doorward/139e3940e64b5491
    42
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

    — doorward/139e3940e64b5491 <base64 of key hash (4 bytes) ‖ Ed25519 signature (64 bytes)>
    — doorward/139e3940e64b5491 <base64 of key hash (4 bytes) ‖ time, always 0 (8 bytes) ‖ ML-DSA-44 signature>

- The origin is `doorward/<device key id>`, and so is the name of both keys.  Extension lines are refused.
- The second line is the device's own cosignature in the sense of tlog-cosignature (type 06). Its time is 0, which says
  nothing about time. Both lines must be there exactly once and verify.
- The device's log of beats (`time_log`) has the origin `doorward/<device key id>/time`.
- A requester's desk signs its custody logs in the same form, with Ed25519 alone. Their origin is
  `doorward-desk/<desk key id>/<log>`, with the requester's id as `log`, so that no checkpoint of one log passes for
  another's.
- Signatures of others (witnesses) may follow and are ignored.
- The owner's client remembers the newest checkpoint it saw and calls `check_progress` to refuse a rollback.

Source: https://c2sp.org/signed-note, https://c2sp.org/tlog-checkpoint and https://c2sp.org/tlog-cosignature.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from agent.core.ledger import merkle
from agent.errors import FormatError, OpenError
from agent.wire import strictjson
from agent.wire.envelope import NO_MLDSA_SIGNATURE, NOT_SIGNED_MLDSA, HybridKey
from agent.wire.identities import MLDSA_SIGNATURE_BYTES, SIGNATURE_BYTES, MldsaPublicKey, PublicKey, public_key_of

__all__ = [
    "MAX_NOTE_BYTES",
    "MAX_SIGNATURES",
    "Checkpoint",
    "check_progress",
    "check_same_head",
    "checkpoint_signatures",
    "mldsa_verifier_key",
    "open_checkpoint",
    "open_desk_checkpoint",
    "open_time_checkpoint",
    "origin_of",
    "parse_checkpoint",
    "sign_checkpoint",
    "sign_desk_checkpoint",
    "sign_time_checkpoint",
    "time_origin_of",
    "verifier_key",
]

MAX_NOTE_BYTES: Final = 16 * 1024
MAX_SIGNATURES: Final = 16
# Types of signatures by signed-note: 01 is Ed25519, 06 a cosignature by ML-DSA-44 (tlog-cosignature).
_ED25519: Final = b"\x01"
_MLDSA: Final = b"\x06"
_LABEL: Final = b"subtree/v1\n\x00"
_KEY_HASH_BYTES: Final = 4
_NUMBER_BYTES: Final = 8
_NO_TIME: Final = bytes(_NUMBER_BYTES)
"""The time of the device's own cosignature. The device's clock stays out of what witnesses see."""
# At most 16 digits, and no leading zero: one number has one spelling (tlog-checkpoint).
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
        return f"{self.origin}\n{self.size}\n{strictjson.encode_base64(self.root)}\n"

    @property
    def mldsa_message(self) -> bytes:
        """Returns the bytes that the ML-DSA-44 key signs: `cosigned_message` of tlog-cosignature for all entries."""
        name = self.origin.encode("ascii")
        named = bytes([len(name)]) + name
        start, end = bytes(_NUMBER_BYTES), self.size.to_bytes(_NUMBER_BYTES, "big")
        return _LABEL + named + _NO_TIME + named + start + end + self.root


def origin_of(signer: PublicKey, log: str = "") -> str:
    """Returns the name of the log, which is also the name of its key. `log`: the requester's id, for a desk's log."""
    return f"doorward-desk/{signer.id}/{log}" if log else f"doorward/{signer.id}"


def time_origin_of(signer: PublicKey) -> str:
    """Returns the name of the device's log of beats, which is also the name of its key."""
    return f"doorward/{signer.id}/time"


def verifier_key(signer: PublicKey, log: str = "") -> str:
    """Returns the key as other tools for signed notes take it: `<name>+<hash in hex>+<base64 of type ‖ key>`."""
    return _verifier_key(origin_of(signer, log), _ED25519 + signer.raw)


def mldsa_verifier_key(signer: HybridKey) -> str:
    """Returns the device's second key in the same form. Its type is 06 of tlog-cosignature."""
    return _verifier_key(origin_of(signer.ed25519), _MLDSA + signer.mldsa.raw)


def sign_checkpoint(frontier: merkle.Frontier, private_key: Ed25519PrivateKey, mldsa: MLDSA44PrivateKey) -> bytes:
    """Returns the signed note for the ledger's present head. ML-DSA draws randomness, so its bytes differ each time."""
    return _sign_both(frontier, private_key, mldsa, origin_of(public_key_of(private_key)))


def sign_time_checkpoint(frontier: merkle.Frontier, private_key: Ed25519PrivateKey, mldsa: MLDSA44PrivateKey) -> bytes:
    """Returns the signed note for the present head of the device's log of beats. Its bytes differ each time."""
    return _sign_both(frontier, private_key, mldsa, time_origin_of(public_key_of(private_key)))


def sign_desk_checkpoint(frontier: merkle.Frontier, private_key: Ed25519PrivateKey, log: str) -> bytes:
    """Returns the signed note for the present head of a desk's log. `log`: the requester's id."""
    return _sign(frontier, private_key, origin_of(public_key_of(private_key), log))


def open_checkpoint(note: bytes, signer: HybridKey) -> Checkpoint:
    """Returns the checkpoint in `note` after verifying both signatures of the device.

    Raises `FormatError` if the bytes are not a note of this form, and `OpenError` if a signature is missing or fails.
    """
    return _open_both(note, signer, origin_of(signer.ed25519))


def open_time_checkpoint(note: bytes, signer: HybridKey) -> Checkpoint:
    """Returns the checkpoint of the device's log of beats. Raises like `open_checkpoint`."""
    return _open_both(note, signer, time_origin_of(signer.ed25519))


def open_desk_checkpoint(note: bytes, signer: PublicKey, log: str) -> Checkpoint:
    """Returns the checkpoint of a desk's log, which is signed by Ed25519 alone. Raises like `open_checkpoint`."""
    return _open(note, signer, origin_of(signer, log))[0]


def checkpoint_signatures(note: bytes, signer: HybridKey, *, of_beats: bool = False) -> tuple[bytes, bytes]:
    """Returns the two signatures in a note that `open_checkpoint` accepts, or `open_time_checkpoint` if `of_beats`.

    The first has 64 bytes and is of the note's first lines. The second has 2420 bytes and is of
    `Checkpoint.mldsa_message`.
    """
    name = time_origin_of(signer.ed25519) if of_beats else origin_of(signer.ed25519)
    checkpoint, lines = _open(note, signer.ed25519, name)
    (first,) = _own_signatures(lines, checkpoint.origin, _ED25519 + signer.ed25519.raw)
    (second,) = _own_signatures(lines, checkpoint.origin, _MLDSA + signer.mldsa.raw)
    return first, second[_NUMBER_BYTES:]


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


def _verifier_key(name: str, material: bytes) -> str:
    return f"{name}+{_key_hash(name, material).hex()}+{strictjson.encode_base64(material)}"


def _sign(frontier: merkle.Frontier, private_key: Ed25519PrivateKey, name: str) -> bytes:
    text = Checkpoint(name, frontier.size, frontier.root).text
    key_hash = _key_hash(name, _ED25519 + public_key_of(private_key).raw)
    return f"{text}\n{_line(name, key_hash + private_key.sign(text.encode()))}".encode()


def _sign_both(frontier: merkle.Frontier, private_key: Ed25519PrivateKey, mldsa: MLDSA44PrivateKey, name: str) -> bytes:
    signature = mldsa.sign(Checkpoint(name, frontier.size, frontier.root).mldsa_message)
    key_hash = _key_hash(name, _MLDSA + MldsaPublicKey.of(mldsa).raw)
    return _sign(frontier, private_key, name) + _line(name, key_hash + _NO_TIME + signature).encode()


def _line(name: str, data: bytes) -> str:
    return f"— {name} {strictjson.encode_base64(data)}\n"


def _open(note: bytes, signer: PublicKey, name: str) -> tuple[Checkpoint, list[tuple[str, bytes]]]:
    """Returns the checkpoint with a verified Ed25519 signature, and name and data of each signature line."""
    if len(note) > MAX_NOTE_BYTES:
        raise FormatError(f"A checkpoint has at most {MAX_NOTE_BYTES} bytes. This one has {len(note)}.")
    try:
        # signed-note: the signatures follow the last empty line, because the text may have empty lines, too.
        text, separator, signatures = note.decode("utf-8").rpartition("\n\n")
    except UnicodeDecodeError as cause:
        raise FormatError("This checkpoint is not UTF-8.") from cause
    if not separator:
        raise FormatError("This is not a signed note.")
    text += "\n"
    checkpoint = parse_checkpoint(text)
    lines = _signature_lines(signatures)
    own = _own_signatures(lines, name, _ED25519 + signer.raw)
    if (
        checkpoint.origin != name
        # A second line of the same key is refused instead of chosen from: two readers might choose differently.
        or len(own) != 1
        or len(own[0]) != SIGNATURE_BYTES
        or not signer.verifies(own[0], text.encode("utf-8"))
    ):
        raise _unverified(name)
    return checkpoint, lines


def _open_both(note: bytes, signer: HybridKey, name: str) -> Checkpoint:
    checkpoint, lines = _open(note, signer.ed25519, name)
    own = _own_signatures(lines, name, _MLDSA + signer.mldsa.raw)
    if not own:
        raise OpenError(NO_MLDSA_SIGNATURE)
    # The time is part of the signed bytes, so it has one value: a second spelling would be another note.
    if (
        len(own) != 1
        or len(own[0]) != _NUMBER_BYTES + MLDSA_SIGNATURE_BYTES
        or own[0][:_NUMBER_BYTES] != _NO_TIME
        or not signer.mldsa.verifies(own[0][_NUMBER_BYTES:], checkpoint.mldsa_message)
    ):
        raise OpenError(NOT_SIGNED_MLDSA)
    return checkpoint


def _key_hash(name: str, material: bytes) -> bytes:
    """`material`: the byte of the signature's type, and the public key."""
    # signed-note: SHA-256 of name, newline, type and key. Four bytes only find the key; the signature proves it.
    return hashlib.sha256(name.encode("utf-8") + b"\n" + material).digest()[:_KEY_HASH_BYTES]


def parse_checkpoint(text: str) -> Checkpoint:
    """Returns the checkpoint with this unsigned text. Raises `FormatError`."""
    lines = text.split("\n")
    if len(lines) != 4 or lines[3] or not _SIZE.fullmatch(lines[1]):
        raise FormatError("This note is not a checkpoint of three lines.")
    return Checkpoint(lines[0], int(lines[1]), strictjson.decode_base64(lines[2]))


def _signature_lines(signatures: str) -> list[tuple[str, bytes]]:
    """Returns name and data of each signature line."""
    lines = signatures.split("\n")
    # A bound, because each line costs a look at a key.
    if lines.pop() != "" or not 1 <= len(lines) <= MAX_SIGNATURES:
        raise FormatError(f"A checkpoint ends in 1 to {MAX_SIGNATURES} signature lines.")
    parsed = [_SIGNATURE_LINE.fullmatch(line) for line in lines]
    if not all(parsed):
        raise FormatError("A signature line of this checkpoint is malformed.")
    return [(each["name"], strictjson.decode_base64(each["signature"])) for each in parsed if each is not None]


def _own_signatures(lines: Sequence[tuple[str, bytes]], name: str, material: bytes) -> list[bytes]:
    """Returns the data of the lines that claim to be of the key in `material`, without their key hash."""
    key_hash = _key_hash(name, material)
    return [data[_KEY_HASH_BYTES:] for owner, data in lines if owner == name and data[:_KEY_HASH_BYTES] == key_hash]


def _unverified(name: str) -> OpenError:
    holder = "device" if name.startswith("doorward/") else "desk"
    return OpenError(f"This checkpoint is not signed by the {holder}'s key.")
