"""What may leave, and how anyone can check that it might: an approval turned into parts, and parts held against it.

The two halves of this module mirror each other.

On the device, `release` holds an owner-signed approval against everything it must agree with.  It says yes only if

- it names this device, this request by the hash of its signed bytes, and this request's reply key;
- every item lies in the match set that was frozen when the request matched, and overlaps the requested window;
- every item names the payload bytes that the manifest says were sealed at capture;
- every item comes with the new header it names, and that header is wrapped to one hybrid recipient and nobody else;
- of footage that is not shown it says no more than `clips_told` does.  (What it says of the rest of the window is
  `absences`, word for word; `custodian.approvals` compares, because that takes the vault.)

The device cannot look into the header: it holds no key that opens anything.  That the header really is for this
requester is the owner's client's doing.  That *nothing else* leaves is this module's.

At the requester's, `read_manifest` and `check_part` go the same way backwards, offline and without trusting us: the
device signed the manifest and every capture record in it; an owner that the device names signed the approval, and a
second one where it takes two; a ledger that the device signed holds it; the approval names exactly the received headers
and payloads; and the payloads are the ones signed at capture.  `agree` ties what opens to the record.  A
disclosure verifies as a whole or raises; there is no "mostly".

Of a clip that the owner lets be known to exist, the records of what is not shown travel as hashes (`records_told`), so
a part of it can be shown in its place.  A tip, which nobody asked for, goes the same way with less to prove:
`release_tip`, and `read_tip` at the other end.

    part 0      age file sealed to the reply key: the signed `DisclosureManifest`
    part n ≥ 1  new header (by the owner's client) ++ stored payload (by the device, at capture): one age file

Source: PROTOCOL.md, "Disclosure"; SECURITY.md, promises 1 and 2.
"""

from __future__ import annotations

from agent.core.disclosure.reading import (
    Disclosed,
    Item,
    agree,
    check_part,
    device_said,
    enrolled,
    items_of,
    owner_said,
    read_manifest,
    require_answers,
    require_approves,
    require_ledgered,
    require_told,
    require_within_window,
    seconded,
)
from agent.core.disclosure.releasing import (
    Approved,
    Released,
    absences,
    clips_told,
    manifest_of,
    records_told,
    release,
    release_tip,
    tip_manifest_of,
)
from agent.core.disclosure.tips import TipItem, check_tip_part, read_tip

__all__ = [
    "Approved",
    "Disclosed",
    "Item",
    "Released",
    "TipItem",
    "absences",
    "agree",
    "check_part",
    "check_tip_part",
    "clips_told",
    "device_said",
    "enrolled",
    "items_of",
    "manifest_of",
    "owner_said",
    "read_manifest",
    "read_tip",
    "records_told",
    "release",
    "release_tip",
    "require_answers",
    "require_approves",
    "require_ledgered",
    "require_told",
    "require_within_window",
    "seconded",
    "tip_manifest_of",
]
