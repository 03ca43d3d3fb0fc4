"""Runs the two networks of object detection with LiteRT.

A network is loaded only if its bytes have the pinned hash, because its parser is native code. Downloads are out of the
question. The library is imported only together with a network, because most doorbells have none.

The interpreter releases Python's lock while it computes, so other threads continue. It uses one thread itself. The
library logs to standard error and has no switch for that: its lines are captured during loading, and only warnings and
errors are passed on.

Source: ai.google.dev/edge/litert, "Interpreter"; scripts/fetch_models.py for the origin of the files.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

import agent
from agent.core.object_detection.arrays import Numbers, Pixels
from agent.core.object_detection.boxes import FACES_PX, OBJECTS_PX
from agent.core.object_detection.detector import ObjectDetector
from agent.errors import ConfigurationError, DeviceError

__all__ = ["FACES", "MODELS", "OBJECTS", "LiteRtNetwork", "absent", "open_detector"]

MODELS: Final = Path(agent.__file__).resolve().parents[1] / "models"
"""Beside the program, in a repository and in an installation alike."""
OBJECTS: Final = "objects.tflite"
FACES: Final = "faces.tflite"
SHA256: Final = {
    OBJECTS: "d0a5255bf8c4f5a0bc4240741a76c41d5e939f7655078f945f50ab53a9375da6",
    FACES: "671dd2f9ed11a78436fc21cc42357a803dfc6f73e9fb86541be942d5716c2dce",
}
_SIDE_PX: Final = {OBJECTS: OBJECTS_PX, FACES: FACES_PX}
_LIBRARY: Final = "ai_edge_litert"
_INFORMS: Final = b"INFO: "
_REMEDY: Final = "Run `make models` in the repository, and install again."


class LiteRtNetwork:
    """`ports.Network`.  `name` is `OBJECTS` or `FACES`, a file of `folder`.

    Raises `ConfigurationError` when library or file are missing, `DeviceError` when the file is another one or damaged.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._side_px = _SIDE_PX[name]
        try:
            model = (folder / name).read_bytes()
        except OSError as error:
            raise ConfigurationError(f"The network {folder / name} cannot be read.", remedy=_REMEDY) from error
        if hashlib.sha256(model).hexdigest() != SHA256[name]:
            raise DeviceError(f"The network {folder / name} is not the one that is known.", remedy=_REMEDY)
        try:
            from ai_edge_litert.interpreter import Interpreter  # late: most doorbells lack the library
        except ImportError as error:
            raise ConfigurationError(f"{_LIBRARY} is not installed.", remedy=_REMEDY) from error
        try:
            with _no_mere_information():
                self._interpreter: Any = Interpreter(model_content=model, num_threads=1)
                self._interpreter.allocate_tensors()
            self._input: int = self._interpreter.get_input_details()[0]["index"]
            outputs = self._interpreter.get_output_details()
        except (RuntimeError, ValueError, IndexError) as error:
            raise DeviceError(f"The network {name} cannot be loaded: {error}.", remedy=_REMEDY) from error
        by_width = {int(output["shape"][-1]): int(output["index"]) for output in outputs}
        boxes_width = 4 if name == OBJECTS else 16
        self._boxes = by_width.pop(boxes_width)
        self._logits = by_width.popitem()[1]

    def infer(self, pixels: Pixels) -> tuple[Numbers, Numbers]:
        if pixels.shape != (1, self._side_px, self._side_px, 3) or pixels.dtype != np.float32:
            raise DeviceError(f"This network wants a square of {self._side_px} px, not {pixels.shape}.")
        try:
            self._interpreter.set_tensor(self._input, pixels)
            self._interpreter.invoke()
            return self._interpreter.get_tensor(self._boxes)[0], self._interpreter.get_tensor(self._logits)[0]
        except (RuntimeError, ValueError) as error:
            raise DeviceError(f"The network could not be run: {error}.") from error


@contextlib.contextmanager
def _no_mere_information() -> Iterator[None]:
    """Native code writes to the file descriptor itself, past `sys.stderr`."""
    terminal, held = os.dup(2), os.memfd_create("litert-says")
    os.dup2(held, 2)
    try:
        yield
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)
        os.lseek(held, 0, os.SEEK_SET)
        with os.fdopen(held, "rb") as lines:
            for line in lines:
                if not line.startswith(_INFORMS):
                    os.write(2, line)


def open_detector(folder: Path = MODELS) -> ObjectDetector:
    """Both networks, loaded.  Raises `ConfigurationError` and `DeviceError` with the remedy."""
    return ObjectDetector(LiteRtNetwork(folder, OBJECTS).infer, LiteRtNetwork(folder, FACES).infer)


def absent(folder: Path = MODELS) -> str:
    """Returns what object detection lacks, in a sentence; empty if it is complete. Loads nothing."""
    if importlib.util.find_spec(_LIBRARY) is None:
        return f"{_LIBRARY} is not installed."
    missing = [name for name in SHA256 if not (folder / name).is_file()]
    return f"{' and '.join(missing)} are not in {folder}." if missing else ""
