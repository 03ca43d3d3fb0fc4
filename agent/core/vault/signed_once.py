"""Divides the lines of a manifest into those that a second signature covers and those that are signed once.

A line is covered if a second signature stands on it or on a later line, and each line from there to the later one
names the hash of the line before it. The newest lines, of at most an hour, are records although they are signed once.
All other lines that are not covered count as no records: a forger of Ed25519 may have made them.

Source: FORMAT.md, "Second signatures".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from agent.core.vault.hash_chain import needs_second_signature, time_of
from agent.core.vault.manifest import ChainStep, SignedRecord
from agent.wire.identities import MldsaPublicKey

__all__ = ["ManifestEnd", "SignedOnce", "end_of"]


class _Line(NamedTuple):
    signed: SignedRecord | None
    counts: bool
    """It is a record even if no second signature follows."""


class SignedOnce:
    """Takes the steps of `manifest.follow` with a key, in their order.

    After the last one, `newest` are the lines at the end that are signed once and count as records. `unproven` are
    those that count as none: they are in front of a broken chain, lack a second signature that they need, or were
    carried by such a line.
    """

    def __init__(self, *, count_only: bool = False) -> None:
        """If `count_only`, only `lines` is kept. A whole manifest can be uncovered, and then needs much memory."""
        self._count_only = count_only
        self._waiting: list[_Line] = []
        """Lines that the next second signature covers, if no line before it breaks the chain."""
        self._carried: list[_Line] = []
        self._before: ChainStep | None = None
        """The newest line of the chain, if the device signed it. Before carried lines it is that of their chapter."""
        self._given_up: list[_Line] = []

    def add(self, step: ChainStep) -> Sequence[SignedRecord]:
        """Returns the lines that are covered from this one on, in their order."""
        return _lines(self._add_carried(step) if step.carried else self._add(step))

    def _line(self, step: ChainStep) -> _Line:
        return _Line(None if self._count_only else step.signed, counts=not step.refused and not step.carried)

    def _add(self, step: ChainStep) -> Sequence[_Line]:
        # Carried lines are left here if their chapter ended before the last of them.
        self._given_up += _taken(self._carried)
        self._before = None
        # Damage breaks nothing until a readable line shows that it names another one. At the end, none follows.
        if step.signed is None or not step.ours:
            return ()
        if step.breaks:
            self._given_up += _taken(self._waiting)
        self._before = step
        self._waiting.append(self._line(step))
        return _taken(self._waiting) if step.covers else ()

    def _add_carried(self, step: ChainStep) -> Sequence[_Line]:
        """Carried lines have one hash together, in the line of their chapter. A second signature of their own proves
        them without it."""
        if step.signed is not None and step.ours and not step.covers:
            self._carried.append(self._line(step))
        covered = [self._line(step)] if step.covers else []
        if step.rests:
            others = _taken(self._carried)
            if step.breaks or self._before is None:
                self._given_up += others
            elif self._before.covers:
                covered = [*others, *covered]
            else:
                self._waiting += others
        return covered

    @property
    def newest(self) -> Sequence[SignedRecord]:
        return _lines(line for line in self._waiting if line.counts)

    @property
    def unproven(self) -> Sequence[SignedRecord]:
        waiting = (line for line in self._waiting if not line.counts)
        return _lines((*self._given_up, *self._carried, *waiting))

    @property
    def lines(self) -> int:
        """The number of lines without a second signature on or behind them."""
        return len(self._given_up) + len(self._carried) + len(self._waiting)


class ManifestEnd(NamedTuple):
    """The newest lines of a manifest, as the next second signature would cover them."""

    is_sound: bool
    """No line of them lacks a second signature that it needs, and none has another's."""
    is_known: bool
    """The lines that were read decide it: they have a second signature, and each follows the one before it."""


def end_of(steps: Iterable[ChainStep], mldsa: MldsaPublicKey) -> ManifestEnd:
    """Judges the end of a manifest. `steps`: those of `manifest.follow` without keys, from any position on.

    Ed25519 is left out: a forger of it can sign each line, and a reader refuses a line without that signature anyway.
    """
    newest: SignedRecord | None = None
    sound = follows = True
    begun = False
    for step in steps:
        # The first line that is read follows nothing that is known here, and may be the rest of one.
        follows = follows and not (begun and step.fault is not None)
        signed = step.signed
        if signed is None or step.carried:
            continue
        begun = True
        if signed.mldsa is None:
            time = time_of(newest.record) if newest is not None else None
            sound = sound and not needs_second_signature(signed.record, time)
        elif not signed.signed_twice_by(mldsa):
            sound = False
        elif newest is None or signed.sequence > newest.sequence:  # a repeated line must not bring its hour back
            newest, sound = signed, True
    return ManifestEnd(sound, follows and newest is not None)


def _taken(lines: list[_Line]) -> list[_Line]:
    taken = lines[:]
    lines.clear()
    return taken


def _lines(lines: Iterable[_Line]) -> list[SignedRecord]:
    return [line.signed for line in lines if line.signed is not None]
