"""Builds object detection for a role that has a recorder, if it is configured and installed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import structlog

from agent.config import Configuration
from agent.config.settings import ObjectDetectionUse
from agent.core.object_detection.detector import ObjectDetector
from agent.ports import Notifier
from agent.recorder.detector_opencv import MODELS, absent, open_detector
from agent.recorder.io_priority import work_behind
from agent.recorder.object_detection import ObjectDetectionService

__all__ = ["make_object_detection", "why_unavailable"]


def make_object_detection(
    configuration: Configuration, notifier: Notifier, open_own: Callable[[], ObjectDetector] | None = None
) -> ObjectDetectionService:
    """Loads nothing yet. `open_own` replaces the installed network."""
    if open_own is not None:
        return ObjectDetectionService(open_own, notifier, step_back=work_behind)
    why = why_unavailable(configuration)
    if not why:
        folder = configuration.object_detection.models or MODELS
        return ObjectDetectionService(partial(open_detector, folder), notifier, step_back=work_behind)
    if configuration.object_detection.use is ObjectDetectionUse.ON:
        structlog.get_logger("object_detection").warning(
            "no_object_detection", reason=why, remedy="make models, then install again"
        )
    return ObjectDetectionService(None, notifier, why=why)


def why_unavailable(configuration: Configuration) -> str:
    """Returns why this doorbell has no object detection, in a sentence; empty if it has."""
    wanted = configuration.object_detection
    if wanted.use is ObjectDetectionUse.OFF:
        return "It is switched off."
    return absent(wanted.models or MODELS)
