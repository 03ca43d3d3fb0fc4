"""The small types that messages are made of: each pattern is the whole grammar of its field.

Patterns end in `\\Z`, never `$`, which would let a trailing newline through into topics and file names.
"""

from __future__ import annotations

import enum
from typing import Annotated, Final, Literal

from msgspec import Meta

from agent.errors import FormatError
from agent.wire.strictjson import MAX_INTEGER

__all__ = [
    "EMAIL",
    "Base64Text",
    "Count",
    "DeviceKeyText",
    "EmailText",
    "HexId",
    "HybridRecipientText",
    "Incident",
    "KeyId",
    "KeyText",
    "Kind",
    "Label",
    "RecipientText",
    "RequesterId",
    "SegmentIdText",
    "Sequence",
    "Sha256",
    "UtcMs",
    "UtcS",
    "Version1",
    "distinct",
]

EMAIL: Final = r"^[A-Za-z0-9._+-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63}){1,4}\Z"
"""A plain address: no quotes, no comments, nothing that a mail program could take for more than one."""
_BECH32: Final = "[02-9ac-hj-np-z]"
_LATEST_S: Final = 253_402_300_799  # 9999-12-31T23:59:59Z: beyond it no calendar library agrees with another.

Version1 = Literal[1]
HexId = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}\Z")]
"""128 bits in lowercase hex: request, disclosure, nonce, boot."""
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
KeyId = Annotated[str, Meta(pattern=r"^[0-9a-f]{16}\Z")]
KeyText = Annotated[str, Meta(pattern=r"^ed25519:[A-Za-z0-9_-]{43}\Z")]
"""The form of a public key; `identities.parse_public_key` says whether it is one."""
DeviceKeyText = KeyText
RequesterId = Annotated[str, Meta(pattern=r"^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?\Z")]
"""A name id: fit for an MQTT topic level, a file name and a certificate's common name."""
Label = Annotated[str, Meta(pattern=r"^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?\Z")]
"""What an owner's key is called.  It travels with every disclosure, so it is a label and not a person's name."""
SegmentIdText = Annotated[str, Meta(pattern=r"^[a-z2-7]{26}\Z")]
RecipientText = Annotated[str, Meta(pattern=rf"^age1(pq1{_BECH32}{{1952}}|{_BECH32}{{58}})\Z")]
"""An age recipient, hybrid or X25519: its form.  Whether its checksum and points are right, the age code says."""
HybridRecipientText = Annotated[str, Meta(pattern=rf"^age1pq1{_BECH32}{{1952}}\Z")]
"""1216 bytes (ML-KEM-768 and X25519) in 1946 characters of bech32 and a checksum of six."""
EmailText = Annotated[str, Meta(pattern=EMAIL)]
Base64Text = Annotated[str, Meta(pattern=r"^[A-Za-z0-9+/]*={0,2}\Z")]
UtcS = Annotated[int, Meta(ge=0, le=_LATEST_S)]
UtcMs = Annotated[int, Meta(ge=0, le=_LATEST_S * 1000)]
Sequence = Annotated[int, Meta(ge=1, le=MAX_INTEGER)]
Count = Annotated[int, Meta(ge=0, le=MAX_INTEGER)]


class Kind(enum.Enum):
    """What a requester is.  The trust bundle says it; a request that says otherwise is refused."""

    POLICE = "police"
    FIRE = "fire"
    INSURER = "insurer"
    NEIGHBOUR = "neighbour"
    COURT = "court"
    DEFENCE = "defence"


class Incident(enum.Enum):
    """What happened, in the coarse words an owner can opt out of."""

    ASSAULT = "assault"
    BURGLARY = "burglary"
    FIRE = "fire"
    FRAUD = "fraud"
    MISSING_PERSON = "missing-person"
    PARCEL_THEFT = "parcel-theft"
    ROBBERY = "robbery"
    THEFT = "theft"
    TRAFFIC = "traffic"
    TRESPASS = "trespass"
    VANDALISM = "vandalism"
    VEHICLE_CRIME = "vehicle-crime"
    OTHER = "other"


def distinct(field: str, values: tuple[object, ...]) -> None:
    """Raises `FormatError` when something stands twice in `values`."""
    if len(set(values)) != len(values):
        raise FormatError(f"{field}: an entry stands twice.")
