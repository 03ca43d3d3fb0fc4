"""Holds and deletions of stored segments, each as a signed statement of an owner."""

from __future__ import annotations

from collections.abc import Sequence

from agent.clients.owner.clock import Clock, wall_ms
from agent.clients.owner.keys import OwnerKeys
from agent.clients.owner.statements import sign_and_submit
from agent.clients.owner.sync import DeviceChannel, sync, sync_after
from agent.wire.statements import Erasure, Hold, Release

__all__ = ["erase", "hold", "release"]


def hold(
    link: DeviceChannel, keys: OwnerKeys, segments: Sequence[str], until_s: int, *, clock: Clock = wall_ms
) -> None:
    """Keep these segments from the rolling vault until then."""
    met = sync(link, keys)
    sign_and_submit(link, keys, met, Hold, now_ms=clock(), segments=tuple(segments), until_s=until_s)
    sync_after(link, keys)


def release(link: DeviceChannel, keys: OwnerKeys, segments: Sequence[str], *, clock: Clock = wall_ms) -> None:
    """Let them go when their time comes."""
    met = sync(link, keys)
    sign_and_submit(link, keys, met, Release, now_ms=clock(), segments=tuple(segments))
    sync_after(link, keys)


def erase(link: DeviceChannel, keys: OwnerKeys, segments: Sequence[str], *, clock: Clock = wall_ms) -> None:
    """Deletes the segments on the device. Copies that were shared earlier stay with their recipients."""
    met = sync(link, keys)
    sign_and_submit(link, keys, met, Erasure, now_ms=clock(), segments=tuple(segments))
    sync_after(link, keys)
