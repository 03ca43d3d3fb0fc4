"""What the doorbell that runs here says of itself: whoever asks the hardware beside it hears only that it is busy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.adapters.state_folder import StateFolder
from agent.cli.checks.finding import Finding, bad, fine
from agent.config import Configuration
from agent.errors import DoorwardError
from agent.owner.link import DeviceLink

__all__ = ["camera_in_use", "status_here"]


def status_here(configuration: Configuration) -> Mapping[str, Any]:
    """The status of the doorbell that has this state folder; empty while none runs, or it waits for an owner."""
    control = StateFolder(configuration.device.state_dir).control
    if not control.exists():
        return {}
    try:
        with DeviceLink(control) as link:
            status = link.ask("status")
    except DoorwardError:
        return {}
    return status if status.get("owners") else {}


def camera_in_use(status: Mapping[str, Any]) -> Finding | None:
    """The camera as the recorder that has it sees it; None when nothing has it."""
    recorder = status.get("recorder") or {}
    state, detail = str(recorder.get("state", "")), str(recorder.get("detail", ""))
    if state in ("watching", "recording"):
        return fine("camera", f"This doorbell has it and is {state}: {recorder.get('frames', 0)} frames so far.")
    if state == "privacy":
        return fine("camera", "The privacy switch is on: the camera is off.")
    if state in ("no camera", "not recording"):
        return bad(
            "camera", f"{state.capitalize()}: {detail or 'it is being opened.'}", "journalctl -u doorward-recorder"
        )
    return None
