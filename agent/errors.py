"""Every error Doorward raises, in one tree ordered by the party at fault.

The person who reads an error needs to know two things: who has to act, and what to do.  So the class says who
(operator, requester, the bytes, the disk, the hardware, the network, us), and every error carries a `remedy`.
Parsers leak no `ValueError` or `KeyError`: at each layer's edge they become one of these, `raise … from` the cause.
"""

from __future__ import annotations

__all__ = [
    "ConfigurationError",
    "DeviceError",
    "DoorwardError",
    "FormatError",
    "InternalError",
    "NetworkError",
    "OpenError",
    "OvertakenError",
    "RequestError",
    "StorageError",
    "UpdateError",
]


class DoorwardError(Exception):
    """Root of the tree.  `str()` is one sentence for a person; `remedy` is what to do next, empty if nothing."""

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".rstrip() if self.remedy else self.message


class ConfigurationError(DoorwardError):
    """The operator's: a configuration file, a command's argument, a key that is not where it should be."""


class RequestError(DoorwardError):
    """The requester's: a message that is malformed, unsigned, replayed, over a limit or from an unknown key."""


class OvertakenError(RequestError):
    """An owner's statement came after a later one of the same owner.  It had no effect, and can be signed again."""


class FormatError(DoorwardError):
    """The bytes': a segment, poster, manifest, ledger or message is not what its format says."""


class OpenError(FormatError):
    """A cryptographic check failed. All checks share one class and one message: which check it was would help only an
    attacker."""

    def __init__(self, message: str = "This cannot be opened with the keys given.", *, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)


class UpdateError(FormatError):
    """The release's: an update that is expired, unsigned, older than a known one, or not for this doorbell.

    `reason` is a value of `core.updates.UpdateTrouble`.
    """

    def __init__(self, message: str, *, remedy: str = "", reason: str = "refused") -> None:
        super().__init__(message, remedy=remedy)
        self.reason = reason


class StorageError(DoorwardError):
    """The disk's: full, read-only, failing, or holding less than it acknowledged."""


class DeviceError(DoorwardError):
    """The hardware's: a camera, encoder or panel that is missing, busy, stalled or gone."""


class NetworkError(DoorwardError):
    """The network's: a broker or another service that is away, refuses, or stops answering."""


class InternalError(DoorwardError):
    """Ours: a state the code holds to be impossible.  Always a bug worth reporting."""
