"""The recorder as one piece: it waits for an owner, acts on its configuration, and keeps how often the camera ended
it."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from agent.config import Configuration
from agent.config.settings import (
    CameraConfig,
    CameraKind,
    ClipsConfig,
    DeviceConfig,
    MotionConfig,
    PageConfig,
    PrivacyConfig,
    PrivateHoursConfig,
    SpeakerConfig,
    SpeakerKind,
    VaultConfig,
)
from agent.core.media import StreamDescription
from agent.core.recovery import RecoveryAction
from agent.core.retention import ProtectedIds
from agent.core.setup_state import SetupState
from agent.core.talk.offers import TalkState
from agent.core.vault.fields import segment_id
from agent.errors import DeviceError, StorageError
from agent.ipc.protocol import LiveViewers, PutTalkOffer, TalkWork
from agent.platform.disk import RealDisk
from agent.platform.system_clock import SystemClock
from agent.ports import Camera, CameraEnd
from agent.recorder import composition
from agent.recorder.camera_loop import CameraLoop
from agent.recorder.capture.camera_scripted import ScriptedCamera
from agent.recorder.composition import RecorderDeps, RecorderRuntime
from agent.recorder.setup_reader import PutCode, SetupReader
from firmware_bridge.settings import PanelConfig
from tests.recorder.test_panel_handler import until
from tests.vaults import DEVICE_KEY, OWNER, SEALING, SECOND

CLIPS = ClipsConfig(pre_roll_s=1, post_roll_s=1, merge_gap_s=1, segment_s=2, continuous=True)


stopping = threading.Event()


class NoViewer:
    """A custodian without viewers."""

    def wait_for_viewer(self, patience_s: float) -> LiveViewers:
        stopping.wait(min(patience_s, 0.1))
        return LiveViewers(False)

    def put(self, *_piece: object, begins: bool) -> LiveViewers:
        raise AssertionError("Nothing is shown without a viewer.")


class NoTalk:
    def work(self, _session: str, _state: TalkState, patience_s: float) -> TalkWork:
        stopping.wait(min(patience_s, 0.1))
        return TalkWork()

    def put_offer(self, _offer: PutTalkOffer) -> None:
        raise AssertionError("Nobody talks.")


class Notes:
    def __init__(self) -> None:
        self.told: list[str] = []
        self.texts: list[str] = []

    def notify(self, kind: str, text: str, once: str = "", pictures: object = ()) -> None:
        self.told.append(kind)
        self.texts.append(text)


class Made:
    """A recorder below `folder`, with a short film as its camera."""

    def __init__(self, folder: Path, configuration: Configuration | None = None, **more: Any) -> None:
        self.folder = folder
        (folder / "vault").mkdir(exist_ok=True)
        self.opened = 0
        self.broken = False
        set_up: PutCode | None = more.pop("set_up", None)
        supervised: bool = more.pop("supervised", False)
        given: Any = NoViewer()
        self.deps = RecorderDeps(
            folder / "vault", folder / "index.sqlite", folder, SystemClock(), Notes(), SEALING.device,
            DEVICE_KEY.sign, SECOND, None, lambda: ProtectedIds(frozenset()), given, NoTalk(), supervised,
            set_up=set_up,
        )  # fmt: skip
        found = configuration or Configuration(clips=CLIPS)
        self.configuration = msgspec.structs.replace(found, device=DeviceConfig(state_dir=folder))
        self.runtime = RecorderRuntime(self.configuration, self.deps, open_camera=self.camera, **more)
        self.ends: list[CameraEnd] = []
        self._thread = threading.Thread(target=lambda: self.ends.append(self.runtime.record()))

    def camera(self) -> Camera:
        self.opened += 1
        return Broken() if self.broken else ScriptedCamera([], duration_s=3, size_px=(160, 96), frames_per_s=10)

    def record(self) -> None:
        self._thread.start()

    def join(self) -> None:
        self._thread.join()

    def close(self) -> None:
        self.runtime.stop()
        if self._thread.ident:
            self._thread.join()
        self.runtime.close()


class Broken(ScriptedCamera):
    """A camera that is missing."""

    def open(self) -> StreamDescription:
        raise DeviceError("The camera is not there.", remedy="Plug it in.")


Make = Callable[..., Made]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[Made] = []

    def one(configuration: Configuration | None = None, **more: Any) -> Made:
        for before in made:
            before.close()
        made.append(Made(tmp_path, configuration, **more))
        return made[-1]

    yield one
    for each in made:
        each.close()


def test_nothing_is_filmed_before_there_is_an_owner_and_then_it_is_sealed_to_them(make: Make) -> None:
    made = make()
    with capture_logs() as lines:
        made.runtime.start()
        made.record()
        until(lambda: any(line["event"] == "waiting_for_owner" for line in lines))
    assert not made.runtime.enrolled
    assert made.opened == 0
    made.runtime.seal_to((OWNER.recipient(),), 4)
    made.join()
    assert made.runtime.enrolled
    assert made.ends == [CameraEnd.END_OF_FOOTAGE]
    assert made.runtime.vault.epoch == 4
    assert made.runtime.vault.totals().segments >= 1


def test_a_recorder_that_is_stopped_before_there_is_an_owner_opens_no_camera(make: Make) -> None:
    made = make()
    made.runtime.start()
    made.record()
    made.runtime.stop()
    made.join()
    assert (made.ends, made.opened) == ([CameraEnd.STOPPED], 0)


def test_a_recorder_that_was_never_started_can_be_stopped_and_leaves_no_thread(make: Make) -> None:
    made = make()
    before = set(threading.enumerate())
    made.runtime.stop()
    made.runtime.start()
    made.runtime.stop()
    assert set(threading.enumerate()) <= before


def test_what_a_crash_left_is_logged_with_what_was_found(make: Make, tmp_path: Path) -> None:
    made = make()
    with capture_logs() as lines:
        made.runtime.start()
    assert not [line for line in lines if line["event"] == "vault_recovered"], "nothing was to recover"
    made.close()
    (tmp_path / "vault" / "segments" / "a" / "photo.jpg").write_bytes(b"foreign")
    again = make()
    with capture_logs() as lines:
        again.runtime.start()
    (line,) = [line for line in lines if line["event"] == "vault_recovered"]
    assert line["quarantined"] == "['photo.jpg']"
    assert set(line) - {"event", "log_level"} == {"quarantined"}


@pytest.mark.parametrize("again", [False, True], ids=["at the start", "after a failed write"])
def test_the_owner_is_told_the_name_of_a_segment_with_a_lost_block(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    name = segment_id(bytes(16)) + ".part"
    part = tmp_path / "vault" / "segments" / name[0] / name
    read = RealDisk.read

    def lost(disk: RealDisk, path: Path, offset: int, size_bytes: int) -> bytes:
        if path == part:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read(disk, path, offset, size_bytes)

    monkeypatch.setattr(RealDisk, "read", lost)
    made = make()
    notes: Any = made.deps.notifier
    if again:
        made.runtime.vault.start()
        made.runtime.vault._sound = False
    part.parent.mkdir(parents=True, exist_ok=True)
    part.write_bytes(b"age")
    with capture_logs() as lines:
        if again:
            now = made.deps.clock.now()
            made.runtime.vault.record_coverage(now, now)
        else:
            made.runtime.start()
    assert (notes.told, notes.texts) == (
        ["vault"],
        [f"Footage cannot be read: {name}.  The card may be failing."],
    )
    assert made.runtime.status()["unreadable"] == (name,), "the alert says: Run doorward status"
    assert [line["files"] for line in lines if line["event"] == "damage_found"] == [(name,)]
    assert (tmp_path / "vault" / "aside" / name).exists()


def test_an_alert_names_ten_unreadable_files_at_most(make: Make) -> None:
    made = make()
    notes: Any = made.deps.notifier
    names = [f"{number}.part" for number in range(5000)]
    with capture_logs() as lines:
        made.runtime._tell_unreadable(names)
    (text,) = notes.texts
    assert "9.part and 4990 more.  The card" in text
    assert "10.part" not in text
    assert [line["files"] for line in lines] == [tuple(names)], "the log has all names"
    assert made.runtime.status()["unreadable"] == tuple(names[-100:])
    made.runtime._tell_unreadable(names[-1:])
    assert len(notes.texts) == 1, "a file that cannot be moved is told once"


def test_a_vault_that_cannot_be_started_stops_nothing_else_and_is_tried_again(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, checked = make(), []
    start, is_broken = made.runtime.vault._start_twice, [True]

    def refused() -> Any:
        if is_broken[0]:
            raise StorageError("The disk is read-only.", remedy="Look at it.")
        return start()

    monkeypatch.setattr(made.runtime.vault, "_start_twice", refused)
    monkeypatch.setattr(made.runtime.vault, "check_store", lambda: checked.append(1))
    with capture_logs() as lines:
        made.runtime.start()
    assert [line["event"] for line in lines if line["log_level"] == "error"] == ["vault_not_started"]
    assert checked == [1], "stored footage can be looked at"
    assert {"scrub", "index", "hours", "live", "index-copy"} <= {thread.name for thread in threading.enumerate()}
    made.runtime.try_vault()
    assert made.runtime.vault.fault != ""
    is_broken[0] = False
    made.runtime.try_vault()
    assert made.runtime.vault.fault == ""


def test_a_private_hour_is_in_force_from_the_start_and_a_disk_that_hangs_delays_none(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, hour = make(), threading.Event()
    monkeypatch.setattr(composition, "is_private_now", lambda _configuration, _now: hour.is_set())
    monkeypatch.setattr(composition, "_HOURS_S", 0.01)
    hour.set()
    made.runtime.start()
    assert made.runtime.recorder.is_private, "before a camera can be opened"
    with made.runtime.vault._lock:
        hour.clear()
        until(lambda: not made.runtime.recorder.is_private)
        hour.set()
        until(lambda: made.runtime.recorder.is_private)


def test_a_changed_configuration_is_acted_on(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    made, zones = make(), []
    monkeypatch.setattr(made.runtime.recorder, "watch_for", zones.append)
    smaller = msgspec.structs.replace(made.configuration, vault=VaultConfig(max_bytes=77_000_000))
    made.runtime.apply_configuration(smaller)
    assert made.runtime.vault._limits.most_bytes == 77_000_000
    assert zones == [], "zones that did not change are not set again"
    keener = msgspec.structs.replace(smaller, motion=MotionConfig(sensitivity=2.0))
    made.runtime.apply_configuration(keener)
    assert [zone.sensitivity for zone in zones[0].zones] == [2.0]
    assert not made.runtime.recorder.is_private
    always = (PrivateHoursConfig(begins="00:00", ends="12:00"), PrivateHoursConfig(begins="12:00", ends="00:00"))
    made.runtime.apply_configuration(msgspec.structs.replace(keener, privacy=PrivacyConfig(hours=always)))
    assert made.runtime.recorder.is_private
    assert len(zones) == 1
    made.runtime.apply_configuration(keener)
    assert not made.runtime.recorder.is_private


def exits(folder: Path) -> str:
    file = folder / "camera-exits"
    return file.read_text().strip() if file.exists() else ""


def test_a_process_that_the_camera_ended_is_counted_until_the_board_is_restarted(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CameraLoop, "_wait", lambda *_arguments: None)
    for count in (1, 2):
        made = make(supervised=True)
        made.broken = True
        made.runtime.seal_to((OWNER.recipient(),), 1)
        assert made.runtime.record() is CameraEnd.LOST
        assert made.runtime.recorder.wanted is RecoveryAction.EXIT
        assert exits(tmp_path) == str(count)
        made.close()
    made = make(Configuration(clips=CLIPS, panel=PanelConfig(socket=tmp_path / "b.sock", start=False)), supervised=True)
    asked: list[str] = []
    assert made.runtime.panel is not None
    monkeypatch.setattr(made.runtime.panel.link, "ask_reboot", asked.append)
    made.broken = True
    made.runtime.seal_to((OWNER.recipient(),), 1)
    assert made.runtime.record() is CameraEnd.LOST
    assert made.runtime.recorder.wanted is RecoveryAction.REBOOT
    assert asked == ["the camera does not come back"]
    assert exits(tmp_path) == "0"


def test_a_camera_without_a_panel_that_does_not_come_back_ends_the_process_too(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CameraLoop, "_wait", lambda *_arguments: None)
    (tmp_path / "camera-exits").write_text("2\n")
    made = make(supervised=True)
    made.broken = True
    made.runtime.seal_to((OWNER.recipient(),), 1)
    assert made.runtime.record() is CameraEnd.LOST
    assert exits(tmp_path) == "0"


def test_a_network_camera_ends_no_process(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "camera-exits").write_text("2\n")
    camera = CameraConfig(kind=CameraKind.RTSP, url="rtsp://camera/stream")
    made = make(Configuration(clips=CLIPS, camera=camera), supervised=True)
    made.broken = True
    made.runtime.seal_to((OWNER.recipient(),), 1)
    tries: list[int] = []

    def wait(loop: CameraLoop, *_arguments: object) -> None:
        tries.append(1)
        if len(tries) == 8:
            loop.stop()

    monkeypatch.setattr(CameraLoop, "_wait", wait)
    assert made.runtime.record() is CameraEnd.STOPPED
    assert made.runtime.recorder.wanted is None
    assert exits(tmp_path) == "2", "no good hour yet"


def test_after_an_hour_of_pictures_the_count_of_exits_is_forgotten(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "camera-exits").write_text("1\n")
    made = make(supervised=True)
    made.runtime.seal_to((OWNER.recipient(),), 1)
    good = made.runtime.recorder.recovery.on_good
    monkeypatch.setattr(made.runtime.recorder.recovery, "on_good", lambda _lasted_ns: good(3600 * 10**9))
    assert made.runtime.record() is CameraEnd.END_OF_FOOTAGE
    assert exits(tmp_path) == "0"


@pytest.mark.parametrize("written", [b"", b"two", b"-4", b"\xff\xfe", b"99999999999999999999999"])
def test_a_damaged_count_of_exits_costs_retries_only(make: Make, tmp_path: Path, written: bytes) -> None:
    (tmp_path / "camera-exits").write_bytes(written)
    made = make(supervised=True)
    assert made.runtime.recorder.recovery.exits == (9_999_999_999 if written.startswith(b"9") else 0)


def test_a_count_of_exits_that_cannot_be_written_stops_nothing(make: Make, tmp_path: Path) -> None:
    (tmp_path / "camera-exits").mkdir()
    made = make()
    made.runtime._exits.save(1)
    assert made.runtime.recorder.recovery.exits == 0


def test_the_status_has_the_recorder_and_everything_beside_it(make: Make) -> None:
    made = make()
    made.runtime.start()
    status = made.runtime.status()
    assert (status["state"], status["speaker"], status["panel"]) == ("no camera", "off", None)
    assert status["wear"]["recorded_s"] == 0
    assert status["disk"]["syncs"] > 0
    assert status["scrub"]["fault"] == ""
    assert "object_detection" in status
    made.runtime.seal_to((OWNER.recipient(),), 1)
    assert made.runtime.record() is CameraEnd.END_OF_FOOTAGE
    assert made.runtime.status()["wear"]["recorded_s"] >= 2


def talking(folder: Path) -> Configuration:
    return Configuration(
        clips=CLIPS,
        speaker=SpeakerConfig(kind=SpeakerKind.FILE, path=folder / "said.wav", volume=35, replies=folder),
        panel=PanelConfig(socket=folder / "b.sock", start=False, privacy=5),
    )


def test_owners_and_their_browsers_may_talk_and_look(make: Make, tmp_path: Path) -> None:
    made = make(talking(tmp_path))
    assert made.runtime._talk is not None
    made.runtime.show_to(("glance-1",))
    made.runtime.seal_to((OWNER.recipient(),), 1)
    assert made.runtime._talk._known == {"glance-1", str(OWNER.recipient())}
    made.runtime.show_to(("glance-2",))
    assert made.runtime._talk._known == {"glance-2", str(OWNER.recipient())}
    assert made.runtime._live._known == {"glance-2"}
    assert made.runtime.pictures._texts == ("glance-2",)
    assert (made.runtime._talk._settings.volume, made.runtime._talk._settings.replies) == (35, tmp_path)


def test_with_a_privacy_switch_the_camera_and_the_speaker_stay_off_until_it_was_read(
    make: Make, tmp_path: Path
) -> None:
    made = make(talking(tmp_path))
    talk = made.runtime._talk
    assert talk is not None
    assert made.runtime.recorder.is_private
    assert not talk._may_open()
    made.runtime.recorder.set_privacy_switch(False)
    assert talk._may_open()
    without = make(Configuration(clips=CLIPS, panel=PanelConfig(socket=tmp_path / "c.sock", start=False)))
    assert not without.runtime.recorder.is_private
    assert without.runtime.status()["panel"] == {"connected": False}


def test_the_speakers_thread_begins_and_ends_with_the_recorder(make: Make, tmp_path: Path) -> None:
    made = make(talking(tmp_path))
    made.runtime.start()
    assert "talk" in {thread.name for thread in threading.enumerate()}
    made.runtime.recorder.set_privacy_switch(False)
    until(lambda: made.runtime.status()["speaker"] == "ready")
    made.runtime.stop()
    assert not {"talk", "bridge-link"} & {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize(
    ("page", "can_join", "reads"),
    [
        (PageConfig(setup_by_camera=True), True, True),
        (PageConfig(setup_by_camera=True), False, False),
        (PageConfig(setup_by_camera=False), True, False),
        (None, True, False),
    ],
)
def test_the_set_up_code_is_read_only_if_it_is_configured_and_something_can_join(
    make: Make, page: PageConfig | None, can_join: bool, reads: bool
) -> None:
    put: PutCode | None = (lambda _text: SetupState.WAITING) if can_join else None
    made = make(Configuration(clips=CLIPS, page=page), set_up=put)
    assert isinstance(made.runtime.set_up, SetupReader) == reads


def test_the_set_up_code_is_read_until_there_is_an_owner(make: Make) -> None:
    texts: list[str] = []

    def put(text: str) -> SetupState:
        texts.append(text)
        return SetupState.OFF

    made = make(Configuration(clips=CLIPS, page=PageConfig(setup_by_camera=True)), set_up=put)
    made.runtime.start()
    made.record()
    until(lambda: texts)
    assert made.opened == 0, "set-up is off: no camera"
    made.runtime.seal_to((OWNER.recipient(),), 1)
    made.join()
    assert made.ends == [CameraEnd.END_OF_FOOTAGE]
    assert set(texts) == {""}


def test_the_configured_camera_is_opened_with_the_present_throttling_level(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "vault").mkdir()
    made = Made(tmp_path)
    asked: list[tuple[object, ...]] = []

    def make_camera(*arguments: object) -> Camera:
        asked.append(arguments)
        return made.camera()

    monkeypatch.setattr(composition.translation, "make_camera", make_camera)
    usual = RecorderRuntime(made.configuration, replace(made.deps, index=tmp_path / "other.sqlite"))
    usual.seal_to((OWNER.recipient(),), 1)
    usual.recorder.set_throttle_level(3)
    assert usual.record() is CameraEnd.END_OF_FOOTAGE
    assert asked == [(made.configuration, usual._encoder, 3)]
    usual.stop()
    usual.close()
    made.close()


def test_the_camera_of_a_set_up_code_is_focused_near(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make()
    asked: list[tuple[Configuration, ...]] = []
    monkeypatch.setattr(composition.translation, "make_camera", lambda *arguments: asked.append(arguments))
    made.runtime._open_near_camera()
    made.runtime._open_camera()
    assert [each[0].camera.focus_m for each in asked] == [0.17, 2.0]


def noted(monkeypatch: pytest.MonkeyPatch, calls: list[str], target: object, method: str, name: str) -> None:
    """Replaces a method by one that notes its call."""
    monkeypatch.setattr(target, method, lambda *_arguments: calls.append(name))


def test_a_stop_reaches_each_part_and_lets_a_waiting_start_go(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = make(talking(tmp_path)).runtime
    calls: list[str] = []
    assert runtime._talk is not None
    assert runtime.panel is not None
    with monkeypatch.context() as patched:
        for part, name in (
            (runtime._live, "live"), (runtime._talk, "talk"), (runtime.recorder, "recorder"), (runtime.panel, "panel"),
        ):  # fmt: skip
            noted(patched, calls, part, "stop", name)
        runtime.stop()
    assert calls == ["live", "talk", "recorder", "panel"]
    assert (runtime._stopping.is_set(), runtime.enrolled) == (True, True)
    assert runtime.record() is CameraEnd.STOPPED


def test_a_close_closes_the_manifest_and_the_index(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime, calls = make().runtime, list[str]()
    with monkeypatch.context() as patched:
        noted(patched, calls, runtime.manifest, "close", "manifest")
        noted(patched, calls, runtime._index, "close", "index")
        runtime.close()
    assert calls == ["manifest", "index"]


@pytest.mark.parametrize(("records_first", "slice_s"), [(True, 0.25), (False, None)])
def test_only_a_recorder_that_records_first_reads_its_manifest_in_slices(
    make: Make, tmp_path: Path, records_first: bool, slice_s: float | None
) -> None:
    made = make()
    deps = replace(made.deps, index=tmp_path / "other.sqlite", records_first=records_first)
    runtime = RecorderRuntime(made.configuration, deps)
    assert runtime.vault._slice_s == slice_s
    assert runtime.vault.epoch == 0, "no list of owners has come"
    runtime.close()


def test_a_manifest_is_read_on_soon_and_a_whole_index_is_looked_at_every_second(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime, pauses, retries = make().runtime, list[float](), list[str]()
    unread = ["half", "half", ""]

    def wait(pause_s: float) -> bool:
        pauses.append(pause_s)
        return len(pauses) == 4

    def retry() -> None:
        retries.append(runtime.vault._unread)
        runtime.vault._unread = unread.pop(0)
        if len(retries) == 1:
            raise StorageError("Half of it is read.")

    monkeypatch.setattr(runtime._stopping, "wait", wait)
    monkeypatch.setattr(runtime.vault, "retry", retry)
    runtime.vault._unread = "none of it is read"
    with capture_logs() as lines:
        runtime._read_on()
    assert pauses == [0.02] * 3 + [1.0]
    assert retries == ["none of it is read", "half", "half"]
    assert [line["event"] for line in lines] == ["index_is_whole"] * 2


def test_a_start_that_reads_its_manifest_in_slices_is_no_fault(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime, checked = make().runtime, list[str]()

    def starts() -> Any:
        runtime.vault._unread = "half"
        raise StorageError("Half of it is read.")

    monkeypatch.setattr(runtime.vault, "start", starts)
    monkeypatch.setattr(runtime.vault, "retry", lambda: None)
    noted(monkeypatch, checked, runtime.vault, "check_store", "check")
    with capture_logs() as lines:
        runtime.start()
    assert [line["event"] for line in lines if line["log_level"] in ("error", "warning")] == ["index_is_made_again"]
    assert checked == [], "it would read all of it at once"


def test_a_recorder_with_an_owner_reads_no_set_up_code(make: Make) -> None:
    texts: list[str] = []

    def put(text: str) -> SetupState:
        texts.append(text)
        return SetupState.OFF

    made = make(Configuration(clips=CLIPS, page=PageConfig(setup_by_camera=True)), set_up=put)
    made.runtime.seal_to((OWNER.recipient(),), 1)
    with capture_logs() as lines:
        assert made.runtime.record() is CameraEnd.END_OF_FOOTAGE
    assert texts == []
    assert "waiting_for_owner" not in [line["event"] for line in lines]


def test_the_set_up_and_talk_ask_whether_the_household_is_private(make: Make, tmp_path: Path) -> None:
    configuration = msgspec.structs.replace(talking(tmp_path), page=PageConfig(setup_by_camera=True))
    runtime = make(configuration, set_up=lambda _text: SetupState.OFF).runtime
    assert runtime.set_up is not None
    assert runtime._talk is not None
    assert (runtime.set_up._is_private(), runtime._talk._may_open()) == (True, False)
    runtime.recorder.set_privacy_switch(False)
    assert (runtime.set_up._is_private(), runtime._talk._may_open()) == (False, True)


@pytest.mark.parametrize(
    ("watched", "delivering", "talks", "lit"),
    [
        (False, True, False, False),
        (True, True, False, True),
        (True, False, False, False),  # a camera that is off shows nothing
        (False, False, True, True),
    ],
)
def test_the_live_led_is_lit_while_a_person_sees_the_camera_or_talks(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, watched: bool, delivering: bool, talks: bool, lit: bool
) -> None:
    runtime = make(talking(tmp_path)).runtime
    assert runtime.panel is not None
    assert runtime._talk is not None
    monkeypatch.setattr(runtime._live, "_is_watched", watched)
    monkeypatch.setattr(type(runtime.recorder), "delivering", property(lambda _recorder: delivering))
    monkeypatch.setattr(type(runtime._talk), "is_talking", property(lambda _talk: talks))
    assert runtime.panel.link._live() is lit


def test_the_status_has_these_parts_and_no_other(make: Make) -> None:
    runtime = make().runtime
    recorder = {field.name for field in fields(runtime.recorder.status())}
    assert set(runtime.status()) - recorder == {"speaker", "panel", "scrub", "unreadable", "wear", "disk"}


def test_the_vault_keeps_to_the_configuration_and_the_size_of_its_disk(make: Make, tmp_path: Path) -> None:
    made = make()
    expected = composition.translation.vault_limits(made.configuration, shutil.disk_usage(tmp_path).total)
    assert made.runtime.vault._limits == expected


@pytest.mark.parametrize("configured", [True, False])
def test_a_given_microphone_takes_the_place_of_the_configured_one(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, configured: bool
) -> None:
    opened: list[str] = []

    def given() -> Any:
        opened.append("given")
        raise DeviceError("There is no microphone.")

    def from_the_file() -> Any:
        opened.append("configured")
        raise DeviceError("There is no microphone.")

    monkeypatch.setattr(
        composition.translation, "open_microphone", lambda _configuration: from_the_file if configured else None
    )
    for open_microphone, expected in ((given, "given"), (None, "configured")):
        opened.clear()
        made = make(None, open_microphone=open_microphone)
        sound = made.runtime.recorder._parts.sound
        if open_microphone is None and not configured:
            assert sound is None
            continue
        assert sound is not None
        with pytest.raises(DeviceError):
            sound._open_microphone()
        assert opened == [expected]


@pytest.mark.parametrize(("kind", "exits"), [(CameraKind.RTSP, False), (CameraKind.PI, True)])
def test_a_lost_camera_ends_a_supervised_process_unless_it_is_in_the_network(
    make: Make, kind: CameraKind, exits: bool
) -> None:
    camera = CameraConfig(kind=kind, url="rtsp://camera/stream")
    recovery = make(Configuration(clips=CLIPS, camera=camera), supervised=True).runtime.recorder.recovery
    steps = {recovery.on_fault(hangs=False)[0] for _ in range(12)}
    assert (RecoveryAction.EXIT in steps) is exits


def test_a_count_of_exits_that_is_nought_already_is_not_written_again(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for written, saved in ((None, []), ("0\n", []), ("1\n", [])):
        if written is not None:
            (tmp_path / "camera-exits").write_text(written)
        made, counts = make(), list[int]()
        monkeypatch.setattr(made.runtime._exits, "save", counts.append)
        made.runtime.seal_to((OWNER.recipient(),), 1)
        assert made.runtime.record() is CameraEnd.END_OF_FOOTAGE
        assert counts == saved, "an exit is forgiven after a good hour only"
