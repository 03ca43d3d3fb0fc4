"""Values that follow from the configuration: the limits on requests, the share of holds, and what the page shows."""

from __future__ import annotations

from typing import Any

from agent import __version__
from agent.config.effective import local_clock
from agent.config.overlay import sources
from agent.config.settings import CameraKind, Configuration, RequestsConfig, VaultConfig
from agent.wire.limits import RequestLimits
from agent.wire.statements import Settings

__all__ = ["held_bytes", "page_facts", "relay_files", "relay_origin", "request_limits"]

_HELD_OF = 2
"""Holds may keep 1/2 of the bytes. The other half can always be deleted, so holds cannot freeze the buffer."""


def held_bytes(vault: VaultConfig) -> int:
    return vault.max_bytes // _HELD_OF


def request_limits(requests: RequestsConfig) -> RequestLimits:
    return RequestLimits(
        window_min_s=requests.shortest_window_minutes * 60,
        window_max_s=requests.longest_window_minutes * 60,
        look_back_max_s=requests.longest_look_back_days * 86_400,
        area_min_m2=requests.smallest_area_m2,
        area_max_m2=requests.largest_area_m2,
        life_max_s=requests.longest_validity_days * 86_400,
        retention_max_days=requests.longest_retention_days,
        requests_per_case=requests.requests_per_case,
        requests_per_requester_per_day=requests.requests_per_requester_per_day,
        requests_per_day=requests.requests_per_day,
    )


def relay_files(configuration: Configuration) -> tuple[str, str, str]:
    """Returns authority, certificate and key for the relay: its own, or those of [broker]."""
    remote, broker = configuration.remote, configuration.broker
    # All three of one section: a key of the relay with a certificate of the broker would fail at each handshake.
    section = remote if remote is not None and remote.ca is not None else broker
    assert section is not None  # noqa: S101 — checked when the configuration was read
    return str(section.ca), str(section.certificate), str(section.key)


def relay_origin(configuration: Configuration) -> str:
    """Returns scheme, host and port of the relay for browsers, or nothing without a relay."""
    return "/".join(configuration.remote.url.split("/")[:3]) if configuration.remote is not None else ""


def page_facts(configuration: Configuration, file: Configuration, settings: Settings | None) -> dict[str, Any]:
    """Returns the settings for the owner's page: the values in force, the values in the file, and the author of
    each."""
    return {
        **_values(configuration),
        **local_clock(),
        "file": _values(file),
        "by_owner": [key for key, is_owners in sources(settings).items() if is_owners],
        "segment_s": file.clips.segment_s,
        # The host alone. Certificates, user and password of the link are no business of a browser.
        "broker": file.broker.host if file.broker else None,
        "alerts": file.alerts is not None,
        "masks_by": "camera" if file.camera.kind is CameraKind.RTSP else "doorbell",
        "roots": [{"name": root.name, "key": root.key, "means": root.means} for root in file.roots],
        "version": __version__,
    }


def _values(configuration: Configuration) -> dict[str, Any]:
    """Those an owner may set."""
    place, vault, motion = configuration.device.position, configuration.vault, configuration.motion
    return {
        "name": configuration.device.name,
        "position": None if place is None else [place.latitude, place.longitude],
        "size": list(configuration.camera.size),
        "sensitivity": motion.sensitivity,
        "smallest_person": motion.smallest_person,
        "zones": [
            {
                "name": zone.name,
                "kind": zone.kind.value,
                "corners": [list(corner) for corner in zone.corners],
                "sensitivity": zone.sensitivity,
                "smallest_person": zone.smallest_person,
            }
            for zone in motion.zones
        ],
        "max_bytes": vault.max_bytes,
        "max_age_days": vault.max_age_days,
        "quiet": list(configuration.alerts.quiet) if configuration.alerts and configuration.alerts.quiet else None,
        "private": [
            {"days": [day.value for day in hours.days], "begins": hours.begins, "ends": hours.ends}
            for hours in configuration.privacy.hours
        ],
    }
