"""Messages of a requester to doors: a footage request, its withdrawal, the deletion of its answers, and a bulletin.

Construction checks the form of a message. `limits` checks its bounds (window, look-back, area, rates), because a
request over a limit is well-formed and the owner can see it listed as blocked.

Each class names its DSSE payload type. `strictjson.encode` and `decode` convert to bytes and back. Source: PROTOCOL.md,
"Messages of a requester".
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Final

from msgspec import Meta, field

from agent.errors import FormatError
from agent.wire.area import Area
from agent.wire.fields import (
    EmailText,
    HexId,
    HybridRecipientText,
    Incident,
    KeyId,
    Kind,
    LanguageTag,
    OnwardKind,
    RequesterId,
    Sequence,
    UtcS,
    Version1,
    check_text,
)
from agent.wire.strictjson import Message, form

__all__ = [
    "MAX_CASE_CHARACTERS",
    "MAX_DESCRIPTION_CHARACTERS",
    "Bulletin",
    "Contact",
    "Deletion",
    "FootageRequest",
    "Onward",
    "RetentionDays",
    "Withdrawal",
    "payload_type",
]

MAX_DESCRIPTION_CHARACTERS: Final = 500
MAX_CASE_CHARACTERS: Final = 64
MAX_NAME_CHARACTERS: Final = 100
MAX_TITLE_CHARACTERS: Final = 100
MAX_REASON_CHARACTERS: Final = 200
MAX_BASIS_CHARACTERS: Final = 120
RetentionDays = Annotated[int, Meta(ge=0, le=36_525)]
"""Number of days for which a requester states that it keeps footage."""


def payload_type(name: str) -> str:
    """Returns the DSSE payload type of the Doorward format called `name`."""
    return f"application/vnd.doorward.{name}+json"


class Contact(Message, frozen=True):
    """Person who answers questions about a request: a name and at least one way to reach them."""

    name: str
    email: EmailText | None = None
    phone: Annotated[str, form(r"^\+?[0-9][0-9 ]{2,30}[0-9]\Z", "a phone number like +31 20 1234567")] | None = None

    def __post_init__(self) -> None:
        check_text("contact.name", self.name, MAX_NAME_CHARACTERS)
        if self.email is None and self.phone is None:
            raise FormatError("contact: neither email nor phone.", remedy="Name a way to reach the contact.")


class Onward(Message, frozen=True):
    """To whom a law or its own policy may make the requester pass the footage on. Empty: to no one.

    The kinds are a closed list, so that each owner's client says them in the owner's language.
    """

    to: Annotated[tuple[OnwardKind, ...], Meta(max_length=len(OnwardKind))]
    basis: str | None = None
    """Name of the law or policy, in the requester's words."""

    def __post_init__(self) -> None:
        names = [kind.value for kind in self.to]
        if names != sorted(set(names)):
            raise FormatError("onward.to: each kind at most once, in alphabetical order.")
        if self.basis is not None:
            check_text("onward.basis", self.basis, MAX_BASIS_CHARACTERS)


class FootageRequest(Message, frozen=True):
    """Request for footage of `area` between `from` and `to`, sealed to `reply`, for `case`."""

    PAYLOAD_TYPE: ClassVar[str] = payload_type("footage-request")

    v: Version1
    id: HexId
    requester: RequesterId
    seq: Sequence
    """Grows with every message this requester signs with this key."""
    trust_root: KeyId
    """Key id of the root that vouches for the requester. Doors that trust other roots only ignore the
    request."""
    kind: Kind
    case: str
    incident: Incident
    description: str
    area: Area
    from_s: UtcS = field(name="from")
    to_s: UtcS = field(name="to")
    not_after_s: UtcS = field(name="not_after")
    reply: HybridRecipientText
    """Fresh for each request, so that opening one answer reveals no other."""
    contact: Contact
    retention_days: Annotated[int, Meta(ge=1, le=36_525)]
    """Days from its arrival after which the requester deletes the footage, unless a law or a court requires longer."""
    onward: Onward
    language: LanguageTag
    """Language of the requester's words in this request, so that a client can mark them."""

    def __post_init__(self) -> None:
        check_text("case", self.case, MAX_CASE_CHARACTERS)
        check_text("description", self.description, MAX_DESCRIPTION_CHARACTERS)
        if self.from_s >= self.to_s:
            raise FormatError("to: the window ends before it begins.", remedy="Give the earlier time first.")

    @property
    def window_s(self) -> int:
        return self.to_s - self.from_s


class Withdrawal(Message, frozen=True):
    """Withdrawal of a request. Published on the topic of the request, so that it replaces the retained request."""

    PAYLOAD_TYPE: ClassVar[str] = payload_type("withdrawal")

    v: Version1
    request: HexId
    requester: RequesterId
    trust_root: KeyId
    seq: Sequence
    reason: str | None = None
    language: LanguageTag | None = None
    """Language of the reason. Present exactly if there is a reason."""

    def __post_init__(self) -> None:
        if (self.reason is None) != (self.language is None):
            raise FormatError("language: it comes with a reason, and a reason with its language.")
        if self.reason is not None:
            check_text("reason", self.reason, MAX_REASON_CHARACTERS)


class Deletion(Message, frozen=True):
    """Statement that the requester has deleted everything it received for a request. Published on the topic of the
    request.

    A requester sends it for each request, answered or unanswered, so it keeps secret if a door answered.
    """

    PAYLOAD_TYPE: ClassVar[str] = payload_type("deletion")

    v: Version1
    request: HexId
    requester: RequesterId
    trust_root: KeyId
    seq: Sequence
    deleted_s: UtcS


class Bulletin(Message, frozen=True):
    """A safety message. It adds to a list and a counter, and a device never answers it."""

    PAYLOAD_TYPE: ClassVar[str] = payload_type("bulletin")

    v: Version1
    id: HexId
    requester: RequesterId
    trust_root: KeyId
    seq: Sequence
    title: str
    description: str
    language: LanguageTag
    """Language of title and description."""
    not_after_s: UtcS = field(name="not_after")
    area: Area | None = None
    """Area of the doors it concerns. None for each door that trusts the root. The device filters locally, as for
    requests."""

    def __post_init__(self) -> None:
        check_text("title", self.title, MAX_TITLE_CHARACTERS)
        check_text("description", self.description, MAX_DESCRIPTION_CHARACTERS)
