"""An owner's settings: whole, one after the other, in the ledger first, within the file's bounds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from agent.config import Configuration, sources
from agent.config.overlay import effective
from agent.config.settings import AlertsConfig, CameraConfig, CameraKind, VaultConfig
from agent.core.ledger.entries import EntryKind
from agent.errors import RequestError
from agent.wire import strictjson
from agent.wire.area import Point
from agent.wire.control import Frame
from agent.wire.fields import ZoneKind
from agent.wire.statements import PrivateHoursSetting, QuietHoursSetting, Settings, ZoneSetting
from tests.custodians import APPROVER, Door, signed, stated

ZONE = ZoneSetting(
    name="street", kind=ZoneKind.PRIVACY, corners=((0, 0), (10_000, 0), (10_000, 2_500)), sensitivity_percent=150
)
FILE = Configuration(vault=VaultConfig(max_bytes=20_000_000, max_age_days=30), alerts=AlertsConfig())


@pytest.fixture
def door() -> Iterator[Door]:
    made = Door.enrolled()
    made.bounded_by = FILE
    made.start()
    yield made
    made.close()


def test_a_change_is_in_the_ledger_and_in_force_at_once_and_after_a_power_cut(door: Door) -> None:
    told: list[int | None] = []
    settings = door.custodian.settings
    settings.changed = lambda: told.append(settings.current.max_age_days if settings.current else None)
    door.obey(Settings(**stated(), max_age_days=7))
    assert door.kinds()[-1] == EntryKind.CONFIGURATION_CHANGED.value
    assert told == [7]
    door.start()
    assert door.custodian.settings.current.max_age_days == 7  # type: ignore[union-attr]


def test_two_owners_do_not_undo_each_other_unseen(door: Door) -> None:
    door.obey(Settings(**stated(), max_age_days=7))
    before = door.kinds()
    with pytest.raises(RequestError, match="meanwhile"):
        door.obey(Settings(**stated(), max_age_days=9))
    assert door.kinds() == before
    shown = door.custodian.control.answer(Frame({"op": "settings"})).head["result"]
    door.obey(Settings(**stated(), previous=shown["sha256"], max_age_days=9))
    assert door.custodian.settings.current.max_age_days == 9  # type: ignore[union-attr]


@pytest.mark.parametrize("changes", [{"max_bytes": 20_000_001}, {"max_age_days": 31}])
def test_nothing_goes_beyond_what_the_file_allows(door: Door, changes: dict[str, int]) -> None:
    before = door.kinds()
    with pytest.raises(RequestError, match="allows at most vault"):
        door.obey(Settings(**stated(), **changes))
    assert door.kinds() == before
    assert door.custodian.settings.current is None


MASKED = {"zones": (ZONE,)}
ENDLESS = {"private": (PrivateHoursSetting(days=(5,), begins_minute=600, ends_minute=600),)}

FLAT = {"zones": (replace(ZONE, kind=ZoneKind.INCLUDE, corners=((0, 0), (5_000, 5_000), (9_000, 9_000))),)}

BACK = {"zones": (replace(ZONE, kind=ZoneKind.INCLUDE, corners=((0, 0), (10_000, 0), (10_000, 10_000), (10_000, 0))),)}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (MASKED, "no privacy mask"),
        (ENDLESS, "empty or a whole day"),
        (FLAT, "The corners of 'street' enclose no area."),
        (BACK, "The corners of 'street' enclose no area."),
    ],
)
def test_what_the_file_could_not_say_either_is_refused(door: Door, changes: dict[str, Any], said: str) -> None:
    door.bounded_by = replace(FILE, camera=CameraConfig(kind=CameraKind.RTSP, url="rtsp://192.168.1.20/stream"))
    before = door.kinds()
    with pytest.raises(RequestError, match=said):
        door.obey(Settings(**stated(), **changes))
    assert door.kinds() == before
    assert door.custodian.settings.current is None


def test_a_door_that_has_moved_matches_where_it_is_now(door: Door) -> None:
    door.custodian.move_to((10.0, 10.0))
    assert door.custodian._inbox.position == (10.0, 10.0)
    asked = door.ask()
    assert not door.journal.request(asked.id).segments  # type: ignore[union-attr]


def test_what_is_set_lies_over_the_file_and_nothing_else_does() -> None:
    settings = Settings(
        **stated(),
        name="Back door",
        position=Point(lat=52.0, lon=5.0),
        sensitivity_percent=150,
        smallest_person=2500,
        zones=(ZONE,),
        max_bytes=10_000_000,
        max_age_days=7,
        quiet=QuietHoursSetting(begins_minute=1320, ends_minute=420),
        private=(PrivateHoursSetting(days=(5, 6), begins_minute=600, ends_minute=750),),
    )
    found = effective(FILE, settings)
    assert (found.device.name, found.device.position.latitude) == ("Back door", 52.0)  # type: ignore[union-attr]
    assert (found.motion.sensitivity, found.motion.zones[0].corners[2]) == (1.5, (1.0, 0.25))
    assert found.motion.smallest_person == 0.25
    assert (found.vault.max_bytes, found.vault.max_age_days) == (10_000_000, 7)
    assert found.alerts.quiet == ("22:00", "07:00")  # type: ignore[union-attr]
    assert [day.value for day in found.privacy.hours[0].days] == ["sat", "sun"]
    assert (found.camera, found.requests, found.broker, found.clips) == (FILE.camera, FILE.requests, None, FILE.clips)
    assert all(sources(settings).values())
    assert effective(FILE, None) is FILE
    assert not any(sources(None).values())


def test_a_file_that_has_become_narrower_wins_over_what_was_set_before() -> None:
    wide = Settings(**stated(), max_bytes=10**12, max_age_days=300)
    assert effective(FILE, wide).vault == FILE.vault


def test_settings_are_kept_as_they_were_signed_and_told_once_they_are_durable(door: Door) -> None:
    settings, applied = door.custodian.settings, list[object]()
    assert (settings.envelope, settings.payload, settings.current, settings.sha256) == (None, b"", None, None)
    settings.changed = lambda: applied.append(settings.current)
    door.told.news.clear()
    wanted = Settings(**stated(), name="Back door")
    door.obey(wanted)
    payload = strictjson.encode(wanted)
    assert (settings.envelope, settings.payload, settings.current, settings.sha256) == (
        signed(wanted, APPROVER), payload, wanted, hashlib.sha256(payload).hexdigest(),
    )  # fmt: skip
    assert applied == [wanted]
    assert door.told.news == [("settings", "An owner has changed the settings.")]
    entry = door.entries()[-1]
    assert (entry["kind"], entry["reason"]) == ("configuration-changed", "anna")
