"""The ledger: an append-only Merkle log of all events of requests, keys, trust and storage.

`entries` defines the entries, `merkle` makes and checks the proofs, `checkpoint` signs the head. See `LEDGER.md`.
"""
