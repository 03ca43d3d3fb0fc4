"""Compresses card images, and writes the list that lets Raspberry Pi Imager offer and check them.

Rules: sizes and hashes come from the bytes themselves, in the one pass that compresses them. The list says how Imager
may change a card: `cloudinit` writes Wi-Fi, host name and user, and a read-only system allows nothing. Source: the JSON
schema `os-list-schema.json` and `os_customisation_formats.md` of Raspberry Pi Imager 2.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from installation.words import fail

__all__ = ["BOARDS", "LIST_NAME", "write_cards"]

LIST_NAME: Final = "doorward-{}.rpi-imager-manifest"
"""Imager opens a file with this ending, and an address given with `--repo`."""
BOARDS: Final[Mapping[str, tuple[str, str]]] = {
    "rpizero2w": ("Raspberry Pi Zero 2 W and 3", "pi3-64bit"),
    "rpi3": ("Raspberry Pi 3", "pi3-64bit"),
    "rpi4": ("Raspberry Pi 4", "pi4-64bit"),
    "rpi5": ("Raspberry Pi 5", "pi5-64bit"),
    "rpi-cm4": ("Raspberry Pi Compute Module 4", "pi4-64bit"),
    "rpi-cm5": ("Raspberry Pi Compute Module 5", "pi5-64bit"),
}
"""Layer of rpi-image-gen → what a person reads, and the tag of the boards in Imager. A Zero 2 W has the tag of a 3, and
a compute module that of its board."""
_SECTOR: Final = 512
_CHUNK: Final = 1 << 20
_SIGNATURE: Final = b"\x55\xaa"
"""The last bytes of the first sector of every disk with partitions."""


@dataclass(frozen=True, slots=True)
class _Packed:
    image_bytes: int
    image_sha256: str
    packed_bytes: int
    packed_sha256: str


def write_cards(
    images: Mapping[str, Path], out: Path, *, icon: Path, version: str, date: str, address: str, read_only: bool
) -> Path:
    """Writes a compressed image for each board, the icon, and the list. Returns the list's path.

    `images`: board → raw image. `address`: of the folder that will hold `out`, with https. `date`: like 2026-12-01.
    `read_only`: images of `doorward-slots`, which take no Wi-Fi, host name or user from Imager.
    """
    if not address.startswith("https://"):
        fail(f"{address} is no address with https.", "give the address of the folder that will hold the images.")
    out.mkdir(parents=True, exist_ok=True)
    entries = []
    for board, image in sorted(images.items()):
        if board not in BOARDS:
            fail(f"{board} is no board with a card.", f"choose of {', '.join(BOARDS)}.")
        target = out / f"doorward-{version}-{board}{'-slots' if read_only else ''}.img.xz"
        packed = _pack(image, target)
        entries.append(_entry(board, target.name, packed, version, date, address.rstrip("/"), read_only=read_only))
    shutil.copyfile(icon, out / "doorward.png")
    path = out / LIST_NAME.format(version)
    path.write_text(json.dumps({"os_list": entries}, indent=1) + "\n")
    return path


def _pack(image: Path, target: Path) -> _Packed:
    whole, packed = hashlib.sha256(), hashlib.sha256()
    size = packed_size = 0
    compressor = lzma.LZMACompressor(lzma.FORMAT_XZ, preset=6)
    making = target.with_suffix(".making")
    with image.open("rb") as source, making.open("wb") as file:
        if source.read(_SECTOR)[-2:] != _SIGNATURE or os.fstat(source.fileno()).st_size % _SECTOR:
            fail(f"{image} is no image of a disk.", "give the .img file of rpi-image-gen, not compressed.")
        source.seek(0)
        while chunk := source.read(_CHUNK):
            whole.update(chunk)
            size += len(chunk)
            data = compressor.compress(chunk)
            packed.update(data)
            packed_size += file.write(data)
        data = compressor.flush()
        packed.update(data)
        packed_size += file.write(data)
    making.replace(target)
    return _Packed(size, whole.hexdigest(), packed_size, packed.hexdigest())


def _entry(
    board: str, name: str, packed: _Packed, version: str, date: str, address: str, *, read_only: bool
) -> dict[str, object]:
    boards, tag = BOARDS[board]
    kind = ", read-only system" if read_only else ""
    return {
        "name": f"Doorward {version} for {boards}{kind}",
        "description": "Doorbell camera that cannot see its own past. Your phone sets it up, without a shell.",
        "icon": f"{address}/doorward.png",
        "url": f"{address}/{name}",
        "website": address,
        "release_date": date,
        "extract_size": packed.image_bytes,
        "extract_sha256": packed.image_sha256,
        "image_download_size": packed.packed_bytes,
        "image_download_sha256": packed.packed_sha256,
        "devices": [tag],
        "architecture": "armv8",
        # A doorbell has no SSH server, so Imager's question about SSH has no effect (decision 74).
        "init_format": "none" if read_only else "cloudinit",
        "capabilities": [],
    }
