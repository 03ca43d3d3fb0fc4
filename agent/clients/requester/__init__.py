"""The requester's client: asks an area for footage, receives the answers, and proves what it received.

It runs on the requester's machine and shares only the formats (`wire`, `core`) with a device. Its folder:

    requester.json                     profile of the requester
    signing.key                        Ed25519, signs requests and receipts (0600)
    sequence                           the last number used with that key; grows before it is used
    roots/<root>/                      the root's key, newest bundle and list of brokers, if imported
    requests/<request>/                request.dsse · reply.identity (0600) · withdrawal.dsse · *.published
    index/                             finds requests and answers; can be made again from the rest
    disclosures/<disclosure>/          one answer as it arrived: its parts, its request, its outcome
    opened/<disclosure>/               the output of `open`: MP4s, report.html, bundle/

Read in this order: `request_builder`, `messages`, `publisher`, `receiving_service` and `incoming`, `verification`,
`opened_disclosure`, `evidence`, `report`. Three rules: acknowledge data only after it is on the disk, open footage only
after the whole disclosure verified, and show foreign text only as text.
"""
