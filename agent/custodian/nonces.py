"""Gives out the nonces of owners' statements, so that what was signed and held back is not obeyed later.

An owner's client asks for a nonce, signs, and hands in the statement at once.  A nonce counts

- only if this device gave it out, since its last start;
- for ten minutes of the boot clock, which nobody can set;
- once, and not after a later one of the same owner has counted: an owner's statements act in the order of their nonces.

No clock of day is needed, so a wrong one lets no old statement through and locks no owner out.  Two owners do not get
in each other's way.  Nothing is stored: a nonce is its number and a keyed hash of that.

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
"""Microseconds of the boot clock, for two thousand years."""
_MARK_BYTES: Final = 9
_REMEDY: Final = "Nothing was changed.  Do it again; the statement is signed anew."


class Nonces:
    """`give` one to whoever asks; `claim` it for a statement whose signature was verified before."""

    def __init__(self, clock: Clock, entropy: Entropy) -> None:
        self._clock = clock
        self._key = entropy.token(_KEY_BYTES)
        self._lock = threading.Lock()
        self._last = 0
        self._claimed: dict[str, int] = {}
        """Number of the newest nonce that counted, by the key id of the owner who signed."""

    def give(self) -> str:
        """A fresh one, 32 hex digits."""
        with self._lock:
            # Two in one microsecond are two all the same.
            self._last = max(self._last + 1, self._now_us())
            number = self._last.to_bytes(_NUMBER_BYTES)
        return (number + self._mark(number)).hex()

    def claim(self, nonce: str, signer: str) -> None:
        """Use up the nonce of a statement that the owner with the key id `signer` signed.  Raises `RequestError`."""
        raw = bytes.fromhex(nonce)
        number, mark = raw[:_NUMBER_BYTES], raw[_NUMBER_BYTES:]
        given_us = int.from_bytes(number)
        if not hmac.compare_digest(mark, self._mark(number)) or self._now_us() - given_us > LIFE_S * NS_PER_S // 1000:
            raise RequestError("This statement was signed long ago, or before the device started.", remedy=_REMEDY)
        with self._lock:
            newest_us = self._claimed.get(signer, 0)
            if given_us == newest_us:
                raise RequestError("This statement was handed in before.", remedy=_REMEDY)
            if given_us < newest_us:
                # Perhaps it was handed in before, too: then signing it again does it twice, which its kind has to bear.
                raise OvertakenError("A later statement of the same owner came first.", remedy=_REMEDY)
            self._claimed[signer] = given_us

    def _now_us(self) -> int:
        return self._clock.now().boot_ns // _NS_PER_US

    def _mark(self, number: bytes) -> bytes:
        return hmac.digest(self._key, number, "sha256")[:_MARK_BYTES]
