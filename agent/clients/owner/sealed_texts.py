"""Opens what a device keeps sealed to its owners besides footage: what requesters wrote.

A request, a receipt, a deletion or a bulletin comes in the clear, is sealed as it is kept, and is verified here anew
after it was opened: the seal keeps it from others, the requester's signature inside says whose it is.

What came before an owner was enrolled is not sealed to them, as footage from before is not.

Source: docs/decisions/0014.
"""

from __future__ import annotations

from agent.clients.opening import open_bytes
from agent.clients.owner.keys import AgeIdentity
from agent.errors import FormatError, OpenError
from agent.wire import base64

__all__ = ["opens", "unsealed"]


def unsealed(text: object, identity: AgeIdentity) -> bytes:
    """The envelope in what the device answered.  Raises `OpenError`."""
    try:
        return _opened(text, identity)
    except FormatError as error:
        raise OpenError(
            "What was asked here does not open with your keys.",
            remedy="It came before you were an owner, or was changed: ask another owner, or say no to it.",
        ) from error


def opens(text: object, identity: AgeIdentity) -> bool:
    """Whether `unsealed` would open it."""
    try:
        _opened(text, identity)
    except FormatError:
        return False
    return True


def _opened(text: object, identity: AgeIdentity) -> bytes:
    if not isinstance(text, str):
        raise FormatError("This is no sealed text.")
    return open_bytes(base64.decode(text), [identity])
