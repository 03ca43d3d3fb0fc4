"""For every test of this folder: attributes that several threads use are written by their owners only."""

from tests.recorder.thread_owner_check import thread_owners

__all__ = ["thread_owners"]
