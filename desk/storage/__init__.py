"""Storage for a grown desk: index, notes and claims of its workers in PostgreSQL, and sealed parts in an S3 store.

Each port has one contract suite. The embedded default (SQLite, a folder) passes it, and so do a real PostgreSQL and a
real SeaweedFS in the tests. Decisions 0040 and 0050 say what moves from a requester's folder, and why.
"""
