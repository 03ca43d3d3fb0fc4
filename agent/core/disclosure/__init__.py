"""What may leave, and how anyone can check that it might: an approval turned into parts, and parts held against it.

The two halves of this module mirror each other.

On the device, `release` holds an owner-signed approval against everything it must agree with.  It says yes only if

- it names this device, this request by the hash of its signed bytes, and this request's reply key;
- every item lies in the match set that was frozen when the request matched, and overlaps the requested window;
- every item names the payload bytes that the manifest says were sealed at capture;
- every item comes with the new header it names, and that header is wrapped to one hybrid recipient and nobody else;
- of footage that is not shown it says no more than `claimed_clips` does.  (What it says of the rest of the window is
  `absences`, word for word; `custodian.approvals` compares, because that takes the vault.)

The device cannot look into the header: it holds no key that opens anything.  That the header really is for this
requester is the owner's client's doing.  That *nothing else* leaves is this module's.

At the requester's, `read_manifest` and `check_part` go the same way backwards, offline and without trusting us: the
device signed the manifest and every capture record in it; an owner that the device names signed the approval, and a
second one where it takes two; a ledger that the device signed holds it; the approval names exactly the received headers
and payloads; and the payloads are the ones signed at capture.  `agree` ties what opens to the record.  A
disclosure verifies as a whole or raises; there is no "mostly".

Of a clip that the owner lets be known to exist, the records of what is not shown travel as hashes
(`claimed_clip_records`), so a part of it can be shown in its place.  A tip, which nobody asked for, goes the same
way with less to prove: `release_tip`, and `read_tip` at the other end.

    part 0      age file sealed to the reply key: the signed `DisclosureManifest`
    part n ≥ 1  new header (by the owner's client) ++ stored payload (by the device, at capture): one age file

Source: PROTOCOL.md, "Disclosure"; SECURITY.md, promises 1 and 2.
"""

from __future__ import annotations

from agent.core.disclosure.reading import (
    DisclosedItem,
    VerifiedDisclosure,
    agree,
    check_part,
    enrolled,
    items_of,
    read_approval,
    read_co_approval,
    read_device_manifest,
    read_manifest,
    require_answers,
    require_approves,
    require_claims_match,
    require_ledgered,
    require_within_window,
)
from agent.core.disclosure.releasing import (
    ApprovedItems,
    ReleasedItem,
    absences,
    claimed_clip_records,
    claimed_clips,
    manifest_of,
    release,
    release_tip,
    tip_manifest_of,
)
from agent.core.disclosure.tips import TipItem, check_tip_part, read_tip

__all__ = [
    "ApprovedItems",
    "DisclosedItem",
    "ReleasedItem",
    "TipItem",
    "VerifiedDisclosure",
    "absences",
    "agree",
    "check_part",
    "check_tip_part",
    "claimed_clip_records",
    "claimed_clips",
    "enrolled",
    "items_of",
    "manifest_of",
    "read_approval",
    "read_co_approval",
    "read_device_manifest",
    "read_manifest",
    "read_tip",
    "release",
    "release_tip",
    "require_answers",
    "require_approves",
    "require_claims_match",
    "require_ledgered",
    "require_within_window",
    "tip_manifest_of",
]
