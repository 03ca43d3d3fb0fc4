"""Storage for a grown desk: the index of answers in PostgreSQL, and sealed parts in an S3 store.

Each port has one contract suite. The embedded default (SQLite, a folder) passes it, and so do a real PostgreSQL and a
real SeaweedFS in the tests. Decision 0040 says which part of a requester's folder may move, and why.
"""
