"""Counts what each doorbell has on this machine's disk, so that none takes the room of its neighbours.

Rules:
- Of one doorbell and one request, a newer answer replaces one that is still on its way.
- All answers of one doorbell to one request together stay within the limits of one answer, in bytes and in parts.
- One doorbell has at most a share of the disk: of what is free and what disclosures take already.
- Tips name no doorbell, so all tips together count as one.

The account is made by looking through the folders at the start and is kept from then on.  People move folders away
meanwhile: before anything is turned down it is made anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agent.clients.requester.disclosure_folder import AnswerFolder, answer_folders
from agent.errors import StorageError
from agent.platform import files

__all__ = ["DisclosureQuota", "HeldDisclosure", "QuotaUsage", "request_key"]


@dataclass(frozen=True, slots=True)
class HeldDisclosure:
    """One disclosure.  `request`: what `request_key` says; empty before it is known, and of a tip.

    `size_bytes`, `parts`: what is here, or all that is promised while it is on its way (`live`).
    """

    device: str
    request: str
    size_bytes: int
    parts: int
    live: bool


@dataclass(frozen=True, slots=True)
class QuotaUsage:
    """Several of them together."""

    disclosures: int = 0
    size_bytes: int = 0
    parts: int = 0


class DisclosureQuota:
    """What lies below `disclosures/` of a requester's `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[str, HeldDisclosure] = {}

    def __len__(self) -> int:
        return len(self._held)

    def count_again(self) -> None:
        """Make the account anew from the disk.  What is on its way keeps what it promised.  Raises `StorageError`."""
        found: dict[str, HeldDisclosure] = {}
        for answer in answer_folders(self._folder):
            known = self._held.get(answer.disclosure)
            if known is not None and known.live:
                found[answer.disclosure] = known
            elif (holding := _on_disk(answer)) is not None:
                found[answer.disclosure] = holding
        self._held = found

    def put(self, disclosure: str, holding: HeldDisclosure) -> None:
        self._held[disclosure] = holding

    def ended(self, disclosure: str) -> None:
        """It is not on its way any more: what is here counts, not what was promised."""
        holding = _on_disk(AnswerFolder(self._folder, disclosure))
        if holding is None:
            self._held.pop(disclosure, None)
        else:
            self._held[disclosure] = holding

    def remove(self, disclosure: str) -> None:
        self._held.pop(disclosure, None)

    def live(self, device: str, request: str) -> tuple[str, ...]:
        """The doorbell's answers to this request that are on their way."""
        return tuple(
            name for name, each in self._held.items() if each.live and (each.device, each.request) == (device, request)
        )

    def of(self, device: str, request: str, but: str = "") -> QuotaUsage:
        """What this doorbell has of this request, apart from the disclosure `but`."""
        return _sum(
            each
            for name, each in self._held.items()
            if name != but and (each.device, each.request) == (device, request)
        )

    def of_door(self, device: str, but: str = "") -> QuotaUsage:
        return _sum(each for name, each in self._held.items() if name != but and each.device == device)

    def total(self, but: str = "") -> QuotaUsage:
        return _sum(each for name, each in self._held.items() if name != but)


def request_key(envelope: bytes) -> str:
    """By which the request with that envelope is counted."""
    return hashlib.sha256(envelope).hexdigest()


def _sum(holdings: Iterator[HeldDisclosure]) -> QuotaUsage:
    disclosures = size_bytes = parts = 0
    for each in holdings:
        disclosures, size_bytes, parts = disclosures + 1, size_bytes + each.size_bytes, parts + each.parts
    return QuotaUsage(disclosures, size_bytes, parts)


def _on_disk(answer: AnswerFolder) -> HeldDisclosure | None:
    """None for a folder that says nothing of where it comes from: the next start removes it."""
    try:
        origin, envelope = answer.origin(), answer.request()
    except StorageError:
        return None  # it is told of when somebody asks for it
    if origin is None:
        return None
    with files.storage_errors(answer.path):
        size_bytes = sum(path.stat().st_size for path in answer.path.iterdir() if path.is_file())
    request = "" if envelope is None else request_key(envelope)
    return HeldDisclosure(origin.device, request, size_bytes, len(answer.sealed()), live=False)
