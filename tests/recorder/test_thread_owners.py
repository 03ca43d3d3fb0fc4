"""Every attribute of the recorder has one owning thread, or a lock, and the tests check each write."""

from __future__ import annotations

import ast
import inspect
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import agent.recorder
from agent.core.motion.lens import LensState
from agent.core.motion.zones import ZoneMap
from agent.core.recovery import RecoveryAction
from agent.custodian.enrolment import Enrolments
from agent.custodian.trust_news import TrustNews
from agent.custodian.trust_store import TrustManager
from agent.platform import thread_owners as thread_owners_module
from agent.platform.thread_owners import AttributeOwner, ThreadOwned
from agent.recorder import (
    camera_loop,
    camera_queues,
    coverage_recorder,
    frame_analysis,
    privacy_gate,
    recorder,
    recorder_inputs,
    recorder_status,
)
from agent.recorder.camera_loop import CameraLoop
from agent.recorder.camera_queues import CameraQueues
from agent.recorder.coverage_recorder import LensAlerts
from agent.recorder.frame_analysis import FrameAnalysis
from agent.recorder.privacy_gate import PrivacyGate
from agent.recorder.recorder import Recorder
from agent.recorder.recorder_inputs import RecorderInputs
from agent.recorder.talk import TalkService
from agent.uplink.cell_reading import CellReading
from agent.uplink.trust_reading import TrustReading
from agent.uplink.uplink import Uplink
from tests.custodians import Door
from tests.recorder.test_recorder_and_hardware import House, until
from tests.recorder.thread_owner_check import ThreadOwnerCheck, WrongThreadError, checked_owners

ROOT = Path(__file__).resolve().parents[2]
OWNED = (CameraLoop, CameraQueues, FrameAnalysis, LensAlerts, PrivacyGate, Recorder, RecorderInputs)
SHARED = (TalkService, Enrolments, TrustManager, TrustNews, Uplink, CellReading, TrustReading)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.close()


@pytest.fixture
def check() -> Iterator[ThreadOwnerCheck]:
    """A second check, inside the one of every test: its violations are planted."""
    with checked_owners() as check:
        yield check


def test_a_planted_write_of_another_thread_is_caught(check: ThreadOwnerCheck, house: House) -> None:
    house.film()
    until(lambda: house.solo.recorder.delivering)
    with pytest.raises(WrongThreadError, match=r"CameraLoop\.camera_fault, which belongs to"):
        house.solo.recorder._loop.camera_fault = "planted"
    with pytest.raises(WrongThreadError, match=r"FrameAnalysis\.analysed, which belongs to 'analysis'"):
        house.solo.recorder._parts.analysis.analysed = 0
    assert len(check.violations) == 2


def test_a_planted_write_inside_a_thread_of_the_recorder_is_caught(
    check: ThreadOwnerCheck, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_stream = FrameAnalysis._begin_stream

    def planted(analysis: FrameAnalysis, description: object) -> None:
        begin_stream(analysis, description)  # type: ignore[arg-type]
        try:
            house.solo.recorder._loop.wanted = RecoveryAction.REBOOT
        except WrongThreadError:
            return

    monkeypatch.setattr(FrameAnalysis, "_begin_stream", planted)
    house.film()
    until(lambda: check.violations)
    assert check.violations == [f"'analysis' writes CameraLoop.wanted, which belongs to '{house._thread.name}'."]
    assert house.solo.recorder.wanted is None


def test_a_write_without_the_lock_is_caught(check: ThreadOwnerCheck) -> None:
    gate = PrivacyGate(switch_unread=True, on_close=lambda _why: None, on_change=lambda: None)
    with pytest.raises(WrongThreadError, match="without holding its lock"):
        gate._private_hour = True
    inputs = RecorderInputs(ZoneMap())
    with pytest.raises(WrongThreadError, match="without holding its lock"):
        inputs.throttle_level = 3
    gate.set_private_hour(True)
    inputs.set_throttle_level(3)
    assert gate.closed
    assert len(check.violations) == 2


def test_an_attribute_without_an_owner_is_never_written_again(check: ThreadOwnerCheck, house: House) -> None:
    with pytest.raises(WrongThreadError, match="no declared owner"):
        house.solo.recorder._inputs = RecorderInputs(ZoneMap())
    assert len(check.violations) == 1


def test_the_next_thread_takes_over_after_the_last_one_has_ended(check: ThreadOwnerCheck) -> None:
    queues = CameraQueues(live=True)

    def look(lens: LensState) -> None:
        queues.lens = lens

    for lens in (LensState.COVERED, LensState.CLEAR):
        thread = threading.Thread(target=look, args=(lens,))
        thread.start()
        thread.join()
    assert not check.violations


@pytest.mark.parametrize("owned", OWNED)
def test_every_attribute_that_is_written_after_init_has_a_declared_owner(owned: type[ThreadOwned]) -> None:
    (tree,) = ast.parse(inspect.getsource(owned)).body
    assert isinstance(tree, ast.ClassDef)
    methods = [each for each in tree.body if isinstance(each, ast.FunctionDef) and each.name != "__init__"]
    written = {name for method in methods for name in _written(method)}
    assert written <= set(owned.WRITTEN_BY), "written without an owner"


def test_every_class_that_the_recorder_s_threads_share_declares_owners() -> None:
    modules = (camera_loop, camera_queues, coverage_recorder, frame_analysis, privacy_gate, recorder, recorder_inputs)
    declared = {
        each
        for module in (*modules, recorder_status)
        for each in vars(module).values()
        if isinstance(each, type) and issubclass(each, ThreadOwned) and each is not ThreadOwned
    }
    assert declared == set(OWNED)


@pytest.mark.parametrize("shared", SHARED)
def test_custodian_uplink_and_talk_declare_what_several_threads_use(shared: type[ThreadOwned]) -> None:
    test_every_attribute_that_is_written_after_init_has_a_declared_owner(shared)


def test_every_class_with_owners_is_looked_at_here() -> None:
    classes = {
        name
        for path in (ROOT / "agent").rglob("*.py")
        for name in re.findall(r"^class (\w+)\(ThreadOwned\)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert classes == {each.__name__ for each in (*OWNED, *SHARED)}


def test_the_table_of_owners_lists_each_class() -> None:
    listed: dict[str, set[str]] = {}
    for line in (thread_owners_module.__doc__ or "").splitlines():
        if row := re.match(r"    ([A-Z_]+) +\S.*?(?:  +)(\w.*)", line):
            listed[row[1]] = set(re.findall(r"\w+", row[2]))
            last = row[1]
        elif more := re.match(r" {60,}(\w.*)", line):
            listed[last] |= set(re.findall(r"\w+", more[1]))
    declared: dict[str, set[str]] = {each.name: set() for each in AttributeOwner}
    for each in (*OWNED, *SHARED):
        for owner in each.WRITTEN_BY.values():
            declared[owner.name].add(each.__name__)
    assert listed == declared


def test_a_write_outside_a_transaction_is_caught(check: ThreadOwnerCheck) -> None:
    door = Door()
    trust = door.custodian.custodian_state.trust
    with pytest.raises(WrongThreadError, match=r"TrustManager\.store without holding its lock"):
        trust.store = trust.store
    with pytest.raises(WrongThreadError, match=r"Enrolments\._pending without holding its lock"):
        door.custodian.enrolments._pending = None
    door.close()
    assert len(check.violations) == 2


def _written(method: ast.FunctionDef) -> Iterator[str]:
    for node in ast.walk(method):
        match node:
            case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                yield name


def threads_started_in(source: str) -> set[str]:
    """Names of the threads that the source starts, as far as they are written out."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        if called in ("threading.Thread", "Thread"):
            named = [each.value for each in node.keywords if each.arg == "name"]
        elif called in ("DeliveryThread", "_worker", "super().__init__"):
            named = node.args[:1]
        else:
            continue
        found |= {each.value for each in named if isinstance(each, ast.Constant) and isinstance(each.value, str)}
    return found


def test_the_package_lists_every_thread_that_the_recorder_starts() -> None:
    package = Path(agent.recorder.__file__).parent
    started = set().union(*(threads_started_in(path.read_text()) for path in package.rglob("*.py")))
    assert {"analysis", "writer", "scrub", "camera-pi", "rtsp-read", "microphone-alsa"} <= started
    listed = set(re.findall(r"^    ([\w-]+…?)|, ([\w-]+…)", agent.recorder.__doc__ or "", re.MULTILINE))
    names = {name for pair in listed for name in pair if name}
    assert {name for name in started if name not in names and f"{name.partition('-')[0]}-…" not in names} == set()
