"""Nonces for owners' statements, so that a statement that was kept back after signing is refused.

An owner's client asks for a nonce, signs, and submits the statement at once.  A nonce is valid

- only if this device issued it, since its last start;
- for ten minutes of the boot clock, which no remote party can set;
- once, and only before a later nonce of the same owner was used: an owner's statements take effect in the order of
  their nonces.

The check works without a wall clock, so a wrong clock can neither admit an old statement nor lock an owner out. Owners
are independent of each other. A nonce is a number and its keyed hash, so the device need not store it.

Source: PROTOCOL.md, section 6; docs/decisions/0020.
"""

from __future__ import annotations

import hmac
import threading
from typing import Final

from agent.core.timebase import NS_PER_S
from agent.errors import OvertakenError, RequestError
from agent.ports import Clock, Entropy

__all__ = ["LIFE_S", "Nonces"]

LIFE_S: Final = 600
_NS_PER_US: Final = 1000
_KEY_BYTES: Final = 32
_NUMBER_BYTES: Final = 7
"""Room for microseconds of the boot clock, for two thousand years."""
_MARK_BYTES: Final = 9
_REMEDY: Final = "Nothing was changed. Repeat the command to sign a new statement."


class Nonces:
    """`give` issues a nonce to any client.  `claim` uses it for a verified statement."""

    def __init__(self, clock: Clock, entropy: Entropy) -> None:
        self._clock = clock
        # New at each start: the boot clock begins again after a power cut, so old numbers would look young.
        self._key = entropy.token(_KEY_BYTES)
        self._lock = threading.Lock()
        self._last = 0
        self._claimed: dict[str, int] = {}
        """The number of the newest used nonce, by the key id of the owner who signed."""

    def give(self) -> str:
        """Returns a fresh nonce of 32 hex digits."""
        with self._lock:
            # Two nonces of the same microsecond must differ.
            self._last = max(self._last + 1, self._now_us())
            number = self._last.to_bytes(_NUMBER_BYTES)
        # The hash makes the number unguessable and proves its origin, so nothing is stored for a client that never
        # returns.
        return (number + self._mark(number)).hex()

    def claim(self, nonce: str, signer: str) -> None:
        """Uses the nonce of a statement that the owner with the key id `signer` signed.  Raises `RequestError`."""
        raw = bytes.fromhex(nonce)
        number, mark = raw[:_NUMBER_BYTES], raw[_NUMBER_BYTES:]
        given_us = int.from_bytes(number)
        if not hmac.compare_digest(mark, self._mark(number)) or self._now_us() - given_us > LIFE_S * NS_PER_S // 1000:
            raise RequestError(
                "This statement was signed more than ten minutes ago, or before the device started.", remedy=_REMEDY
            )
        with self._lock:
            newest_us = self._claimed.get(signer, 0)
            if given_us == newest_us:
                raise RequestError("This statement was submitted before.", remedy=_REMEDY)
            if given_us < newest_us:
                # This statement may have taken effect already.  Signing it again then repeats it, which every kind must
                # tolerate.
                raise OvertakenError("A later statement of the same owner arrived first.", remedy=_REMEDY)
            self._claimed[signer] = given_us

    def _now_us(self) -> int:
        return self._clock.now().boot_ns // _NS_PER_US

    def _mark(self, number: bytes) -> bytes:
        return hmac.digest(self._key, number, "sha256")[:_MARK_BYTES]
