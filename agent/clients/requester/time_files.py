"""Files of an evidence folder that show what others confirmed about the time, for `openssl` and tools for signed notes.

time/after/     the answer is younger than these: part 0, which the device signed, holds them
time/before/    the approval is older than these: the owner's proof `opening.json` leads from the approval to them
time/before-N/  the same of each further file of the owner, N from 2 on
                each with checkpoint.txt (stamped), cosigned.txt (with the lines of witnesses) and NAME.tsr, and
                checkpoint.signed and checkpoint.signature: the doorbell's signature for `openssl`
                of the owner's files also the way from the answer's ledger to that checkpoint: ledger (its head at the
                beat), ledger-node-NN, blind (32 random bytes) and beat-node-NN
time/TIME.txt   the commands
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.clients.requester.by_hand import sides_of
from agent.core.ledger.checkpoint import Checkpoint, checkpoint_signatures, open_time_checkpoint
from agent.core.ledger.time_log import require_opens
from agent.errors import FormatError, OpenError
from agent.platform import files
from agent.wire import strictjson
from agent.wire.envelope import HybridKey
from agent.wire.time_proofs import TimeOpening, TimeProof

__all__ = ["AFTER", "OpenedBeat", "TimeFolder", "growth_steps", "write_time"]

AFTER: Final = "time/after"
"""The folder of the confirmations that part 0 holds."""

_COMMANDS: Final = """\
Each NAME.tsr is an RFC 3161 time stamp on checkpoint.txt beside it. To check it, take the certificate of the authority
from the authority itself, not from here:

    openssl ts -verify -data after/checkpoint.txt -in after/NAME.tsr -CAfile AUTHORITY.pem
    openssl ts -reply -in after/NAME.tsr -text

The first says "Verification: OK". The second shows the time. cosigned.txt is a signed note with the lines of witnesses
(c2sp.org/tlog-cosignature), which tools for signed notes check.

after/   part 0 of the answer holds these (manifest.dsse, "time"). The device signed it later: it is younger.
before/  opening.json leads from ledger-checkpoint.txt to these (LEDGER.md, "Time by others"). The approval is older.
         VERIFY.txt has the commands for the way. before-2/ and so on are further files of the owner.
"""


@dataclass(frozen=True, slots=True)
class OpenedBeat:
    """The way from the ledger of an answer to a head of the log of beats, in files.

    `sides`: for each beat-node, if it stands left of the running hash. `grown`: the same of each hash that leads from
    the answer's ledger to the ledger at the beat, None if they are one ledger. `begins_whole`: the first of these
    hashes is the root of the answer's ledger, and ledger-node-01 is the second.
    """

    sides: tuple[bool, ...]
    grown: tuple[bool, ...] | None
    begins_whole: bool = False


@dataclass(frozen=True, slots=True)
class TimeFolder:
    """A folder of confirmations by the doorbell's own head. `stamps`: the names of its time stamps."""

    path: str
    stamps: tuple[str, ...]
    opened: OpenedBeat | None = None


def write_time(
    folder: Path, device: HybridKey, ledger: Checkpoint, proof: TimeProof | None, openings: Sequence[TimeOpening]
) -> tuple[TimeFolder, ...]:
    """Writes `folder`/time if there is a confirmation. `device`: the doorbell's keys. `ledger`: the answer's head.

    Returns the folders that are of this doorbell and ledger, for commands. Raises `StorageError`.
    """
    if proof is None and not openings:
        return ()
    place = files.make_folder(folder / "time")
    files.write(place / "TIME.txt", _COMMANDS.encode())
    found = []
    if proof is not None:
        head = _write_proof(files.make_folder(folder / AFTER), device, proof)
        if head is not None:
            found.append(TimeFolder(AFTER, tuple(stamp.name for stamp in proof.stamps)))
    for number, opening in enumerate(openings, start=1):
        path = f"time/before-{number}" if number > 1 else "time/before"
        before = files.make_folder(folder / path)
        head = _write_proof(before, device, opening.proof)
        files.write(before / "opening.json", strictjson.encode(opening))
        opened = _write_opening(before, opening, head, ledger, device) if head is not None else None
        if opened is not None:
            found.append(TimeFolder(path, tuple(stamp.name for stamp in opening.proof.stamps), opened))
    return tuple(found)


def _write_proof(folder: Path, device: HybridKey, proof: TimeProof) -> Checkpoint | None:
    """Returns the confirmed head, or None if the device did not sign it: then nothing of it can be checked."""
    note = proof.checkpoint.encode()
    files.write(folder / "checkpoint.txt", note)
    if proof.cosignatures:
        files.write(folder / "cosigned.txt", (proof.checkpoint + proof.cosignatures).encode())
    for stamp in proof.stamps:
        files.write(folder / f"{stamp.name}.tsr", stamp.der)
    try:
        head = open_time_checkpoint(note, device)
        signature, _ = checkpoint_signatures(note, device, of_beats=True)
    except (FormatError, OpenError):
        return None
    files.write(folder / "checkpoint.signed", head.text.encode())
    files.write(folder / "checkpoint.signature", signature)
    return head


def _write_opening(
    folder: Path, opening: TimeOpening, head: Checkpoint, ledger: Checkpoint, device: HybridKey
) -> OpenedBeat | None:
    """Writes the way from the ledger to the beat. Returns None if it leads elsewhere."""
    try:
        committed = require_opens(opening, head, ledger, device.ed25519)
    except (FormatError, OpenError):
        return None
    files.write(folder / "ledger", opening.ledger.encode())
    files.write(folder / "blind", bytes.fromhex(opening.blind))
    for name, nodes in (("beat", opening.path), ("ledger", opening.consistency)):
        for number, node in enumerate(nodes, start=1):
            files.write(folder / f"{name}-node-{number:02}", bytes.fromhex(node))
    sides = sides_of(opening.beat, head.size, len(opening.path))
    if committed.size == ledger.size:
        return OpenedBeat(sides, None)
    begins_whole = ledger.size & (ledger.size - 1) == 0
    return OpenedBeat(sides, tuple(growth_steps(ledger.size, committed.size, len(opening.consistency))), begins_whole)


def growth_steps(old: int, new: int, count: int) -> Iterator[bool]:
    """Yields, for each hash behind the first one of a proof that a tree of `old` leaves grew to `new`, if it stands on
    the left. Those are also in the old tree (RFC 9162, 2.1.4.2). `count`: hashes of the proof."""
    at, last = old - 1, new - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    for _ in range(count if old & (old - 1) == 0 else count - 1):
        left = bool(at & 1) or at == last
        yield left
        while left and not at & 1 and at:
            at, last = at >> 1, last >> 1
        at, last = at >> 1, last >> 1
