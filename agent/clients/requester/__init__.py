"""The requester's client: asks an area for footage, receives what owners chose to share, and proves what it received.

It runs on the requester's own machine and shares nothing with a device but the formats (`wire`, `core`).  Its folder:

    requester.json                     who we are
    signing.key                        Ed25519, signs requests and receipts (0600)
    sequence                           the last number used with that key; grows before it is used
    roots/<root>/                      the root's key and newest bundle, as far as they are here
    requests/<request>/                request.dsse · reply.identity (0600) · withdrawal.dsse · *.published
    register/                          finds requests without reading all of them
    disclosures/<disclosure>/          one answer as it arrived: its parts, the request it answers, how it ended
    opened/<disclosure>/               what `open` made: MP4s, report.html, bundle/

Read on in the order of the story: `asking` (what may be asked), `identity` (signing it), `publishing`, `receiving`
(parts into `answers`), `verifying` (the checks, one by one), `opening` (MP4s), `evidence` (the bundle), `report`.

Rules: nothing is acknowledged before it is on the disk; nothing is opened for use before all of it verified; a text
that somebody else wrote is only ever shown as text.
"""
