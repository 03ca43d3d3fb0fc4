"""The link: an encrypted session between an owner's client and a doorbell, over any carrier of frames (`LINK.md`).

Pure code: frames in, frames and events out. `handshake` opens a session, `session` sends and receives in it.
"""
