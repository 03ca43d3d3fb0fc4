"""Writer of the ledger: one leaf for each event, in the transaction that it records, and the signed head.

The compact Merkle state is written in the same transaction, so leaf and head always agree. A transaction of the
custodian is one lock, one transaction of the journal, then the actions that follow:

    with decisions.one():           everything written to the journal inside is durable together, or did not happen
        decisions.after(act)        runs after the commit, outside the lock: harmless to repeat and to lose
        decisions.otherwise(undo)   runs after a failure: restores memory to the state of the disk

Network messages, owners' statements and timers decide on different threads, and all use this lock.  The outermost
`one()` counts.  An inner one is part of it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, overload

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from agent.core.ledger.checkpoint import sign_checkpoint
from agent.core.ledger.entries import EntryKind, decode_entry, encode_entry, entry
from agent.core.ledger.merkle import Frontier, consistency_proof, leaf_hash
from agent.errors import InternalError, RequestError
from agent.ports import Clock, Entropy, Journal
from agent.wire.disclosures import LedgerProof

__all__ = ["Ledger", "Transactions"]


class Transactions:
    """The custodian's one lock.  Lock order: this, then the journal's, then the vault's."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.lock = threading.RLock()
        """Held during a transaction."""
        self._depth = 0
        self._after: list[Callable[[], None]] = []
        self._otherwise: list[Callable[[], None]] = []

    @contextmanager
    def one(self) -> Iterator[None]:
        """Opens one transaction.  If the block raises, nothing happened."""
        with self.lock:
            # Nested blocks share one SQLite transaction, and only the outermost may run what follows.
            self._depth += 1
            try:
                with self._journal.transaction():
                    yield
            # Also for an interrupt: memory would otherwise keep a state that the disk has rolled back.
            except BaseException:
                self._depth -= 1
                if self._depth == 0:
                    _, undone = self._settled()
                    for undo in undone:
                        undo()
                raise
            self._depth -= 1
            # Taken while the lock is held, so that another thread's transaction does not run or lose them.
            acts, _ = ([], []) if self._depth else self._settled()
        # Outside of the lock: an act may delete many megabytes, and other threads must decide meanwhile.
        for act in acts:
            act()

    def after(self, act: Callable[[], None]) -> None:
        self._after.append(act)

    def otherwise(self, undo: Callable[[], None]) -> None:
        self._otherwise.append(undo)

    def _settled(self) -> tuple[list[Callable[[], None]], list[Callable[[], None]]]:
        settled = self._after, self._otherwise
        self._after, self._otherwise = [], []
        return settled


_FRONTIER: Final = "ledger.frontier"
_PAGE: Final = 1024
_LEAVES: Final = (EntryKind.APPROVED, EntryKind.TIP)
_LEAST_PADDING: Final = 8
"""A subtree in the proof of an answer that holds no padding has more entries than this. Each of them has a time in
microseconds, so a requester cannot guess them together."""
_PADDING_STEPS: Final = 128
"""One entry more or less before an answer changes what its reader sees in one of this many answers. A power of two up
to 256: one random byte gives each number equally often."""
_SUBJECT_BYTES: Final = 32


class Ledger:
    """The device's ledger in its journal.  Call `write` inside `journal.transaction()`."""

    def __init__(
        self, journal: Journal, clock: Clock, device_key: Ed25519PrivateKey, mldsa_key: MLDSA44PrivateKey
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._key = device_key
        self._mldsa_key = mldsa_key
        self._newest: tuple[bytes, Frontier] | None = None
        """The newest entry that this process wrote, and the Merkle state before it."""
        self._signed: tuple[Frontier, bytes] | None = None
        """The newest head that was signed, and its note. An unchanged ledger costs no second signature."""

    @property
    def size(self) -> int:
        return self._frontier().size

    def write(self, kind: EntryKind, **fields: Any) -> None:
        """Appends an entry.  `core.ledger.entries.FIELDS` lists the `fields` for each `kind`."""
        # The boot and its clock, too: they give the order of entries, also while the wall clock is wrong (LEDGER.md).
        leaf = encode_entry(entry(kind, self._clock.boot_id, self._clock.now(), **fields))
        with self._journal.transaction():
            frontier = self._frontier()
            self._journal.append_leaf(frontier.size, leaf)
            # In one transaction with the leaf. A state without its leaf would make every later head unprovable.
            self._journal.put(_FRONTIER, frontier.append(leaf_hash(leaf)).dump())
            self._newest = (leaf, frontier)

    def pad(self, entropy: Entropy) -> None:
        """Appends 8 to 135 entries of padding. Call it right before the entry that an answer shows.

        An answer shows the ledger's size and hashes of what is before its entry. Without padding, a requester with two
        answers counts the entries between them, and tells a "no" (three entries) from "no footage" (two). It could also
        guess a short entry and compare its hash (docs/security/promises.md, promise 3; docs/decisions/0124).
        """
        number = _LEAST_PADDING + int.from_bytes(entropy.token(1)) % _PADDING_STEPS
        for _ in range(number):
            self.write(EntryKind.PADDING, subject=entropy.token(_SUBJECT_BYTES).hex())

    def newest(self) -> LedgerProof:
        """Returns the newest entry of the caller's transaction, and the proof that it is in the tree.

        The newest entry is the rightmost leaf, so its path is the previous state.  No other entry is read.
        """
        written, frontier = self._newest, self._frontier()
        # A rolled-back transaction leaves `_newest` behind. The comparison notices it before a false proof is signed.
        if written is None or written[1].append(leaf_hash(written[0])) != frontier:
            raise InternalError("The ledger was written outside the transaction.")
        leaf, before = written
        return LedgerProof(
            checkpoint=self._note(frontier).decode(),
            entry=leaf.decode(),
            index=before.size,
            # RFC 9162, 2.1.3: the path of the rightmost leaf is the complete subtrees to its left, from the smallest
            # on.
            path=tuple(node.hex() for node in reversed(before.roots)),
        )

    def checkpoint(self) -> bytes:
        """Returns the signed note of the current head."""
        return self._note(self._frontier())

    def progress(self, old_size: int) -> tuple[bytes, tuple[bytes, ...]]:
        """Returns the current checkpoint, and the proof that it continues the one with `old_size` entries.

        Raises `RequestError` if the ledger is shorter.  Entries are immutable, so the proof is made outside the lock.
        """
        frontier = self._frontier()
        if not 0 <= old_size <= frontier.size:
            raise RequestError(f"This ledger has {frontier.size} entries, not {old_size}.")
        proof = consistency_proof(_LeafHashes(self._journal, 0, frontier.size), old_size)
        return self._note(frontier), proof

    def frontier(self) -> Frontier:
        """Returns the current Merkle state."""
        return self._frontier()

    def consistency(self, old_size: int, size: int) -> tuple[bytes, ...]:
        """Returns the proof that the ledger of `size` entries continues the one of `old_size`."""
        return consistency_proof(_LeafHashes(self._journal, 0, size), old_size)

    def has_approval(self, start: int, end: int) -> bool:
        """Returns True if one of the entries `[start, end)` lets something leave: an approval or a tip."""
        pages = ((at, min(at + _PAGE, end)) for at in range(start, end, _PAGE))
        return any(decode_entry(leaf).kind in _LEAVES for page in pages for leaf in self._journal.leaves(*page))

    def leaves(self, start: int, end: int) -> list[bytes]:
        return self._journal.leaves(start, end)

    def _note(self, frontier: Frontier) -> bytes:
        signed = self._signed
        if signed is None or signed[0] != frontier:
            self._signed = signed = (frontier, sign_checkpoint(frontier, self._key, self._mldsa_key))
        return signed[1]

    def _frontier(self) -> Frontier:
        kept = self._journal.get(_FRONTIER)
        return Frontier() if kept is None else Frontier.load(kept)


class _LeafHashes(Sequence[bytes]):
    """The hashes of entries `[start, end)`, read on demand.  A proof needs one page in memory instead of the whole
    ledger."""

    def __init__(self, journal: Journal, start: int, end: int) -> None:
        self._journal = journal
        self._start = start
        self._end = end

    def __len__(self) -> int:
        return self._end - self._start

    def __iter__(self) -> Iterator[bytes]:
        for start in range(self._start, self._end, _PAGE):
            yield from map(leaf_hash, self._journal.leaves(start, min(start + _PAGE, self._end)))

    @overload
    def __getitem__(self, at: int) -> bytes: ...
    @overload
    def __getitem__(self, at: slice) -> _LeafHashes: ...
    def __getitem__(self, at: int | slice) -> bytes | _LeafHashes:
        wanted = range(self._start, self._end)[at]
        if isinstance(wanted, range):
            return _LeafHashes(self._journal, wanted.start, wanted.stop)
        (leaf,) = self._journal.leaves(wanted, wanted + 1)
        return leaf_hash(leaf)
