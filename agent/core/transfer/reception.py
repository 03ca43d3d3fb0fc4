"""Which disclosures a requester receives at all: the first step, and a cheap one, for everything that comes in.

Rules: a disclosure begins with an init and belongs to the device that sent it; only so many are open at once; chunks of
anything else cost a look-up and a count.
"""

from __future__ import annotations

from agent.core.transfer.receiver import ReceiverLimits, UploadReceiver
from agent.core.transfer.values import PartSize

__all__ = ["OpenTransfers"]


class OpenTransfers:
    """The open disclosures by id.  `most` bounds them; finished ones leave with `close`."""

    def __init__(self, limits: ReceiverLimits, most: int = 256) -> None:
        self._limits = limits
        self._most = most
        self._open: dict[str, tuple[str, UploadReceiver]] = {}
        self.dropped = 0
        """Messages about disclosures that are not open, or are another device's."""

    def __contains__(self, disclosure: str) -> bool:
        """Whether it is open, whoever sends it."""
        return disclosure in self._open

    def reopen(self, device: str, disclosure: str, receiver: UploadReceiver) -> None:
        """One that was found on disk at the start."""
        self._open[disclosure] = (device, receiver)

    def init(
        self, device: str, disclosure: str, manifest: PartSize, parts: int, question: int | None = None
    ) -> UploadReceiver | None:
        """The receiver this init is for, made when it is the first; None when it is dropped."""
        if disclosure not in self._open:
            if len(self._open) >= self._most:
                self.dropped += 1
                return None
            self._open[disclosure] = (device, UploadReceiver(manifest, parts, self._limits))
        receiver = self.find(device, disclosure)
        if receiver is not None:
            receiver.init(manifest, parts, question)
        return receiver

    def find(self, device: str, disclosure: str) -> UploadReceiver | None:
        """The receiver of an open disclosure of this device; None, counted, for anything else."""
        owner, receiver = self._open.get(disclosure, ("", None))
        if receiver is None or owner != device:
            self.dropped += 1
            return None
        return receiver

    def count_of(self, device: str) -> int:
        """How many of this device are open."""
        return sum(1 for owner, _ in self._open.values() if owner == device)

    @property
    def outstanding_bytes(self) -> int:
        """What all open ones have announced, as far as it is known, and not delivered."""
        return sum(receiver.outstanding_bytes for _, receiver in self._open.values())

    def close(self, disclosure: str) -> None:
        """No more about this one.  Idempotent."""
        self._open.pop(disclosure, None)
