"""The programs of people: the owner's and the requester's client, and the tools for a broker.

A doorbell has none of this package: it is a distribution of its own, `doorward-clients`.  `opening` is the only code
that opens footage, and only this package imports it.
"""
