"""Live view's rules on the page, run in node: where a viewer joins, what is shown and when, and how it catches up."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent.clients.opening import HybridIdentity
from agent.core.live import LiveContext, live_plaintext
from agent.core.media import Gop
from agent.core.timebase import NS_PER_S, BootNs, ClockQuality
from agent.core.vault.fields import TimeSpan
from agent.media.fmp4 import FragmentedMp4Writer
from agent.wire import strictjson
from tests.cameras import filmed_by_camera
from tests.live_parts import part_of
from tests.web.test_the_program import node

pytestmark = pytest.mark.interop


DEVICE = "a" * 16
OWNER, STRANGER = (HybridIdentity(bytes([number]) * 32) for number in (1, 2))


def part(media: bytes, start_us: int, *, continues: bool, to: HybridIdentity = OWNER) -> str:
    span = TimeSpan(boot="0" * 32, start_us=start_us, end_us=start_us + 66_667, utc_ms=7, quality=ClockQuality.SYNCED)
    plaintext = live_plaintext(media, LiveContext(device=DEVICE, span=span, continues=continues))
    return strictjson.encode_base64(part_of(plaintext, [] if continues else [to.recipient()], ctr=start_us))


@pytest.fixture(scope="module")
def filmed() -> list[Gop]:
    _, packets = filmed_by_camera(frames=3)
    return [Gop((each,), BootNs(each.sensor_ns + NS_PER_S // 15), begins=each.keyframe, ends=False) for each in packets]


@pytest.fixture(scope="module")
def found(filmed: list[Gop]) -> dict[str, Any]:
    description, _ = filmed_by_camera(frames=1)
    writer = FragmentedMp4Writer(description)
    media = [writer.begin(filmed[0]), *map(writer.add, filmed[1:])]
    parts = [part(each, 66_667 * number, continues=number > 0) for number, each in enumerate(media)]
    given = {
        "identity": OWNER.secret_text(),
        "device": DEVICE,
        "parts": parts,
        "others": part(media[0], 0, continues=False, to=STRANGER),
    }
    return node("live.mjs", json.dumps(given))


def test_frames_are_those_of_the_rfc_and_others_are_refused(found: dict[str, Any]) -> None:
    assert found["headers"][0] == found["headers"][1] > 50
    assert found["frame"] is True
    assert found["refused"] == dict.fromkeys(("metadata", "cut", "spelling", "device", "continued", "others"), True)


def test_a_browser_that_joins_at_the_door_skips_what_is_sealed_to_others(found: dict[str, Any]) -> None:
    assert found["skipped"] == [None, None]


def test_a_decoder_gets_each_picture_with_its_time(found: dict[str, Any], filmed: list[Gop]) -> None:
    assert found["codec"] == "avc1."
    for number, (continues, start_us, samples) in enumerate(found["parts"]):
        ((at, is_key, size),) = samples
        assert (continues, is_key, start_us) == (number > 0, number == 0, 66_667 * number)
        assert at == pytest.approx(6000 * number, abs=1)
        assert 0 < size < len(filmed[number].packets[0].data) + 8


def test_a_picture_is_shown_at_once_if_its_way_is_even_and_waits_a_little_if_not(found: dict[str, Any]) -> None:
    assert found["even"] == [0, 0, 0, 0]
    first, late, *others = found["uneven"]
    assert (first, late) == (0, 0)
    assert all(50 < each <= 60 for each in others)
    assert found["veryUneven"][2] <= 120, "it does not wait for more than that"
    assert found["joined"] == [0, 0, 0, 0, 0], "pictures behind a keyframe say nothing of the way"
    assert found["slower"] <= 1, "a way that is slower from now on costs no wait"
    assert found["otherClock"] == [0, 0, 0, 0]


def test_a_viewer_who_joins_begins_at_the_last_keyframe(found: dict[str, object]) -> None:
    assert found["joins"] == [[3, 4], [0, 1], [0, 1], []]


def test_a_part_is_shown_if_everything_since_its_keyframe_has_come(found: dict[str, object]) -> None:
    assert found["inOrder"] == ["show"] * 4
    assert found["joinedLate"] == ["skip", "skip", "show", "show"]
    assert found["partLost"] == ["show", "skip", "skip", "show"]
    assert found["restarted"] == ["show", None, "skip", "show"]


def test_a_repeated_part_is_skipped_and_another_boot_begins_with_its_keyframe(found: dict[str, object]) -> None:
    assert found["repeated"] == ["show", "show", "skip", "skip", "show"]
    assert found["otherBoot"] == ["show", "skip", "show"]


def test_small_pictures_begin_with_a_keyframe_that_may_be_a_little_older(found: dict[str, object]) -> None:
    assert found["changed"] == ["show", None, "skip", "show", "show", "skip"]


def test_an_old_part_is_not_shown_as_live_if_the_doorbell_knows_the_time(found: dict[str, object]) -> None:
    assert found["old"] == ["old", "show"]
    assert found["doubtful"] == ["show"]


def test_a_picture_that_falls_behind_plays_faster_and_then_jumps(found: dict[str, object]) -> None:
    assert found["close"] == [9.7, 1]
    assert found["behind"] == [9.6, 1.1]
    assert found["lost"] == [9.825, 1.1]
    assert found["lostInShort"] == [10.825, 1.1]
    assert found["hole"] == [9.4, 1]
    assert found["nothing"] == [3, 1]
