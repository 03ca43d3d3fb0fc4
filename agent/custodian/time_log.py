"""The device's log of beats: one leaf at each beat, its head for witnesses and time-stampers, and their answers.

Beats follow the boot clock alone. Each beat takes the ledger's head as it is and hides it with random bytes. The bytes
that leave have lengths that depend on the number of beats only (`core.ledger.time_log`). The uplink carries them, and
brings the answers back. A cosignature is verified here. The answer of a time-stamper is kept as it came: the device
reads no ASN.1, and compares only that the answer holds the digest that was sent.

The next sending is that of the next beat. A witness that was away gets a longer proof then.

Source: LEDGER.md, "Time by others"; decision 0064.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from agent.core.beats import beat_number
from agent.core.ledger.checkpoint import Checkpoint, origin_of, sign_time_checkpoint
from agent.core.ledger.cosignature import (
    MAX_ANSWER_BYTES,
    add_checkpoint_body,
    conflict_size,
    find_cosignatures,
)
from agent.core.ledger.entries import EntryKind
from agent.core.ledger.merkle import Frontier, consistency_proof, inclusion_proof
from agent.core.ledger.time_log import BLIND_BYTES, NONCE_BYTES, beat_leaf_hash, stamp_request
from agent.custodian.ledger_writer import Ledger
from agent.errors import DoorwardError, FormatError, RequestError
from agent.ipc.protocol import BeatAnswer, BeatMessage, OutgoingBeat
from agent.ports import Clock, Entropy, Journal
from agent.wire import strictjson
from agent.wire.identities import public_key_of
from agent.wire.strictjson import Message
from agent.wire.time_proofs import MAX_STAMP_BYTES, TimeOpening, TimeProof, TimeStamp
from agent.wire.witness_keys import Witness

__all__ = ["TimeLog", "WitnessAddress"]

_FRONTIER: Final = "time.frontier"
_AT: Final = "time.at"
_NOTE: Final = "time.note"
"""The signed head of the newest beat. Stamps are of its bytes, and a second signature would have others."""
_BEAT: Final = "time.beat."
_KNOWN: Final = "time.known."
_PROOF: Final = "time.proof."
_FIRST: Final = "time.first."
_NEWEST: Final = "time.newest"
_SIZE_BYTES: Final = 8
_HASH_BYTES: Final = 32
_KEPT: Final = 400
"""Confirmed beats that stay with their answers, besides the first one after each approval: 100 days of four beats."""
_PROOF_LIMIT_BYTES: Final = 128 * 1024
_OK: Final = 200
_CONFLICT: Final = 409
_UNPROVEN: Final = 422


@dataclass(frozen=True, slots=True)
class WitnessAddress:
    """One that confirms beats. `witness` is None for a time-stamper. `url`: the address that takes the POST."""

    name: str
    url: str
    witness: Witness | None = None


class _Position(Message, frozen=True):
    """The newest beat of a boot."""

    boot: str
    beat: int


@dataclass(frozen=True, slots=True)
class _Beat:
    """A beat as it was made: the hiding bytes, and the ledger's size and root."""

    blind: bytes
    size: int
    root: bytes

    def dump(self) -> bytes:
        return self.blind + self.size.to_bytes(_SIZE_BYTES, "big") + self.root

    @staticmethod
    def load(data: bytes) -> _Beat:
        blind, size, root = data[:BLIND_BYTES], data[BLIND_BYTES:-_HASH_BYTES], data[-_HASH_BYTES:]
        return _Beat(blind, int.from_bytes(size, "big"), root)


class TimeLog:
    """`beat` and `take` are for the uplink. All methods may be called from any thread."""

    def __init__(
        self,
        journal: Journal,
        ledger: Ledger,
        clock: Clock,
        entropy: Entropy,
        key: Ed25519PrivateKey,
        mldsa_key: MLDSA44PrivateKey,
        addresses: Sequence[WitnessAddress] = (),
        every_s: int = 0,
    ) -> None:
        """`every_s`: seconds between two beats. 0: beats are off, and old confirmations stay readable."""
        self._journal = journal
        self._ledger = ledger
        self._clock = clock
        self._entropy = entropy
        self._key = key
        self._mldsa_key = mldsa_key
        self._device = public_key_of(key)
        self._addresses = tuple(addresses)
        self._every_s = every_s
        self._log = structlog.get_logger("time")
        self._lock = threading.Lock()
        self._sent: OutgoingBeat | None = None
        """The present beat as it was given out. It is made once: proofs take time, and the uplink may ask often."""
        self._faults: dict[str, str] = {}
        """Reason why the last answer of each address confirmed nothing. Empty: it confirmed."""

    @property
    def every_s(self) -> int:
        return self._every_s

    def beat(self) -> OutgoingBeat:
        """Returns the present beat with the bytes for each address. It is made if its time has come.

        Asking again within one beat gives the same ones. Before the first beat of this boot the number is 0, with an
        empty list.
        """
        with self._lock, self._journal.transaction():
            now = self._clock.now()
            number = beat_number(now.boot_ns, self._every_s) if self._every_s else 0
            if number == 0:
                return OutgoingBeat(0, ())
            position = _Position(boot=self._clock.boot_id, beat=number)
            made = self._journal.get(_AT)
            if made is None or strictjson.decode(made, _Position) != position:
                self._make()
                # In the transaction of the new leaf: a power cut between the two would make two leaves for one beat,
                # and the log's size would no longer be the number of beats.
                self._journal.put(_AT, strictjson.encode(position))
                self._sent = None
            self._sent = self._sent or self._outgoing()
            return self._sent

    def take(self, number: int, answers: Sequence[BeatAnswer]) -> None:
        """Keeps what the addresses answered to beat `number`, and writes a ledger entry if one of them confirmed it.

        An answer for an older beat is refused: it came too late.
        """
        with self._lock, self._journal.transaction():
            frontier = self._frontier()
            # The uplink names the beat. Without the comparison, it could file an old answer under the present one.
            if number != frontier.size or number == 0:
                raise RequestError("This answer is for another beat than the present one.")
            if self._journal.get(f"{_PROOF}{number - 1:010}") is not None:
                return
            note = self._note()
            lines, stamps = [], []
            by_name = {answer.name: answer for answer in answers}
            for address in self._addresses:
                answer = by_name.get(address.name)
                try:
                    if address.witness is not None:
                        lines.append(self._cosigned(note, address.witness, answer, address.name, frontier.size))
                    else:
                        stamps.append(_stamp(note, address.name, answer))
                except DoorwardError as error:
                    self._faults[address.name] = error.message
                    self._log.warning("time_not_confirmed", by=address.name, error=error.message)
                else:
                    self._faults[address.name] = ""
            if lines or stamps:
                self._keep(
                    number, TimeProof(checkpoint=note.decode(), cosignatures="".join(lines), stamps=tuple(stamps))
                )

    def newest(self) -> TimeProof | None:
        """Returns the newest confirmation, for part 0 of a disclosure. None if there is none."""
        newest = self._journal.get(_NEWEST)
        return None if newest is None else self._proof(int(newest))

    def opening(self, size: int, number: int = 0) -> TimeOpening | None:
        """Returns the earliest kept confirmation of a beat with at least `size` entries in its ledger, or that of beat
        `number`. None if there is none."""
        kept = sorted(map(int, self._journal.named(_PROOF)))
        for index in kept if number == 0 else {number - 1}.intersection(kept):
            beat = self._beat(index)
            if beat.size >= size:
                return self._opened(index, beat, size)
        return None

    def status(self) -> dict[str, Any] | None:
        """Returns what `doorward status` shows, or None without `[witness]`."""
        if not self._every_s:
            return None
        newest = self._journal.get(_NEWEST)
        return {
            "beats": self._frontier().size,
            "confirmed": 0 if newest is None else int(newest) + 1,
            "by": {address.name: self._faults.get(address.name) for address in self._addresses},
        }

    def _make(self) -> None:
        frontier = self._frontier()
        ledger = self._ledger.frontier()
        # New random bytes each time. Two beats of an unchanged ledger would otherwise have equal leaves.
        beat = _Beat(self._entropy.token(BLIND_BYTES), ledger.size, ledger.root)
        self._journal.put(f"{_BEAT}{frontier.size:010}", beat.dump())
        grown = frontier.append(self._leaf(beat))
        self._journal.put(_FRONTIER, grown.dump())
        # Kept, because ML-DSA draws randomness: a second note of the same head would have other bytes than the stamped
        # ones.
        self._journal.put(_NOTE, sign_time_checkpoint(grown, self._key, self._mldsa_key))

    def _outgoing(self) -> OutgoingBeat:
        frontier = self._frontier()
        note = self._note()
        leaves: list[bytes] | None = None
        messages = []
        for address in self._addresses:
            if address.witness is None:
                body = stamp_request(note, self._entropy.token(NONCE_BYTES))
            else:
                # Once for all witnesses: years of beats are thousands of leaves.
                leaves = leaves if leaves is not None else self._leaves()
                known = min(self._known_by(address.name), frontier.size)
                body = add_checkpoint_body(known, consistency_proof(leaves, known), note)
            messages.append(BeatMessage(address.name, address.url, body, is_witness=address.witness is not None))
        return OutgoingBeat(frontier.size, tuple(messages))

    def _cosigned(self, note: bytes, witness: Witness, answer: BeatAnswer | None, name: str, size: int) -> str:
        """Returns the witness's line. Raises `DoorwardError` if there is none, or if the witness knows another log."""
        if answer is None or answer.status == 0:
            raise RequestError("It did not answer.")
        if answer.status == _CONFLICT:
            known = conflict_size(answer.body)
            # tlog-witness: 409 names the size that the witness knows. More beats than there are is another log.
            if known > size:
                raise _contradicted(f"It has seen {known} beats of this doorbell, which has {size}.")
            self._journal.put(_KNOWN + name, known.to_bytes(_SIZE_BYTES, "big"))
            raise RequestError(f"It knew {known} beats. The next beat continues from there.")
        if answer.status == _UNPROVEN:
            raise _contradicted("It has seen another log of beats of this doorbell.")
        if answer.status != _OK or len(answer.body) > MAX_ANSWER_BYTES:
            raise RequestError(f"It refused the beat (HTTP {answer.status}).")
        # A cosignature is over the note's text without the device's own signature lines (tlog-cosignature).
        text, _, _ = note.decode().rpartition("\n\n")
        try:
            lines = answer.body.decode("utf-8")
        except UnicodeDecodeError as error:
            raise FormatError("It sent no signature lines.") from error
        found = find_cosignatures(f"{text}\n", lines, [witness])
        if not found:
            raise RequestError("It did not sign with the key in the configuration.")
        self._journal.put(_KNOWN + name, size.to_bytes(_SIZE_BYTES, "big"))
        return f"{found[0].line}\n"

    def _keep(self, number: int, proof: TimeProof) -> None:
        data, index, newest = strictjson.encode(proof), f"{number - 1:010}", self._journal.get(_NEWEST)
        since = 0 if newest is None else self._beat(int(newest)).size
        # The first confirmation after an approval bounds the time of that approval best, so it is never thinned out.
        if self._ledger.has_approval(since, self._beat(number - 1).size):
            self._journal.put(_FIRST + index, b"")
        self._journal.put(_PROOF + index, data)
        self._journal.put(_NEWEST, index.encode())
        self._ledger.write(EntryKind.TIME_CONFIRMED, subject=hashlib.sha256(data).hexdigest(), version=number)
        self._thin()

    def _thin(self) -> None:
        """Removes the oldest answers beyond `_KEPT`. The first confirmation after an approval stays."""
        removable = sorted(self._journal.named(_PROOF).keys() - self._journal.named(_FIRST).keys())
        for index in removable[:-_KEPT]:
            self._journal.remove(_PROOF + index)

    def _opened(self, index: int, beat: _Beat, size: int) -> TimeOpening:
        proof = self._proof(index)
        leaves = self._leaves()[: index + 1]
        ledger = Checkpoint(origin_of(self._device), beat.size, beat.root)
        return TimeOpening(
            v=1,
            device=self._device.text,
            size=size,
            consistency=tuple(node.hex() for node in self._ledger.consistency(size, beat.size)),
            ledger=ledger.text,
            blind=beat.blind.hex(),
            beat=index,
            path=tuple(node.hex() for node in inclusion_proof(leaves, index)),
            proof=proof,
        )

    def _proof(self, index: int) -> TimeProof:
        data = self._journal.get(f"{_PROOF}{index:010}")
        assert data is not None  # noqa: S101 — the newest is never removed, and others come from the list
        return strictjson.decode(data, TimeProof, limit_bytes=_PROOF_LIMIT_BYTES)

    def _beat(self, index: int) -> _Beat:
        data = self._journal.get(f"{_BEAT}{index:010}")
        assert data is not None  # noqa: S101 — beats are never removed
        return _Beat.load(data)

    def _leaves(self) -> list[bytes]:
        beats = self._journal.named(_BEAT)
        return [self._leaf(_Beat.load(beats[name])) for name in sorted(beats)]

    def _leaf(self, beat: _Beat) -> bytes:
        return beat_leaf_hash(beat.blind, Checkpoint(origin_of(self._device), beat.size, beat.root))

    def _known_by(self, name: str) -> int:
        return int.from_bytes(self._journal.get(_KNOWN + name) or b"", "big")

    def _note(self) -> bytes:
        note = self._journal.get(_NOTE)
        assert note is not None  # noqa: S101 — written with each beat
        return note

    def _frontier(self) -> Frontier:
        kept = self._journal.get(_FRONTIER)
        return Frontier() if kept is None else Frontier.load(kept)


def _contradicted(seen: str) -> RequestError:
    return RequestError(
        f"{seen} A disk of an earlier day was put back, or another device uses this doorbell's key.",
        remedy="If you put back no disk, treat the doorbell as tampered with. Keep its disk as evidence.",
    )


def _stamp(note: bytes, name: str, answer: BeatAnswer | None) -> TimeStamp:
    """Returns the stamp. Raises `DoorwardError` if the answer cannot be one for `note`."""
    if answer is None or answer.status == 0:
        raise RequestError("It did not answer.")
    if answer.status != _OK or len(answer.body) > MAX_STAMP_BYTES:
        raise RequestError(f"It gave no stamp (HTTP {answer.status}, {len(answer.body)} bytes).")
    # Enough to drop answers for another beat. Readers verify the stamp with an ASN.1 parser, which has no place here.
    if hashlib.sha256(note).digest() not in answer.body:
        raise RequestError("Its answer is not for this beat.")
    return TimeStamp(name=name, response=strictjson.encode_base64(answer.body))
