"""Runs the network of object detection with OpenCV, which the doorbell has anyway.

A network is loaded only if its bytes have the pinned hash, because its parser is native code. Downloads are out of the
question.

OpenCV releases Python's lock while it computes, so other threads continue. The network runs on one thread, because
OpenCV's pool would take every core from the recording. The size of the pool is that of the process: other calls of
OpenCV in a recorder are for pictures of 320 × 240 px, which gain nothing from a pool.

Source: docs.opencv.org, "Deep Neural Network module"; scripts/fetch_models.py for the origin of the file.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

import cv2
import numpy as np

import agent
from agent.core.object_detection.arrays import Numbers, Pixels
from agent.core.object_detection.boxes import OBJECTS_PX
from agent.core.object_detection.detector import ObjectDetector
from agent.errors import ConfigurationError, DeviceError

__all__ = ["MODELS", "OBJECTS", "SHA256", "OpenCvNetwork", "absent", "open_detector"]

MODELS: Final = Path(agent.__file__).resolve().parents[1] / "models"
"""Beside the program, in a repository and in an installation alike."""
OBJECTS: Final = "objects.onnx"
SHA256: Final = {OBJECTS: "615e266100c341c28d62abe255f7a6d9d7e2b91c1b0b87fc24c5d9e53141a57b"}
_REMEDY: Final = "Run `make models` in the repository, and install again."


class OpenCvNetwork:
    """`ports.Network`.  `name` is a file of `folder`.

    Raises `ConfigurationError` if the file is missing, `DeviceError` if it is another one or damaged.
    """

    def __init__(self, folder: Path, name: str = OBJECTS) -> None:
        try:
            model = (folder / name).read_bytes()
        except OSError as error:
            raise ConfigurationError(f"The network {folder / name} cannot be read.", remedy=_REMEDY) from error
        if hashlib.sha256(model).hexdigest() != SHA256[name]:
            raise DeviceError(f"The network {folder / name} is not the one that is known.", remedy=_REMEDY)
        cv2.setNumThreads(1)
        try:
            self._net = cv2.dnn.readNetFromONNX(np.frombuffer(model, np.uint8))
        except cv2.error as error:
            raise DeviceError(f"The network {name} cannot be loaded: {_said(error)}", remedy=_REMEDY) from error

    def infer(self, pixels: Pixels) -> Numbers:
        if pixels.shape != (OBJECTS_PX, OBJECTS_PX, 3) or pixels.dtype != np.uint8:
            raise DeviceError(f"This network wants a square of {OBJECTS_PX} px, not {pixels.shape}.")
        try:
            self._net.setInput(cv2.dnn.blobFromImage(pixels, swapRB=True))  # it was trained with blue first, 0..255
            return np.array(self._net.forward()[0], np.float32)
        except cv2.error as error:
            raise DeviceError(f"The network could not be run: {_said(error)}") from error


def _said(error: cv2.error) -> str:
    """Its words on one line. `error.err` can be those of an earlier fault, because OpenCV keeps them on the class."""
    return " ".join(str(error).split())[:200]


def open_detector(folder: Path = MODELS) -> ObjectDetector:
    """Loads the network.  Raises `ConfigurationError` and `DeviceError` with the remedy."""
    return ObjectDetector(OpenCvNetwork(folder).infer)


def absent(folder: Path = MODELS) -> str:
    """Returns what object detection lacks, in a sentence; empty if it is complete. Loads nothing."""
    missing = [name for name in SHA256 if not (folder / name).is_file()]
    return f"Object detection lacks {' and '.join(missing)} in {folder}." if missing else ""
