"""Storage for a desk of several machines: the index of answers in PostgreSQL, and a port for sealed parts in S3.

Each port has one contract suite. The embedded default (SQLite, a folder) passes it, and so do a real PostgreSQL and a
real SeaweedFS in the tests. Decision 0040 says which part of a requester's folder may move, and why. The receiver puts
no part into S3 yet.
"""
