"""The view of two outsiders: the broker's log of the device's messages, and a thief with the device's disk."""

from __future__ import annotations

import contextlib
import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av

from agent.clients.opening import HybridIdentity, Identity, X25519Identity, open_bytes
from agent.errors import FormatError

__all__ = ["Loot", "Published", "published_by", "steal"]

_PUBLISH = re.compile(r"Received PUBLISH from (\S+) \(d\d, q\d, r\d, m\d+, '([^']*)', \.\.\. \((\d+) bytes\)\)")
_SECRETS = (b"AGE-SECRET-KEY-", b"doorward-recovery")
_PICTURES = (b"ftyp", b"moov", b"moof", b"mdat", b"\xff\xd8\xff", b"\x00\x00\x00\x01\x67")
_FORMS = ("h264", "jpeg_pipe", "mov,mp4,m4a,3gp,3g2,mj2")
"""FFmpeg's names for what a doorbell writes.  It takes one ciphertext in three hundred for H.263, and draws noise."""


@dataclass(frozen=True, slots=True)
class Published:
    """One message that the broker received, as the broker says."""

    topic: str
    size_bytes: int


def published_by(client: str, broker_log: str) -> list[Published]:
    """Everything `client` published, read from mosquitto's debug log."""
    return [Published(topic, int(size)) for who, topic, size in _PUBLISH.findall(broker_log) if who == client]


@dataclass(frozen=True, slots=True)
class Loot:
    """The result of a thief's attempts on every file."""

    files: int
    segments: int
    posters: int
    opened: tuple[str, ...]
    secrets: tuple[str, ...]
    """Files that hold the private half of an age identity."""

    @property
    def nothing(self) -> bool:
        return not self.opened and not self.secrets


def steal(state_dir: Path) -> Loot:
    """Reads everything on the device's disk and tries to see a picture.

    It tries every 32-byte window of the device's key file as an identity, on every sealed file. It searches every file
    for pictures and secret keys. It hands every sealed file unopened to a video decoder.
    """
    files = [path for path in sorted(state_dir.rglob("*")) if path.is_file()]
    sealed = [path for path in files if path.suffix == ".age" or path.parent.parent.name == "outbox"]
    identities = list(_identities(state_dir / "device.key"))
    opened = [path.name for path in sealed if _opens(path.read_bytes(), identities)]
    secrets = [path.name for path in files if any(secret in path.read_bytes() for secret in _SECRETS)]
    kinds = Counter("poster" if path.name.endswith(".poster.age") else "segment" for path in sealed)
    return Loot(len(files), kinds["segment"], kinds["poster"], tuple(opened), tuple(secrets))


def _identities(key_file: Path) -> Iterator[Identity]:
    from base64 import b64decode

    body = "".join(line for line in key_file.read_text().splitlines() if not line.startswith("-"))
    raw = b64decode(body)
    for start in range(len(raw) - 31):
        yield HybridIdentity(raw[start : start + 32])
        yield X25519Identity(raw[start : start + 32])


def _opens(data: bytes, identities: list[Identity]) -> bool:
    with contextlib.suppress(FormatError):
        open_bytes(data, identities)
        return True
    # Random bytes hold a four-byte mark every few gigabytes. Footage holds all of the marks, so require several.
    if sum(mark in data for mark in _PICTURES) > 2:
        return True
    try:
        with av.open(io.BytesIO(data), mode="r") as container:
            return container.format.name in _FORMS and next(container.decode(video=0), None) is not None
    except (av.error.FFmpegError, ValueError):
        return False
