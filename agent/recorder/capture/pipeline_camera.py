"""Base of the cameras with pictures that are encoded here: a file, a USB camera, the drawn porch.

`open` of a subclass sets `_description`, and `_container` if it opened one. `start` builds the pipeline with
`_new_pipeline` and hands it over with `_begin`, which starts the one thread that delivers. One `start` for each `open`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from av.container import InputContainer

from agent.core.media import StreamDescription
from agent.errors import InternalError
from agent.ports import CameraSink, MaskedArea
from agent.recorder.capture.delivery_thread import DeliveryThread, Ending
from agent.recorder.capture.encoding import EncodingSettings, Pipeline

__all__ = ["PipelineCamera"]

_Opened = TypeVar("_Opened")


class PipelineCamera:
    """The part of `ports.Camera` that these cameras share. `name` is the name of the delivering thread."""

    def __init__(self, name: str, settings: EncodingSettings | None) -> None:
        self._name = name
        self._settings = settings or EncodingSettings()
        self._description: StreamDescription | None = None
        self._container: InputContainer | None = None
        """The open source, until `start` hands it to the thread that delivers: only that thread closes it."""
        self._pipeline: Pipeline | None = None
        self._delivery: DeliveryThread | None = None

    def request_keyframe(self) -> None:
        if self._pipeline is not None:
            self._pipeline.request_keyframe()

    def mask(self, zones: MaskedArea) -> bool:
        if self._pipeline is not None:
            self._pipeline.mask(zones)
        return self._pipeline is not None

    def stop(self) -> None:
        if self._delivery is not None:
            self._delivery.stop()
        elif self._container is not None:
            self._container.close()
            self._container = None

    def _new_pipeline(self, sink: CameraSink) -> Pipeline:
        return Pipeline(self._require_open(self._description), self._settings, sink)

    def _begin(self, pipeline: Pipeline, deliver: Callable[[threading.Event], Ending], sink: CameraSink) -> None:
        # The first packet's receiver may already call `stop`, so everything is in place before the thread starts.
        self._container, self._pipeline = None, pipeline
        self._delivery = DeliveryThread(self._name, deliver, sink)
        self._delivery.start()

    @staticmethod
    def _require_open(found: _Opened | None) -> _Opened:
        if found is None:
            raise InternalError("A camera was started before it was opened.")
        return found
