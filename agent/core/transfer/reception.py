"""The open disclosures of a requester: the first and cheap check for every incoming message.

Rules: a disclosure begins with an init and belongs to the device that sent it. The number of open disclosures is
bounded, also of those that were found on the disk. A chunk of any other disclosure costs only a look-up and a count.
"""

from __future__ import annotations

from agent.core.transfer.receiver import ReceiverLimits, UploadReceiver
from agent.core.transfer.values import PartSize
from agent.wire.disclosures import ReceiptState

__all__ = ["OpenTransfers"]


class OpenTransfers:
    """The open disclosures by id. `most` bounds them. Finished ones leave with `close`."""

    def __init__(self, limits: ReceiverLimits, most: int = 256) -> None:
        self._limits = limits
        self._most = most
        self._open: dict[str, tuple[str, UploadReceiver]] = {}
        self.dropped = 0
        """Messages about disclosures that are closed or belong to another device."""

    def __contains__(self, disclosure: str) -> bool:
        """Returns whether it is open, from any device."""
        return disclosure in self._open

    @property
    def is_full(self) -> bool:
        return len(self._open) >= self._most

    def reopen(self, device: str, disclosure: str, receiver: UploadReceiver) -> bool:
        """Adds a disclosure that was found on the disk. Returns False if it still arrives and there is no place.

        A disclosure that has ended needs no place, because the receipt that is due closes it.
        """
        if self.is_full and receiver.state is ReceiptState.PARTIAL:
            self.dropped += 1
            return False
        self._open[disclosure] = (device, receiver)
        return True

    def init(
        self, device: str, disclosure: str, manifest: PartSize, parts: int, question: int | None = None
    ) -> UploadReceiver | None:
        """Returns the receiver for this init, and makes it if it is the first. None if the init is dropped."""
        if disclosure not in self._open:
            if self.is_full:
                self.dropped += 1
                return None
            self._open[disclosure] = (device, UploadReceiver(manifest, parts, self._limits))
        receiver = self.find(device, disclosure)
        if receiver is not None:
            receiver.init(manifest, parts, question)
        return receiver

    def find(self, device: str, disclosure: str) -> UploadReceiver | None:
        """Returns the receiver of an open disclosure of this device. Counts any other message and returns None."""
        owner, receiver = self._open.get(disclosure, ("", None))
        # A disclosure belongs to the device that began it. Another device that copies its id adds nothing.
        if receiver is None or owner != device:
            self.dropped += 1
            return None
        return receiver

    def ids(self) -> list[str]:
        """Returns the open disclosures, oldest first."""
        return list(self._open)

    def of_device(self, device: str) -> list[str]:
        """Returns the open disclosures of this device, oldest first."""
        return [disclosure for disclosure, (owner, _) in self._open.items() if owner == device]

    @property
    def outstanding_bytes(self) -> int:
        """Returns the bytes that all open disclosures have announced, as far as known, and still have to deliver."""
        return sum(receiver.outstanding_bytes for _, receiver in self._open.values())

    def close(self, disclosure: str) -> None:
        """Forgets this disclosure. Idempotent."""
        self._open.pop(disclosure, None)
