"""What crosses a trust boundary: strict messages in signed envelopes, shared by device, owner and requester.

Pure: bytes in, values out.  Start with `PROTOCOL.md`, then `envelope` (who said it), `strictjson` (what bytes are
acceptable), `messages` / `statements` / `disclosures` (what can be said), `trust` (whom the owner lets ask), `limits`
(how much they may ask) and `topics` (where it is published).
"""
