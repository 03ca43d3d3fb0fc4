"""Reports of health: made seldom, for the installer alone, and the same whatever is asked, filmed or decided."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.clients.opening import open_bytes
from agent.clients.opening.identities import X25519Identity
from agent.config import Configuration
from agent.config.reading import parse
from agent.config.settings import DeviceConfig
from agent.core.consent import RequestState
from agent.core.timebase import NS_PER_S
from agent.custodian.health_reports import HealthReporter, settings_sha256
from agent.errors import OpenError
from agent.wire.health import HEALTH_SEALED_LIMIT_BYTES, HealthReport, HealthWord, UpdateWord, open_report
from agent.wire.statements import Denial, OptOut, Scope
from tests.custodians import Door, sha256_of, stated
from tests.vaults import SeededEntropy, SteppedClock
from tests.wire import samples

INSTALLER, OTHER = X25519Identity(b"\1" * 32), X25519Identity(b"\2" * 32)
WELL: dict[str, Any] = {"recorder": {"state": "watching"}, "owners": ["owner-1"], "panel": None}


@dataclass
class Reporting:
    """A reporter, and the status that it reads."""

    status: dict[str, Any] = field(default_factory=lambda: dict(WELL))
    clock: SteppedClock = field(default_factory=lambda: SteppedClock(utc_offset_ns=samples.NOW_S * NS_PER_S))
    outcome: tuple[str, str] | None = None
    configuration: Configuration = field(default_factory=lambda: Configuration(device=DeviceConfig(name="mill-lane-1")))

    def __post_init__(self) -> None:
        self.reporter = HealthReporter(
            samples.DEVICE, self.configuration, str(INSTALLER.recipient()), self.clock, SeededEntropy(3),
            lambda: self.status, lambda: self.outcome,
        )  # fmt: skip

    def read(self) -> HealthReport:
        return open_report(open_bytes(self.reporter.report(), [INSTALLER]), samples.DEVICE_KEY.id)

    def later(self) -> HealthReport:
        self.clock.advance(601)
        return self.read()


def test_a_report_says_how_the_equipment_is() -> None:
    reporting = Reporting()
    report = reporting.read()
    assert (report.name, report.has_owner, report.recorder, report.update) == (
        "mill-lane-1", True, HealthWord.OK, UpdateWord.NONE,
    )  # fmt: skip
    assert report.supply is HealthWord.UNKNOWN
    reporting.outcome = ("0.2.1", "rolled back")
    reporting.status |= {
        "recorder": {"state": "no camera"},
        "owners": [],
        "panel": {"health": {"under_voltage": True, "throttle_level": 12, "wifi_dbm": 3}},
    }
    report = reporting.later()
    assert report.update_version == "0.2.1"
    assert (report.camera, report.has_owner, report.supply, report.throttle, report.wifi_dbm, report.update) == (
        HealthWord.FAULT, False, HealthWord.FAULT, 9, 0, UpdateWord.ROLLED_BACK,
    )  # fmt: skip


def test_only_the_installer_opens_it() -> None:
    sealed = Reporting().reporter.report()
    assert len(sealed) <= HEALTH_SEALED_LIMIT_BYTES
    with pytest.raises(OpenError):
        open_bytes(sealed, [OTHER])


def test_an_uplink_that_asks_often_learns_no_more() -> None:
    reporting = Reporting()
    first = reporting.reporter.report()
    reporting.status |= {"recorder": {"state": "no camera"}}
    for _ in range(9):
        reporting.clock.advance(60)
        assert reporting.reporter.report() == first
    reporting.clock.advance(60)
    assert reporting.reporter.report() != first


@pytest.mark.parametrize(
    "changes",
    [
        {"recorder": {"state": "recording", "events": 99, "segments": 512, "in_event": True, "frames": 10**6}},
        {"recorder": {"state": "privacy", "detail": "the switch"}},
        {"vault": {"segments": 10**6, "stored_bytes": 10**12}, "newest_ms": 1},
        {"messages": {"over a limit": 3}, "requests_told": 7, "alerts": {"channels": {"phone": {"waiting": 9}}}},
        {"link": {"link": "connected", "transfers": 3, "sent_bytes": 10**9}},
        {"owners": ["owner-1", "owner-2", "owner-3"]},
        {"update": {"running": "0.1.0", "offer": "0.2.0", "security": True}},
        {"panel": {"privacy": True, "open": False, "health": {}}},
    ],
    ids=["an event", "privacy", "footage", "requests", "uploads", "owners", "an offer that waits", "the switch"],
)
def test_footage_requests_and_decisions_change_neither_words_nor_length(changes: dict[str, Any]) -> None:
    plain, changed = Reporting(), Reporting()
    changed.status |= changes
    assert changed.read() == plain.read()
    assert len(changed.reporter.report()) == len(plain.reporter.report())


@pytest.mark.parametrize("what", ["waits", "denied", "opted out"])
def test_a_request_that_really_came_leaves_the_report_as_it_was(what: str) -> None:
    """The status beside a real custodian, before a request and after each end of it."""
    door = Door.enrolled()
    with contextlib.closing(door):
        reporting = Reporting(clock=door.clock)
        reporting.status = status_beside(door)
        before = reporting.read()
        if what == "opted out":
            door.obey(OptOut(**stated(), scope=Scope.ALL))
        asked = door.ask()
        if what == "denied":
            door.obey(Denial(**stated(), request=sha256_of(asked)))
        assert status_beside(door) != reporting.status  # the request left a trace for the owner
        reporting.status = status_beside(door)
        assert msgspec.structs.replace(reporting.later(), at=before.at, uptime=before.uptime) == before


def status_beside(door: Door) -> dict[str, Any]:
    """With the figures that a request changes (`CustodianRuntime.status`)."""
    waiting = [each.state.value for each in door.journal.requests(*RequestState)]
    return {**WELL, "messages": door.journal.counters(), "requests_told": len(waiting), "alerts": {"waiting": waiting}}


def test_a_name_in_another_unicode_form_is_reported() -> None:
    """macOS and some keyboards write "é" as two characters, which strict JSON refuses."""
    reporting = Reporting(configuration=Configuration(device=DeviceConfig(name="cafe\u0301")))
    assert reporting.read().name == "caf\u00e9"


def test_the_hash_of_settings_is_that_of_the_settings_alone() -> None:
    plain = settings_sha256(Configuration())
    assert plain == settings_sha256(Configuration(device=DeviceConfig()))
    assert plain != settings_sha256(Configuration(device=DeviceConfig(name="x")))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            "[device.position]\nlatitude = 53.5461\nlongitude = 9.9661",
            "[device.position]\nlatitude = 53.5462\nlongitude = 9.9661",
        ),
        ("", "[device.position]\nlatitude = 53.5461\nlongitude = 9.9661"),
        ('[camera]\nkind = "rtsp"\nurl = "rtsp://a:one@cam/1"', '[camera]\nkind = "rtsp"\nurl = "rtsp://a:two@cam/1"'),
        ('[home_assistant]\nhost = "ha"\npassword = "one"', '[home_assistant]\nhost = "ha"\npassword = "two"'),
        ("", '[[privacy.hours]]\nbegins = "22:00"\nends = "07:00"'),
        ('[alerts]\nquiet = ["22:00", "07:00"]', '[alerts]\nquiet = ["23:00", "07:00"]'),
        ("", "[requests]\ndelay_minutes = 10"),
    ],
)
def test_the_hash_of_settings_confirms_no_guess_of_a_place_a_password_or_the_households_hours(
    one: str, other: str
) -> None:
    """The installer wrote the other settings and knows them. It could try each value until the hash fits."""
    assert settings_sha256(parse(one, Path("x"))) == settings_sha256(parse(other, Path("x")))


@pytest.mark.parametrize(("dbm", "told"), [(None, None), (3, 0), (0, 0), (-60, -60), (-200, -200), (-201, -200)])
def test_the_strength_of_the_wifi_is_told_within_its_bounds(dbm: int | None, told: int | None) -> None:
    reporting = Reporting()
    reporting.status |= {"panel": {"health": {"wifi_dbm": dbm}}}
    assert reporting.read().wifi_dbm == told
