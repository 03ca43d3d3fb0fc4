"""Files of an evidence folder that show what others confirmed about the time, for `openssl` and tools for signed notes.

time/after/     the answer is younger than these: part 0, which the device signed, holds them
time/before/    the approval is older than these: the owner's proof `opening.json` leads from the approval to them
time/before-N/  the same of each further file of the owner, N from 2 on
                each with checkpoint.txt (stamped), cosigned.txt (with the lines of witnesses) and NAME.tsr
time/TIME.txt   the commands
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from agent.platform import files
from agent.wire import strictjson
from agent.wire.time_proofs import TimeOpening, TimeProof

__all__ = ["write_time"]

_COMMANDS: Final = """\
Each NAME.tsr is an RFC 3161 time stamp on checkpoint.txt beside it. To check it, take the certificate of the authority
from the authority itself, not from here:

    openssl ts -verify -data after/checkpoint.txt -in after/NAME.tsr -CAfile AUTHORITY.pem
    openssl ts -reply -in after/NAME.tsr -text

The first says "Verification: OK". The second shows the time. cosigned.txt is a signed note with the lines of witnesses
(c2sp.org/tlog-cosignature), which tools for signed notes check.

after/   part 0 of the answer holds these (manifest.dsse, "time"). The device signed it later: it is younger.
before/  opening.json leads from ledger-checkpoint.txt to these. The approval is older. doorward requester verify
         checks the way (LEDGER.md, "Time by others"). before-2/ and so on are further files of the owner.
"""


def write_time(folder: Path, proof: TimeProof | None, openings: Sequence[TimeOpening]) -> None:
    """Writes `folder`/time if there is a confirmation. Raises `StorageError`."""
    if proof is None and not openings:
        return
    place = files.make_folder(folder / "time")
    files.write(place / "TIME.txt", _COMMANDS.encode())
    if proof is not None:
        _write_proof(files.make_folder(place / "after"), proof)
    for number, opening in enumerate(openings, start=1):
        before = files.make_folder(place / (f"before-{number}" if number > 1 else "before"))
        _write_proof(before, opening.proof)
        files.write(before / "opening.json", strictjson.encode(opening))


def _write_proof(folder: Path, proof: TimeProof) -> None:
    files.write(folder / "checkpoint.txt", proof.checkpoint.encode())
    if proof.cosignatures:
        files.write(folder / "cosigned.txt", (proof.checkpoint + proof.cosignatures).encode())
    for stamp in proof.stamps:
        files.write(folder / f"{stamp.name}.tsr", stamp.der)
