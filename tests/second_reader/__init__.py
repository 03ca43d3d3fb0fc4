"""A second implementation, written from the documents alone: PROTOCOL.md, FORMAT.md, LEDGER.md and c2sp.org/age.

It only reads, and a test holds that it imports nothing of ours. If it could not be written, or a vector contradicts it,
the document has to be mended.
"""
