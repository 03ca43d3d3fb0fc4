"""Declares which thread may write which attribute of an object that several threads use.

    owner            the thread that writes                               classes
    CAMERA_LOOP      the caller of `Recorder.run`                         CameraLoop
    FRAME_DELIVERY   the camera's thread that calls `CameraSink.luma`     CameraQueues
    PACKET_DELIVERY  the camera's thread that calls `CameraSink.packet`   CameraQueues
    ANALYSIS         "analysis", one for each camera stream               FrameAnalysis, CameraQueues
    WRITER           "writer", one for each camera stream                 LensAlerts
    TALK             "talk", the caller of `TalkService.run`              TalkService
    UPLINK           the caller of `Uplink.run`                           Uplink, CellReading, TrustReading
    SET_UP           the thread that builds the process                   Enrolments, TrustManager
    LOCK             any thread that holds the object's `lock`            PrivacyGate, RecorderInputs, CameraQueues,
                                                                          Enrolments, TrustManager, TrustNews, Uplink,
                                                                          TalkService

`Recorder` writes no attribute after `__init__`.

Every thread may read. `agent/recorder/__init__.py` lists the recorder's threads. `tests/recorder/thread_owner_check.py`
checks each write while the tests of the recorder, the custodian and the uplink run.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import ClassVar

__all__ = ["AttributeOwner", "ThreadOwned"]


class AttributeOwner(enum.Enum):
    """The only writer of an attribute after `__init__`; the table above explains each one."""

    CAMERA_LOOP = enum.auto()
    FRAME_DELIVERY = enum.auto()
    PACKET_DELIVERY = enum.auto()
    ANALYSIS = enum.auto()
    WRITER = enum.auto()
    TALK = enum.auto()
    UPLINK = enum.auto()
    SET_UP = enum.auto()
    LOCK = enum.auto()


class ThreadOwned:
    """Base of the classes that several threads share. An attribute without an owner is written in `__init__` only."""

    WRITTEN_BY: ClassVar[Mapping[str, AttributeOwner]] = {}
