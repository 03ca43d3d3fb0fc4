"""Disk quota of each doorbell, so that one doorbell cannot use up the space of the others.

- A newer answer of a doorbell to a request replaces one that is still arriving.
- All answers of one doorbell to one request together stay within the limits of one answer, in bytes and in parts.
- One doorbell gets at most a share of the disk: of the free space plus the space of all disclosures. For example, a
  quarter of 80 GB is 20 GB.
- Tips name no doorbell, so all tips together count as one.

The count is made at start by reading the folders and kept up to date afterwards. People may move folders away, so it is
repeated before a disclosure is refused.
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
    """One disclosure. `request`: its `request_key`, empty for a tip and until it is known.

    `size_bytes`, `parts`: what is stored, or the full announced amount while it is arriving (`live`).
    """

    device: str
    request: str
    size_bytes: int
    parts: int
    live: bool


@dataclass(frozen=True, slots=True)
class QuotaUsage:
    """The sum over several disclosures."""

    disclosures: int = 0
    size_bytes: int = 0
    parts: int = 0


class DisclosureQuota:
    """Count of everything below `disclosures/` of a requester's `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[str, HeldDisclosure] = {}

    def __len__(self) -> int:
        return len(self._held)

    def count_again(self) -> None:
        """Counts the disk again. Arriving disclosures keep their announced size. Raises `StorageError`."""
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
        """Marks its arrival as ended: from now on the stored size counts."""
        holding = _on_disk(AnswerFolder(self._folder, disclosure))
        if holding is None:
            self._held.pop(disclosure, None)
        else:
            self._held[disclosure] = holding

    def remove(self, disclosure: str) -> None:
        self._held.pop(disclosure, None)

    def live(self, device: str, request: str) -> tuple[str, ...]:
        """Returns the doorbell's answers to this request that are still arriving."""
        return tuple(
            name for name, each in self._held.items() if each.live and (each.device, each.request) == (device, request)
        )

    def of(self, device: str, request: str, but: str = "") -> QuotaUsage:
        """Returns the usage of this doorbell for this request, except the disclosure `but`."""
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
    """Returns the key under which the request with that envelope is counted."""
    return hashlib.sha256(envelope).hexdigest()


def _sum(holdings: Iterator[HeldDisclosure]) -> QuotaUsage:
    disclosures = size_bytes = parts = 0
    for each in holdings:
        disclosures, size_bytes, parts = disclosures + 1, size_bytes + each.size_bytes, parts + each.parts
    return QuotaUsage(disclosures, size_bytes, parts)


def _on_disk(answer: AnswerFolder) -> HeldDisclosure | None:
    """Returns None for a folder without an origin. The next start removes it."""
    try:
        origin, envelope = answer.origin(), answer.request()
    except StorageError:
        return None  # the damage is reported to the reader of the disclosure
    if origin is None:
        return None
    with files.storage_errors(answer.path):
        size_bytes = sum(path.stat().st_size for path in answer.path.iterdir() if path.is_file())
    request = "" if envelope is None else request_key(envelope)
    return HeldDisclosure(origin.device, request, size_bytes, len(answer.sealed()), live=False)
