"""Checks the panel's wires, and heat and power supply of the board.

If the doorbell runs, the check asks it, because it holds the GPIO lines. Otherwise the check looks whether the lines
are available. It also checks that the kernel enforces the memory limits of the units.

Source: firmware_bridge.board_health for the board's readings, firmware_bridge.boards for its limits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from agent.cli.checks.finding import Finding, bad, fine, poor
from agent.config import Configuration
from firmware_bridge.board_health import BoardHealth, read_health
from firmware_bridge.boards import Board, board_named
from firmware_bridge.settings import Backend, PanelConfig

__all__ = ["check_heat", "check_limits", "check_panel"]

_LIBRARIES = {Backend.GPIOD: ("gpiod", "python3-libgpiod"), Backend.GPIOZERO: ("gpiozero", "python3-gpiozero")}
_BRIDGE = "sudo systemctl restart doorward-bridge; journalctl -u doorward-bridge"


def check_panel(panel: PanelConfig | None, status: Mapping[str, Any]) -> Iterator[Finding]:
    """`status`: the status of the running doorbell, or empty."""
    if panel is None:
        yield fine("panel", "Not configured: no button, chime or light.")
        return
    said = (status.get("recorder") or {}).get("panel")
    if said is not None:
        yield _as_told(said)
        return
    wires = ", ".join(f"{wire.value} {pin}" for wire, pin in panel.pins().items())
    library, package = _LIBRARIES.get(panel.backend, ("", ""))
    if panel.backend is Backend.SIMULATED:
        yield fine("panel", "Simulated: pressed with 'python -m firmware_bridge press'.")
    elif find_spec(library) is None:
        yield bad(
            "panel", f"{library}, which reads and sets the pins, is not installed.", f"sudo apt-get install {package}"
        )
    elif panel.backend is Backend.GPIOD and not panel.chip.exists():
        yield bad("panel", f"There is no {panel.chip}.", "Set panel.chip to one that 'gpiodetect' lists.")
    else:
        yield fine("panel", f"{panel.backend.value} has the lines for: {wires}.")


def _as_told(said: Mapping[str, Any]) -> Finding:
    if not said.get("connected"):
        return bad("panel", f"The bridge does not run: {said.get('detail') or 'it does not answer.'}", _BRIDGE)
    if said.get("open"):
        return poor("panel", "The doorbell's case is open.", "Close it, and find out who opened it.")
    private = said.get("privacy")
    switch = {None: "", True: " The privacy switch is on.", False: " The privacy switch is off."}[private]
    return fine("panel", f"The bridge answers ({said.get('backend', 'unknown')}).{switch}")


def check_limits(groups: Path = Path("/sys/fs/cgroup")) -> Finding:
    """Checks that the kernel enforces the units' memory limits. `groups`: the folder of its control groups."""
    controllers = groups / "cgroup.controllers"
    held = controllers.read_text().split() if controllers.exists() else []
    if "memory" in held or (groups / "memory").is_dir():
        return fine("limits", "The kernel enforces each role's memory limit.")
    return poor(
        "limits",
        "This kernel enforces no memory limits: one role could starve the others, and swap may hold pictures.",
        "Add  cgroup_enable=memory  at the end of the line in /boot/firmware/cmdline.txt, then reboot.",
    )


def check_heat(configuration: Configuration, health: BoardHealth | None = None) -> Iterator[Finding]:
    """`health`: a reading, for tests; otherwise the board's present reading."""
    board = board_named(configuration.board.profile)
    reading = health or read_health()
    if reading.under_voltage:
        yield poor("supply", "The power supply is too weak.", "Use the board's own supply and a short cable.")
    yield _heat(reading, board, configuration.board.throttle_from_c)


def _heat(reading: BoardHealth, board: Board, throttle_from_c: float) -> Finding:
    if reading.temperature_c is None:
        return fine("heat", "This board reports no temperature.")
    warm = f"{reading.temperature_c:.0f} °C"
    cooler = "Give it shade and ventilation, or lower camera.fps or camera.size."
    if reading.throttled or reading.temperature_c >= board.throttles_c:
        return poor("heat", f"{warm}: the firmware slows the board down.", cooler)
    if reading.temperature_c >= throttle_from_c:
        return poor("heat", f"{warm}: from {throttle_from_c:g} °C Doorward reduces its work to stay cool.", cooler)
    if reading.throttled_since_boot:
        return poor("heat", f"{warm} now; the board has been slowed down since it started.", cooler)
    return fine("heat", f"{warm}; the board slows down at {board.throttles_c:g} °C.")
