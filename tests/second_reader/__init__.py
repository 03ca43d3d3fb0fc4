"""A second implementation, written from the documents alone: PROTOCOL.md, FORMAT.md, LEDGER.md and c2sp.org/age.

It reads, it does not write; and it imports nothing of ours, which a test holds.  Where it could not be written, or a
vector is not what it says, the document is what has to be mended.
"""
