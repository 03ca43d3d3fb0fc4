"""Encoded video without re-encoding: fragmented MP4, sound tracks, posters, and checks that media opens.

A library between `core` and the ports. The recorder writes segments with it, and the clients of owner and requester
read them. Events, keys and consent are out of its scope.
"""
