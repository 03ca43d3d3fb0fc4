"""Asks the running doorbell about its hardware. A second process would find the hardware busy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.cli.checks.finding import Finding, bad, fine, poor
from agent.config import Configuration
from agent.config.settings import CameraKind
from agent.custodian.state_folder import StateFolder
from agent.errors import DoorwardError
from agent.ipc.control_client import DeviceLink
from agent.ipc.control_operations import GetStatus

__all__ = ["camera_in_use", "dropped_messages", "status_here"]


def status_here(configuration: Configuration) -> Mapping[str, Any]:
    """Returns the status of the doorbell with this state folder; empty if none runs, or if it waits for an owner."""
    control = StateFolder(configuration.device.state_dir).control
    if not control.exists():
        return {}
    try:
        with DeviceLink(control) as link:
            status = link.document(GetStatus())
    except DoorwardError:
        return {}
    return status if status.get("owners") else {}


def camera_in_use(status: Mapping[str, Any], configuration: Configuration) -> Finding | None:
    """Returns the running recorder's view of the camera, or None."""
    recorder = status.get("recorder") or {}
    state, detail = str(recorder.get("state", "")), str(recorder.get("detail", ""))
    if state in ("watching", "recording"):
        frames = recorder.get("frames", 0)
        watching = f"The running doorbell watches with it: {frames} frames so far."
        return fine(
            "camera", watching if state == "watching" else f"The running doorbell records: {frames} frames so far."
        )
    if state == "privacy":
        return fine("camera", "The privacy switch is on: the camera is off.")
    if state == "no camera" and configuration.camera.kind is CameraKind.FILE and detail.endswith("to its end."):
        return fine("camera", f"{detail}  A file is played once, so this is normal.")
    if state in ("no camera", "not recording"):
        divided = StateFolder(configuration.device.state_dir).divided
        look = "journalctl -u doorward-recorder" if divided else "Read the output of 'doorward run'."
        return bad("camera", f"{state.capitalize()}: {detail or 'it is being opened.'}", look)
    return None


def dropped_messages(status: Mapping[str, Any]) -> Finding | None:
    """Returns a finding if the running custodian dropped messages from the broker, otherwise None."""
    dropped = status.get("messages_dropped")
    if not isinstance(dropped, int) or dropped <= 0:
        return None
    return poor(
        "messages",
        f"The doorbell dropped {dropped} messages of the broker since its start, for lack of room or a working disk.",
        "The broker brings them again. If the number grows, see the finding on the disk and the custodian's log.",
    )
