"""What a requester may say to doors: a footage request, its withdrawal, that its answers are deleted, and a bulletin.

Construction checks what a message is; how *much* a requester may ask (window, look-back, area, rates) is `limits`,
because a request over a limit is a well-formed request that the owner can see listed as blocked.

Every class names its DSSE payload type.  `encode`/`decode` of `strictjson` turn them into bytes and back.
Source: PROTOCOL.md, "Messages of a requester".
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Final

from msgspec import field

from agent.errors import FormatError
from agent.wire import text
from agent.wire.area import Area
from agent.wire.fields import (
    EmailText,
    HexId,
    HybridRecipientText,
    Incident,
    KeyId,
    Kind,
    RequesterId,
    Sequence,
    UtcS,
    Version1,
)
from agent.wire.strictjson import Message, form

__all__ = [
    "MAX_CASE_CHARACTERS",
    "MAX_DESCRIPTION_CHARACTERS",
    "Bulletin",
    "Contact",
    "Deletion",
    "FootageRequest",
    "Withdrawal",
    "payload_type",
]

MAX_DESCRIPTION_CHARACTERS: Final = 500
MAX_CASE_CHARACTERS: Final = 64
MAX_NAME_CHARACTERS: Final = 100
MAX_TITLE_CHARACTERS: Final = 100
MAX_REASON_CHARACTERS: Final = 200


def payload_type(name: str) -> str:
    """The DSSE payload type of the Doorward format called `name`."""
    return f"application/vnd.doorward.{name}+json"


class Contact(Message, frozen=True):
    """Whom the owner can ask about a request: a person's name and at least one way to reach them."""

    name: str
    email: EmailText | None = None
    phone: Annotated[str, form(r"^\+?[0-9][0-9 ]{2,30}[0-9]\Z", "a phone number like +31 20 1234567")] | None = None

    def __post_init__(self) -> None:
        text.check("contact.name", self.name, MAX_NAME_CHARACTERS)
        if self.email is None and self.phone is None:
            raise FormatError("contact: neither email nor phone.", remedy="Name a way to reach the contact.")


class FootageRequest(Message, frozen=True):
    """Please: footage of `area` between `from` and `to`, sealed to `reply`, for `case`."""

    PAYLOAD_TYPE: ClassVar[str] = payload_type("footage-request")

    v: Version1
    id: HexId
    requester: RequesterId
    seq: Sequence
    """Grows with every message this requester signs with this key."""
    trust_root: KeyId
    """Key id of the root under whose bundle the requester asks: the request is void for doors that trust others."""
    kind: Kind
    case: str
    incident: Incident
    description: str
    area: Area
    from_s: UtcS = field(name="from")
    to_s: UtcS = field(name="to")
    not_after_s: UtcS = field(name="not_after")
    reply: HybridRecipientText
    """Fresh for this request: opening one answer says nothing about any other."""
    contact: Contact

    def __post_init__(self) -> None:
        text.check("case", self.case, MAX_CASE_CHARACTERS)
        text.check("description", self.description, MAX_DESCRIPTION_CHARACTERS)
        if self.from_s >= self.to_s:
            raise FormatError("to: the window ends before it begins.", remedy="Give the earlier time first.")

    @property
    def window_s(self) -> int:
        return self.to_s - self.from_s


class Withdrawal(Message, frozen=True):
    """The requester takes a request back.  Published where the request stood, so it replaces the retained request."""

    PAYLOAD_TYPE: ClassVar[str] = payload_type("withdrawal")

    v: Version1
    request: HexId
    requester: RequesterId
    trust_root: KeyId
    seq: Sequence
    reason: str | None = None

    def __post_init__(self) -> None:
        if self.reason is not None:
            text.check("reason", self.reason, MAX_REASON_CHARACTERS)


class Deletion(Message, frozen=True):
    """The requester states that it has deleted everything it received for a request.  Published where that stood.

    It is said of any request, answered or not, so it tells nobody whether there was an answer.
    """

    PAYLOAD_TYPE: ClassVar[str] = payload_type("deletion")

    v: Version1
    request: HexId
    requester: RequesterId
    trust_root: KeyId
    seq: Sequence
    deleted_s: UtcS


class Bulletin(Message, frozen=True):
    """A safety message to read or not to read.  It changes nothing but a list and a counter, and is never answered."""

    PAYLOAD_TYPE: ClassVar[str] = payload_type("bulletin")

    v: Version1
    id: HexId
    requester: RequesterId
    trust_root: KeyId
    seq: Sequence
    title: str
    description: str
    not_after_s: UtcS = field(name="not_after")
    area: Area | None = None
    """Whom it concerns; None for every door that trusts the root.  The device filters locally, as for requests."""

    def __post_init__(self) -> None:
        text.check("title", self.title, MAX_TITLE_CHARACTERS)
        text.check("description", self.description, MAX_DESCRIPTION_CHARACTERS)
