"""The ledger: an append-only Merkle log of everything that happened to requests, keys, trust and storage.

`entries` says what can be written, `merkle` makes and checks the proofs, `checkpoint` signs the head.  See `LEDGER.md`.
"""
