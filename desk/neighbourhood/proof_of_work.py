"""Proof of work for tips without an account: each tip costs its sender some computing, and the more arrive the more.

A token of a lower price than the present one is refused, or one early token would serve for a whole flood. The page
then asks for another token and works again, at most once for each of the few prices.

The token of an hour's sixth is the same for every sender, so it cannot link two tips or name a browser. The desk stores
none of them: it recognises its own by their code (HMAC-SHA-256).

    token     = <slot>.<bits>.<code>               slot: number of 600 s since 1970
    work      = SHA-256("<token>.<SHA-256 of the body, hex>.<nonce>"), which must begin with `bits` zero bits

A tip has its id in the address, so its id and its sealed bytes are hashed one after the other. A found nonce therefore
serves one tip, request, notice or report only. Hashcash (Back, 2002) works in the same way.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

__all__ = ["LEAST_BITS", "MOST_BITS", "REFUSED", "bits_at", "is_done", "make_token", "read_token", "refusal"]

REFUSED: Final = "The proof of work is missing, too old or too little."
SLOT_S: Final = 600
LEAST_BITS: Final = 16
"""About 65 000 hashes: a tenth of a second on a telephone."""
MOST_BITS: Final = 21
"""About two million hashes: some seconds on a telephone. More would keep honest people out."""
_FREE: Final = 16
_MOST_NONCE_CHARACTERS: Final = 20


def bits_at(waiting: int) -> int:
    """Returns the zero bits that a tip costs after `waiting` others in its hour: one more for each doubling."""
    return min(MOST_BITS, LEAST_BITS + (waiting // _FREE).bit_length())


def make_token(secret: bytes, taker: str, now_s: int, bits: int) -> str:
    """Returns the token for tips to `taker`."""
    return _token(secret, taker, now_s // SLOT_S, bits)


def read_token(secret: bytes, taker: str, token: str, now_s: int) -> int | None:
    """Returns the bits of a token of this slot or the one before, or None if it is another's, older or invented."""
    slot, _, rest = token.partition(".")
    bits = rest.partition(".")[0]
    if not (slot.isascii() and slot.isdigit() and bits.isascii() and bits.isdigit() and len(token) <= 100):
        return None
    expected = _token(secret, taker, int(slot), int(bits))
    fresh = 0 <= now_s // SLOT_S - int(slot) <= 1
    # In constant time, or a client could find the code of an invented token digit by digit.
    return int(bits) if hmac.compare_digest(expected, token) and fresh else None


def is_done(token: str, sent: bytes, nonce: str, bits: int) -> bool:
    """Returns True if the work for these bytes was done."""
    if not (nonce.isascii() and nonce.isdigit() and len(nonce) <= _MOST_NONCE_CHARACTERS):
        return False
    work = hashlib.sha256(f"{token}.{hashlib.sha256(sent).hexdigest()}.{nonce}".encode("ascii")).digest()
    return int.from_bytes(work) >> (256 - bits) == 0


def refusal(secret: bytes, taker: str, token: str, nonce: str, sent: bytes, *, now_s: int, waiting: int) -> int | None:
    """Returns None if the work for `sent` was done at the price of this moment, and otherwise the status of the
    refusal: 403 for missing or old work, 409 if the price has risen since the token."""
    bits = read_token(secret, taker, token, now_s)
    if bits is None or not is_done(token, sent, nonce, bits):
        return 403
    # One early token would otherwise serve a whole flood at the first price.
    return 409 if bits < bits_at(waiting) else None


def _token(secret: bytes, taker: str, slot: int, bits: int) -> str:
    code = hmac.digest(secret, f"{taker} {slot} {bits}".encode(), "sha256").hex()[:32]
    return f"{slot}.{bits}.{code}"
