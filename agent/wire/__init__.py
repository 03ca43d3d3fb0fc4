"""Messages that cross a trust boundary: strict JSON in signed envelopes, shared by device, owner and requester.

Pure code: bytes in, values out. Start with `PROTOCOL.md`. Then read `envelope` (signatures), `strictjson` (accepted
bytes), `messages`, `statements` and `disclosures` (message kinds), `trust` (requesters and roots), `limits` (bounds on
a request) and `topics` (MQTT topics).
"""
