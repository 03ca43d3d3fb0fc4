"""Disclosures: turns an approval into parts that may leave, and checks received parts against the approval.

The two halves of this module mirror each other.

On the device, `release` checks an owner-signed approval against everything it must agree with.  It accepts only if

- the approval names this device, this request by the hash of its signed bytes, and this request's reply key;
- every item is in the match set that was frozen when the request matched, and overlaps the requested window;
- every item names the payload bytes that the manifest states were sealed at capture;
- every item comes with the new header it names, and that header is wrapped to exactly one hybrid recipient;
- about hidden footage, the approval says at most the facts of `claimed_clips`.  (Its words for the rest of
  the window must equal `absences`.  `custodian.approvals` compares them, because the comparison takes the vault.)

The device holds only public keys, so it cannot look into the header.  The owner's client makes sure that the header is
for this requester.  This module makes sure that *only* approved items leave.

At the requester's, `read_manifest` and `check_part` perform the same checks in reverse, offline and trusting only
signatures: the device signed the manifest and every capture record in it; an owner that the device names signed the
approval, and a second one if it takes two; a ledger that the device signed holds it; the approval names exactly the
received headers and payloads; and the payloads are the ones signed at capture.  `agree` ties the opened footage to the
record.  A disclosure verifies as a whole or raises an error. For example, one altered byte of one part refuses all of
it.

If the owner lets a requester know that a clip exists, the records of its hidden segments travel as hashes
(`claimed_clip_records`), so that a shown part can be placed in the clip.  A tip comes unrequested. It takes the same
way with less to prove: `release_tip`, and `read_tip` at the other end.

    part 0      age file sealed to the reply key, which its header names: the signed `DisclosureManifest`
    part n ≥ 1  new header (by the owner's client) ++ stored payload (by the device, at capture): one age file

Source: PROTOCOL.md, "Disclosure"; docs/security/promises.md, promises 1 and 2.
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
    reply_stanza,
    reply_tag,
    reply_tag_in,
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
    "reply_stanza",
    "reply_tag",
    "reply_tag_in",
    "require_answers",
    "require_approves",
    "require_claims_match",
    "require_ledgered",
    "require_within_window",
    "tip_manifest_of",
]
