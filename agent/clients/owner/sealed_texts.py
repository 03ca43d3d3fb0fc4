"""Opens the requesters' texts, which a device keeps sealed to its owners.

A request, a receipt, a deletion or a bulletin arrives in the clear. The device seals it for storage, and this machine
verifies it again after opening. The seal keeps it confidential. The requester's signature inside proves its origin.

If a text is older than an owner's enrolment, it fails to open for that owner. The same holds for footage.

Source: docs/decisions/0014.
"""

from __future__ import annotations

from agent.clients.opening import open_bytes
from agent.clients.owner.keys import AgeIdentity
from agent.errors import FormatError, OpenError
from agent.wire import strictjson

__all__ = ["opens", "unsealed"]


def unsealed(text: object, identity: AgeIdentity) -> bytes:
    """The envelope in what the device answered.  Raises `OpenError`."""
    try:
        return _opened(text, identity)
    except FormatError as error:
        raise OpenError(
            "This request does not open with your keys.",
            remedy="It is older than your enrolment, or it was changed. Ask another owner, or deny it.",
        ) from error


def opens(text: object, identity: AgeIdentity) -> bool:
    """Returns whether `unsealed` can open it."""
    try:
        _opened(text, identity)
    except FormatError:
        return False
    return True


def _opened(text: object, identity: AgeIdentity) -> bytes:
    if not isinstance(text, str):
        raise FormatError("This is not a sealed text.")
    return open_bytes(strictjson.decode_base64(text), [identity])
