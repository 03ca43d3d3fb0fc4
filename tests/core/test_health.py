"""The parts of a recorder's state that its installer may read: faults of the equipment, not events at the door."""

from __future__ import annotations

import pytest

from agent.core.health import EquipmentHealth, HealthWatch
from agent.core.home import CAMERA_STATES
from agent.core.recovery import CAMERA_REOPENS, CAMERA_STARTS
from agent.wire.health import HealthWord

OK, FAULT, UNKNOWN = HealthWord.OK, HealthWord.FAULT, HealthWord.UNKNOWN


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("recording", (OK, OK, OK)),
        ("watching", (OK, OK, OK)),
        ("no camera", (OK, FAULT, UNKNOWN)),
        ("not recording", (OK, OK, FAULT)),
        ("no recorder", (FAULT, UNKNOWN, UNKNOWN)),
        ("a word of tomorrow", (FAULT, UNKNOWN, UNKNOWN)),
    ],
)
def test_each_state_is_told_in_words_of_the_equipment(state: str, words: tuple[HealthWord, ...]) -> None:
    assert HealthWatch().equipment({"state": state}) == EquipmentHealth(*words)


@pytest.mark.parametrize("before", [each for each in CAMERA_STATES if each != "privacy"])
def test_a_camera_that_an_owner_closes_changes_nothing(before: str) -> None:
    """Also a fault stays: if it vanished, the installer would learn that the camera was closed."""
    watch = HealthWatch()
    told = watch.equipment({"state": before})
    assert watch.equipment({"state": "privacy", "detail": "private hours"}) == told
    assert watch.equipment({"state": before}) == told


def test_a_doorbell_that_starts_with_its_camera_closed_is_well() -> None:
    assert HealthWatch().equipment({"state": "privacy"}) == EquipmentHealth()


STARTING = {"state": "no camera", "detail": CAMERA_STARTS}


@pytest.mark.parametrize("starting", [STARTING, {**STARTING, "detail": CAMERA_REOPENS}], ids=["starts", "reopens"])
def test_a_camera_that_starts_again_looks_as_before(starting: dict[str, str]) -> None:
    """Else a report in these seconds would tell that an owner has just opened the camera, or changed what it masks."""
    watch = HealthWatch()
    assert watch.equipment({"state": "privacy"}) == EquipmentHealth()
    assert watch.equipment(starting) == EquipmentHealth()
    assert watch.equipment({"state": "watching"}) == EquipmentHealth()
    assert watch.equipment(starting) == EquipmentHealth()


def test_a_camera_that_never_starts_is_a_fault() -> None:
    """Reports are ten minutes apart, and a camera starts in seconds."""
    watch = HealthWatch()
    assert watch.equipment(STARTING) == EquipmentHealth()
    assert watch.equipment({"state": "privacy"}) == EquipmentHealth()
    assert watch.equipment(STARTING) == EquipmentHealth(OK, FAULT, UNKNOWN)
