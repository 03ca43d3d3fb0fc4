"""Applies an owner's settings over the file, within the file's bounds.

The file is the operator's: camera, broker, and the most that may be kept. An owner may change the household's settings
with a signed statement from their client: name, position, zones, masks, sensitivity, retention, quiet and private
hours. If an owner has not set a value, the file's value applies. All other keys of the file are out of reach.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from agent.config.settings import (
    Configuration,
    PositionConfig,
    PrivateHoursConfig,
    Weekday,
    ZoneConfig,
    household_cross_field_errors,
)
from agent.core.alerts.policy import time_of_day
from agent.wire.statements import Settings

__all__ = ["effective", "sources", "violated_limit"]

_DAYS = tuple(Weekday)


def effective(configuration: Configuration, settings: Settings | None) -> Configuration:
    """The configuration in force."""
    if settings is None:
        return configuration
    device, motion, vault = configuration.device, configuration.motion, configuration.vault
    alerts, privacy = configuration.alerts, configuration.privacy
    if settings.name is not None:
        device = replace(device, name=settings.name)
    if settings.position is not None:
        device = replace(
            device, position=PositionConfig(latitude=settings.position.lat, longitude=settings.position.lon)
        )
    if settings.sensitivity_percent is not None:
        motion = replace(motion, sensitivity=settings.sensitivity_percent / 100)
    if settings.smallest_person is not None:
        motion = replace(motion, smallest_person=settings.smallest_person / 10_000)
    if settings.zones is not None:
        motion = replace(motion, zones=tuple(_zones(settings)))
    # Once more, although it was refused when it was stated: the file may have become narrower since.
    if settings.max_bytes is not None:
        vault = replace(vault, max_bytes=min(vault.max_bytes, settings.max_bytes))
    if settings.max_age_days is not None:
        vault = replace(vault, max_age_days=min(vault.max_age_days, settings.max_age_days))
    if settings.quiet is not None and alerts is not None:
        # Only with [alerts]: quiet hours without a channel would have nothing to keep silent.
        alerts = replace(
            alerts, quiet=(time_of_day(settings.quiet.begins_minute), time_of_day(settings.quiet.ends_minute))
        )
    if settings.private is not None:
        privacy = replace(privacy, hours=tuple(_hours(settings)))
    return replace(configuration, device=device, motion=motion, vault=vault, alerts=alerts, privacy=privacy)


def violated_limit(configuration: Configuration, settings: Settings) -> tuple[str, str] | None:
    """Returns (message, remedy) if `settings` exceed a bound of the file or do not fit its camera."""
    vault = configuration.vault
    for key, wanted, most in (
        ("max_bytes", settings.max_bytes, vault.max_bytes),
        ("max_age_days", settings.max_age_days, vault.max_age_days),
    ):
        if wanted is not None and wanted > most:
            message = f"The doorbell's configuration allows at most vault.{key} = {most}."
            return message, "Choose less, or ask its operator to raise it."
    # On the result, not on the statement: a mask may fit the file's camera or not.
    found = next(household_cross_field_errors(effective(configuration, settings)), None)
    return None if found is None else (found.message[0].upper() + found.message[1:], found.remedy)


def sources(settings: Settings | None) -> dict[str, bool]:
    """Returns for each key that an owner may set (by the file's name) whether an owner has set it."""
    return {
        "device.name": settings is not None and settings.name is not None,
        "device.position": settings is not None and settings.position is not None,
        "motion.sensitivity": settings is not None and settings.sensitivity_percent is not None,
        "motion.smallest_person": settings is not None and settings.smallest_person is not None,
        "motion.zones": settings is not None and settings.zones is not None,
        "vault.max_bytes": settings is not None and settings.max_bytes is not None,
        "vault.max_age_days": settings is not None and settings.max_age_days is not None,
        "alerts.quiet": settings is not None and settings.quiet is not None,
        "privacy.hours": settings is not None and settings.private is not None,
    }


def _zones(settings: Settings) -> Iterator[ZoneConfig]:
    for zone in settings.zones or ():
        yield ZoneConfig(
            name=zone.name,
            kind=zone.kind,
            corners=tuple((x / 10_000, y / 10_000) for x, y in zone.corners),
            sensitivity=zone.sensitivity_percent / 100,
            smallest_person=zone.smallest_person / 10_000,
        )


def _hours(settings: Settings) -> Iterator[PrivateHoursConfig]:
    for hours in settings.private or ():
        days = tuple(_DAYS[day] for day in hours.days)
        yield PrivateHoursConfig(
            days=days, begins=time_of_day(hours.begins_minute), ends=time_of_day(hours.ends_minute)
        )
