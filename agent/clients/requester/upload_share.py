"""The share of one receiver in the uploads to its requester: what it claims, and the subscriptions that bring it.

A receiver that is alone subscribes to all uploads. Receivers that share them subscribe to inits only. The one that
claims an upload subscribes to its device, and answers; the device sends data once it is answered. A filter cannot name
one upload of a device, so data of its other uploads may come, too. `incoming` drops it unread.

Source: PROTOCOL.md, "Upload"; decision 0050.
"""

from __future__ import annotations

from agent.clients.requester.claims import Claims
from agent.ports import Bus

__all__ = ["UploadShare"]


class UploadShare:
    """All methods raise `NetworkError` if the claims are lost."""

    def __init__(self, claims: Claims, bus: Bus, requester_id: str) -> None:
        self._claims = claims
        self._bus = bus
        self._uploads = f"doorward/v1/up/{requester_id}"
        self._devices: dict[str, str] = {}
        """Claimed upload → its device."""

    @property
    def shared(self) -> bool:
        return self._claims.shared

    def subscribe(self) -> None:
        self._bus.subscribe(f"{self._uploads}/+/+/init" if self.shared else f"{self._uploads}/#")

    def claim(self, disclosure: str, device: str = "") -> bool:
        """Returns True if the upload is this receiver's. With `device`, its data comes from now on."""
        if disclosure in self._devices or not self.shared:
            return True
        if not self._claims.claim(disclosure):
            return False
        if device:
            if device not in self._devices.values():
                # Without what the broker retains: it would bring the question that is just being answered, again with
                # each claim, and endlessly if the device never clears it.
                self._bus.subscribe(self._data_of(device), retained=False)
            self._devices[disclosure] = device
        return True

    def leave(self, disclosure: str) -> None:
        """Leaves the upload to the other receivers. It may be repeated."""
        device = self._devices.pop(disclosure, None)
        if device is not None and device not in self._devices.values():
            self._bus.unsubscribe(self._data_of(device))
        self._claims.release(disclosure)

    def _data_of(self, device: str) -> str:
        return f"{self._uploads}/{device}/#"
