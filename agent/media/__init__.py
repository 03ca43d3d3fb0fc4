"""What may be done with encoded video without re-encoding it: fragmented MP4, posters, joining, contact sheets.

A library between `core` and the ports: the recorder writes segments with it, and the clients of owner and requester
read them with it.  It decides nothing about events, keys or consent.
"""
