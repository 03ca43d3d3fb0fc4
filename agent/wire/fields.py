"""The small types that messages are made of: each pattern is the whole grammar of its field; and clean text.

Patterns end in `\\Z`, never `$`, which would let a trailing newline through into topics and file names.

Clean text is words from a stranger that an owner will read, in a form that cannot imitate something else. It is in
normal form C, has only single inner spaces, and holds no control, format (bidi overrides, zero-width), private,
line-breaking or other invisible characters, no pile of combining marks and no link-like words. The device applies
`text_fault`. The requester's client offers `clean_text` before it signs.

The price: emoji sequences and scripts that need joiners lose them (U+200C and U+200D are format characters), and a
variation selector does not choose the coloured form of an emoji. Source: Unicode Standard Annex #9 and Technical Report
#36 (bidirectional spoofing).
"""

from __future__ import annotations

import enum
import re
import unicodedata
from typing import Annotated, Final, Literal

from msgspec import Meta

from agent.errors import FormatError
from agent.wire.strictjson import MAX_INTEGER, form

__all__ = [
    "EMAIL",
    "Base64Text",
    "ClockQuality",
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
    "LanguageTag",
    "OnwardKind",
    "RecipientText",
    "RequesterId",
    "SegmentIdText",
    "Sequence",
    "Sha256",
    "TrustKeyText",
    "UtcMs",
    "UtcS",
    "Version1",
    "ZoneKind",
    "check_text",
    "clean_text",
    "distinct",
    "text_fault",
]

EMAIL: Final = r"^[A-Za-z0-9._+-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63}){1,4}\Z"
"""A plain address without quotes or comments, so that a mail program reads exactly one address."""
_LABEL: Final = r"^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?\Z"
_BECH32: Final = "[02-9ac-hj-np-z]"
_LATEST_S: Final = 253_402_300_799  # 9999-12-31T23:59:59Z. Calendar libraries disagree about later years.

Version1 = Literal[1]
HexId = Annotated[str, form(r"^[0-9a-f]{32}\Z", "32 of 0-9 and a-f")]
"""128 bits in lowercase hex: request, disclosure, nonce, boot."""
Sha256 = Annotated[str, form(r"^[0-9a-f]{64}\Z", "64 of 0-9 and a-f")]
KeyId = Annotated[str, form(r"^[0-9a-f]{16}\Z", "a key id, 16 of 0-9 and a-f")]
KeyText = Annotated[str, form(r"^ed25519:[A-Za-z0-9_-]{43}\Z", "a public key, ed25519:…")]
"""Form of a public key. `identities.parse_public_key` checks that it is a sound one."""
DeviceKeyText = KeyText
TrustKeyText = Annotated[
    str,
    form(r"^ed25519:[A-Za-z0-9_-]{43}\+mldsa44:[A-Za-z0-9_-]{43}\Z", "a root's key, ed25519:…+mldsa44:…"),
]
"""Form of the key pair of a root. `trust_keys.parse_trust_key` checks it."""
RequesterId = Annotated[str, form(_LABEL, "1 to 32 of a-z, 0-9 and -")]
"""A name id: fit for an MQTT topic level, a file name and a certificate's common name."""
Label = Annotated[str, form(_LABEL, "1 to 32 of a-z, 0-9 and -")]
"""Name of an owner's key. It travels with each disclosure, so use a label such as `owner-1`, not a person's name."""
LanguageTag = Annotated[
    str,
    form(
        r"^[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|[0-9]{3}))?\Z",
        "a language like en, nl-BE or zh-Hant-TW",
    ),
]
"""BCP 47: language, script and region, in the capitals that RFC 5646 recommends. So each language has one spelling."""
SegmentIdText = Annotated[str, form(r"^[a-z2-7]{26}\Z", "26 of a-z and 2-7")]
RecipientText = Annotated[str, form(rf"^age1(pq1{_BECH32}{{1952}}|{_BECH32}{{58}})\Z", "an age recipient, age1…")]
"""Form of an age recipient, hybrid or X25519. The age code checks its checksum and points."""
HybridRecipientText = Annotated[str, form(rf"^age1pq1{_BECH32}{{1952}}\Z", "an age recipient, age1pq1…")]
"""1216 bytes (ML-KEM-768 and X25519) in 1946 characters of bech32 and a checksum of six."""
EmailText = Annotated[str, form(EMAIL, "an e-mail address like name@example.org")]
Base64Text = Annotated[str, form(r"^[A-Za-z0-9+/]*={0,2}\Z", "base64")]
UtcS = Annotated[int, Meta(ge=0, le=_LATEST_S)]
UtcMs = Annotated[int, Meta(ge=0, le=_LATEST_S * 1000)]
Sequence = Annotated[int, Meta(ge=1, le=MAX_INTEGER)]
Count = Annotated[int, Meta(ge=0, le=MAX_INTEGER)]


class Kind(enum.Enum):
    """Kind of a requester. The trust bundle sets it, and a request with another kind is refused."""

    POLICE = "police"
    FIRE = "fire"
    INSURER = "insurer"
    NEIGHBOUR = "neighbour"
    COURT = "court"
    DEFENCE = "defence"


class Incident(enum.Enum):
    """Kind of incident, in coarse words that an owner can opt out of."""

    ASSAULT = "assault"
    BURGLARY = "burglary"
    FIRE = "fire"
    FRAUD = "fraud"
    LOST_PET = "lost-pet"
    MISSING_PERSON = "missing-person"
    PARCEL_THEFT = "parcel-theft"
    ROBBERY = "robbery"
    THEFT = "theft"
    TRAFFIC = "traffic"
    TRESPASS = "trespass"
    VANDALISM = "vandalism"
    VEHICLE_CRIME = "vehicle-crime"
    OTHER = "other"


class OnwardKind(enum.Enum):
    """Parties to whom a law or its own policy may make a requester pass footage on. The last two make it public."""

    COURT = "court"
    """Courts and prosecutors."""
    DEFENCE = "defence"
    """The accused and their lawyers."""
    PARTIES = "parties"
    """People and insurers who are parties to the case."""
    AGENCIES = "agencies"
    """Other authorities of the requester's country."""
    ABROAD = "abroad"
    """Authorities of other countries."""
    CONTRACTORS = "contractors"
    """Companies that store or examine it for the requester."""
    RECORDS = "records"
    """Each person who asks for it under a law on access to public records."""
    APPEAL = "appeal"
    """The public: the requester may publish it to find people or witnesses."""


class ClockQuality(enum.Enum):
    """The quality of the wall clock at a moment. A clock is *known* if it is `SYNCED` or `HELD`."""

    SYNCED = "synced"
    """Disciplined by a time source at this moment: trust it to a second."""
    HELD = "held"
    """Set from a good source earlier in this boot or by a battery clock: it drifts by seconds a day at most."""
    UNKNOWN = "unknown"
    """No good source has set the clock. The order is right (boot clock), but the date may be wrong."""


class ZoneKind(enum.Enum):
    """Effect of a zone on the area that it encloses: motion counts, does not count, or pictures are black."""

    INCLUDE = "include"
    EXCLUDE = "exclude"
    PRIVACY = "privacy"


def distinct(field: str, values: tuple[object, ...]) -> None:
    """Raises `FormatError` if `values` holds an entry twice."""
    if len(set(values)) != len(values):
        raise FormatError(f"{field}: an entry stands twice.")


_FORBIDDEN_CATEGORIES: Final = frozenset({"Cc", "Cf", "Co", "Cs", "Zl", "Zp"})
_UNSEEN: Final = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180e\u180f\u2800\u3164\uffa0"
    + "".join(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))
)
"""Invisible marks, letters and symbols. Within "evil.com" they would hide a link from the rule while the reader still
sees it (Unicode's property Default_Ignorable_Code_Point, and the empty Braille cell)."""
_MOST_MARKS_IN_A_ROW: Final = 4
# A scheme, "www.", or a word, a full stop of any form and two letters: "3.5" and "a.m." pass, "bit.ly" does not.
_LINK: Final = re.compile(
    r"[a-z][a-z0-9+-]*://|\bwww\.|\b(mailto|tel|data|javascript):|\w[.․﹒。．｡][^\W\d_]{2}", re.IGNORECASE
)


def text_fault(text: str) -> str | None:
    """Returns the fault in `text` as the end of a sentence, or None."""
    if not unicodedata.is_normalized("NFC", text):
        return "is not in Unicode normal form C"
    if text != text.strip() or "  " in text:
        return "has spaces at an end or two in a row"
    marks = 0
    for character in text:
        category = unicodedata.category(character)
        if category in _FORBIDDEN_CATEGORIES or character in _UNSEEN or (category == "Zs" and character != " "):
            return f"holds the character U+{ord(character):04X}"
        marks = marks + 1 if category in ("Mn", "Me") else 0
        if marks > _MOST_MARKS_IN_A_ROW:
            return "piles up combining marks"
    if _LINK.search(text):
        return "holds what looks like a link"
    return None


def check_text(field: str, text: str, most_characters: int, *, least_characters: int = 1) -> None:
    """Raises `FormatError` naming `field` if `text` is unclean or its length is out of bounds."""
    if not least_characters <= len(text) <= most_characters:
        raise FormatError(f"{field}: {len(text)} characters, allowed are {least_characters} to {most_characters}.")
    found = text_fault(text)
    if found is not None:
        raise FormatError(f"{field}: the text {found}.", remedy="Use plain words, no links, single spaces.")


def clean_text(text: str) -> str:
    """Returns `text` with each fault repaired that can be repaired without changing its words. Links stay, and stay a
    fault."""
    kept = []
    for character in unicodedata.normalize("NFC", text):
        category = unicodedata.category(character)
        if category in ("Zs", "Zl", "Zp") or character in "\t\n\r":
            kept.append(" ")
        elif category not in _FORBIDDEN_CATEGORIES and character not in _UNSEEN:
            kept.append(character)
    # Removing a character may join a base and its mark, so normalise at the end.
    return " ".join(unicodedata.normalize("NFC", "".join(kept)).split())
