"""A FUSE file system of one image file that logs every write and flush: what a disk would have seen, in order.

It speaks the kernel's protocol over /dev/fuse itself, so it needs no library, only root.  The mount holds two files:

    image   the disk; a loop device on it becomes a real ext4.  Writes and fsyncs are logged.
    marks   what the workload tells: each write is logged as a mark between the disk's writes.

`python -m tests.crash.power.fuse_log MOUNTPOINT IMAGE LOG` serves until unmounted, then writes the log: records of
(kind, offset, length) and data.  Both files are kept in memory, so nothing of the machine's own disk is measured.

Source: linux/fuse.h, protocol 7.31; fuse(4).
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

__all__ = ["FLUSH", "MARK", "RECORD", "WRITE", "read_log"]

WRITE, FLUSH, MARK = range(3)
RECORD: Final = struct.Struct("<BQI")
"""kind, offset, length of the data behind it"""

_IN: Final = struct.Struct("<IIQQIIIHH")
_OUT: Final = struct.Struct("<IiQ")
_ATTRIBUTES: Final = struct.Struct("<QQQQQQIIIIIIIIII")
_MOST_WRITE: Final = 128 << 10
_FOPEN_DIRECT_IO: Final = 1
_FILES: Final = {b"image": 2, b"marks": 3}

(LOOKUP, FORGET, GETATTR, SETATTR, OPEN, READ, WRITE_OP, STATFS, RELEASE, FSYNC, FLUSH_OP, INIT, OPENDIR, READDIR) = (
    1, 2, 3, 4, 14, 15, 16, 17, 18, 20, 25, 26, 27, 28,
)  # fmt: skip
_RELEASEDIR, _ACCESS, _INTERRUPT, _DESTROY, _BATCH_FORGET, _FALLOCATE = 29, 34, 36, 38, 42, 43


def read_log(path: Path) -> list[tuple[int, int, bytes]]:
    """(kind, offset, data) in the order in which the disk saw them."""
    log, found, at = path.read_bytes(), [], 0
    while at < len(log):
        kind, offset, size = RECORD.unpack_from(log, at)
        at += RECORD.size
        found.append((kind, offset, log[at : at + size]))
        at += size
    return found


class LoggingDisk:
    """Serves one mount.  `log` grows while it runs."""

    def __init__(self, device: int, image: bytearray) -> None:
        self._device = device
        self._image = image
        self.log = bytearray()

    def serve(self) -> None:
        while True:
            try:
                request = os.read(self._device, _MOST_WRITE + 4096)
            except OSError as error:
                if error.errno == errno.ENODEV:
                    return  # unmounted
                if error.errno in (errno.EINTR, errno.ENOENT):
                    continue
                raise
            _length, operation, unique, node, *_rest = _IN.unpack_from(request)
            body = request[_IN.size :]
            if operation in (FORGET, _BATCH_FORGET, _INTERRUPT):
                continue
            try:
                answer = self._answer(operation, node, body)
                code = 0
            except OSError as error:
                answer, code = b"", -(error.errno or errno.EIO)
            with suppress(FileNotFoundError):  # anyone who asked was interrupted, and waits no longer
                os.write(self._device, _OUT.pack(_OUT.size + len(answer), code, unique) + answer)
            if operation == _DESTROY:
                return

    def _answer(self, operation: int, node: int, body: bytes) -> bytes:
        match operation:
            case 26:
                return struct.pack("<IIIIHHIIHHI7I", 7, 31, 1 << 17, 0, 16, 12, _MOST_WRITE, 1, 32, 0, 0, *[0] * 7)
            case 1:
                found = _FILES.get(body.rstrip(b"\0"))
                if found is None:
                    raise OSError(errno.ENOENT, "")
                return struct.pack("<QQQQII", found, 0, 3600, 3600, 0, 0) + self._attributes(found)
            case 3 | 4:
                return struct.pack("<QII", 3600, 0, 0) + self._attributes(node)
            case 14 | 27:
                return struct.pack("<QII", 0, _FOPEN_DIRECT_IO, 0)
            case 15:
                _handle, offset, size = struct.unpack_from("<QQI", body)
                return bytes(self._image[offset : offset + size]) if node == _FILES[b"image"] else b""
            case 16:
                _handle, offset, size = struct.unpack_from("<QQI", body)
                return self._write(node, offset, body[40 : 40 + size])
            case 17:
                return struct.pack("<QQQQQIIII24x", 1 << 20, 1 << 19, 1 << 19, 100, 50, 4096, 255, 4096, 0)
            case 20:
                if node == _FILES[b"image"]:
                    self.log += RECORD.pack(FLUSH, 0, 0)
                return b""
            case 18 | 25 | 29 | 34 | 38:
                return b""
            case 28:
                return b""
        raise OSError(errno.ENOSYS, "")

    def _write(self, node: int, offset: int, data: bytes) -> bytes:
        if node == _FILES[b"image"]:
            if offset + len(data) > len(self._image):
                raise OSError(errno.ENOSPC, "")
            self._image[offset : offset + len(data)] = data
            self.log += RECORD.pack(WRITE, offset, len(data)) + data
        else:
            self.log += RECORD.pack(MARK, 0, len(data)) + data
        return struct.pack("<II", len(data), 0)

    def _attributes(self, node: int) -> bytes:
        if node == 1:
            mode, size = stat.S_IFDIR | 0o755, 0
        else:
            mode, size = stat.S_IFREG | 0o644, len(self._image) if node == _FILES[b"image"] else 0
        return _ATTRIBUTES.pack(node, size, -(-size // 512), 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


def main() -> None:
    where, image, log = (Path(argument) for argument in sys.argv[1:4])
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0".encode()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"doorward-log", os.fsencode(where), b"fuse", 0, options):
        raise OSError(ctypes.get_errno(), f"{where}: {os.strerror(ctypes.get_errno())}")
    disk = LoggingDisk(device, bytearray(image.read_bytes()))
    print("mounted", flush=True)
    disk.serve()
    log.write_bytes(disk.log)


if __name__ == "__main__":
    main()
