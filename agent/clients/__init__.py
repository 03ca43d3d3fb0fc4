"""The programs of people: the owner's client, the requester's client, and the tools for a broker.

This package is a separate distribution, `doorward-clients`, and is not on a doorbell. Only `opening` opens footage, and
only this package imports it.
"""
