"""The doctor finds each fault, and each fault says what to do."""

from __future__ import annotations

import contextlib
import datetime
import inspect
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import agent.cli.doctor as doctor_command
from agent.cli.checks import broker as broker_check
from agent.cli.checks import disk
from agent.cli.checks.board import check_heat, check_limits, check_panel
from agent.cli.checks.broker import check_broker, check_congestion_control
from agent.cli.checks.camera import check_camera, check_encoder
from agent.cli.checks.clock import check_clock
from agent.cli.checks.disk import check_disk
from agent.cli.checks.finding import CheckStatus, Finding
from agent.cli.checks.memory import check_memory, needed_mb
from agent.cli.checks.object_detection import check_object_detection
from agent.cli.checks.running import camera_in_use, dropped_messages, status_here
from agent.clients.broker.broker_pki import BrokerPki, ClientFiles
from agent.clients.broker.private_broker import PrivateBroker
from agent.clients.owner.enrolment import enrol
from agent.clients.owner.keys import OwnerKeys
from agent.config import Configuration, load
from agent.config.settings import (
    BrokerConfig,
    CameraConfig,
    CameraKind,
    ClipsConfig,
    DeviceConfig,
    ObjectDetectionConfig,
    ObjectDetectionUse,
    PageConfig,
    VaultConfig,
)
from agent.core.bus import BusConnected, PublishAcknowledged, PublishRefused
from agent.core.timebase import NS_PER_S, BootNs, ClockQuality, ClockReading, UtcNs
from agent.custodian.state_folder import StateFolder
from agent.errors import DeviceError
from agent.ipc.control_client import DeviceLink
from agent.mqtt import BusSettings
from agent.recorder.capture.camera_picamera2 import cameras_here
from agent.recorder.capture.camera_picamera2.faults import no_camera, remedies
from agent.recorder.capture.camera_scripted import ScriptedCamera
from agent.solo import Solo
from firmware_bridge.board_health import BoardHealth as BoardHealth
from firmware_bridge.boards import BoardName, board_named
from firmware_bridge.settings import Backend, BoardConfig, PanelConfig
from tests.brokers import OLD_MOSQUITTO, BrokerWithClients, add_requester, mosquitto_version
from tests.mqtt.mqtt_peer import ScriptedPeer
from tests.networks import real_models

NOW = datetime.datetime.now(datetime.UTC)


def moment(year: int, quality: ClockQuality) -> ClockReading:
    at = datetime.datetime(year, 6, 1, tzinfo=datetime.UTC).timestamp()
    return ClockReading(BootNs(0), UtcNs(round(at) * NS_PER_S), quality)


def faults(findings: Iterator[Finding]) -> list[Finding]:
    found = [finding for finding in findings if finding.health is not CheckStatus.FINE]
    assert all(finding.remedy for finding in found), "a fault without a remedy helps nobody"
    return found


def test_a_drawn_scene_on_a_writable_disk_is_well(tmp_path: Path, tool: Callable[..., Any]) -> None:
    path = tmp_path / "doorward.toml"
    camera = '[camera]\nkind = "scripted"\nsize = [320, 240]\n'
    path.write_text(f'[device]\nstate_dir = "{tmp_path}"\n{camera}[vault]\nfree_floor = 0.01\n')
    seen = tool("doctor", "--config", path, "--json")
    report = json.loads(seen.out)
    bad = [finding for finding in report["findings"] if finding["health"] == "bad"]
    assert (seen.status, report["ok"], bad) == (0, True, [])


def test_a_broken_configuration_is_one_fault_and_the_rest_is_still_looked_at(
    tmp_path: Path, tool: Callable[..., Any]
) -> None:
    path = tmp_path / "doorward.toml"
    path.write_text("[camera]\nfsp = 3\n")
    seen = tool("doctor", "--config", path)
    assert seen.status == 1
    assert "line 2, camera.fsp" in " ".join(seen.out.split())
    assert "What to do: Did you mean 'fps'?" in seen.out
    assert "clock" in seen.out


def test_a_missing_camera_says_what_to_try() -> None:
    [fault] = faults(check_camera(CameraConfig(device=Path("/dev/no-such-camera"))))
    assert fault.health is CheckStatus.BAD
    assert "There is no /dev/no-such-camera" in fault.message


def test_a_node_that_is_no_camera_is_called_that() -> None:
    [fault] = faults(check_camera(CameraConfig(device=Path("/dev/null"))))
    assert "is not a camera" in fault.message


@pytest.mark.parametrize(
    ("raised", "message", "remedy"),
    [
        (RuntimeError("Failed to acquire camera: Device or resource busy"), "busy", "fuser"),
        (OSError(12, "Cannot allocate memory"), "contiguous memory", "cma-256"),
        (RuntimeError("DmaHeap allocation failure"), "dma_heap", "vc4-kms-v3d"),
        (ModuleNotFoundError("No module named 'picamera2'", name="picamera2"), "not here", "apt-get install"),
        (no_camera(0, 0), "No Pi camera is found", "ribbon cable"),
        (no_camera(0, 0), "No Pi camera is found", "dtoverlay"),
        (no_camera(2, 1), "no camera 2", "camera.number"),
        (KeyError("Transform"), "cannot be used", "rpicam-hello"),
    ],
    ids=["busy", "too little CMA", "no dma_heap", "no picamera2", "cable", "overlay", "number", "anything else"],
)
def test_what_a_pi_camera_lacks_is_told_with_what_to_do(raised: Exception, message: str, remedy: str) -> None:
    with pytest.raises(DeviceError) as told, remedies():
        raise raised
    assert message in told.value.message
    assert remedy in told.value.remedy


@pytest.mark.parametrize(
    ("found", "number", "health", "message"),
    [
        (
            [{"Model": "imx708_wide"}, {"Model": "imx219"}],
            1,
            CheckStatus.FINE,
            "libcamera finds 0 (imx708_wide), 1 (imx219)",
        ),
        (
            [{"Model": "imx708_wide"}],
            2,
            CheckStatus.BAD,
            "There is no camera 2: 1 found, counted from 0. libcamera finds: 0",
        ),
        ([], 0, CheckStatus.BAD, "No Pi camera is found."),
    ],
)
def test_the_cameras_that_libcamera_finds_are_listed_where_the_camera_is_a_pis(
    monkeypatch: pytest.MonkeyPatch, found: list[dict[str, str]], number: int, health: CheckStatus, message: str
) -> None:
    monkeypatch.setattr("agent.cli.checks.camera.cameras_here", lambda: cameras_here(lambda: found))
    looked = list(check_camera(CameraConfig(kind=CameraKind.PI, number=number)))
    (listed,) = [each for each in looked if each.subject == "cameras"]
    assert listed.health is health
    assert message in listed.message


def test_without_picamera2_the_list_of_cameras_says_how_it_comes_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_library() -> list[object]:
        raise ModuleNotFoundError("No module named 'picamera2'", name="picamera2")

    monkeypatch.setattr("agent.cli.checks.camera.cameras_here", lambda: cameras_here(no_library))
    listed = [each for each in check_camera(CameraConfig(kind=CameraKind.PI)) if each.subject == "cameras"]
    assert [each.health for each in listed] == [CheckStatus.BAD]
    assert "sudo make install again" in listed[0].remedy


def test_too_little_memory_set_aside_for_the_camera_is_said_before_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.cli.checks.camera.board_here", lambda: board_named(BoardName.ZERO_2_W))
    monkeypatch.setattr("agent.cli.checks.camera.read_health", lambda: BoardHealth(cma_total_mb=64))
    fault = faults(check_camera(CameraConfig(kind=CameraKind.PI)))[0]
    assert (fault.subject, fault.health) == ("camera memory", CheckStatus.POOR)
    assert "64 MB are reserved" in fault.message
    assert "cma-256" in fault.remedy


def test_a_video_that_is_none_is_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "not.mp4"
    path.write_text("words")
    [fault] = faults(check_camera(CameraConfig(kind=CameraKind.FILE, path=path)))
    assert "not a video" in fault.message


def test_the_encoder_is_timed_at_the_configured_size() -> None:
    [finding] = check_encoder(CameraConfig(size=(320, 240), fps=5))
    assert "H.264 at 320 × 240 takes" in finding.message


def test_an_encoder_that_cannot_keep_up_is_said_before_frames_are_lost() -> None:
    [finding] = faults(check_encoder(CameraConfig(size=(3840, 2160), fps=60)))
    assert "Lower camera.size or camera.fps" in finding.remedy


def test_a_state_dir_that_is_a_file_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    [fault] = faults(check_disk(Configuration(device=DeviceConfig(state_dir=tmp_path / "state" / "vault"))))
    assert "is not a folder" in fault.message


def test_a_read_only_disk_names_the_likely_cause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    [fault] = faults(check_disk(Configuration(device=DeviceConfig(state_dir=tmp_path))))
    assert "read-only" in fault.remedy
    assert "dmesg" in fault.remedy


def test_a_disk_below_its_floor_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("usage", (), {"total": 100 * 10**9, "free": 10**9})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    monkeypatch.setattr(disk, "_write_and_sync", lambda _: 0.01)  # that this machine's own is slow would be one more
    [fault] = faults(
        check_disk(Configuration(device=DeviceConfig(state_dir=tmp_path), vault=VaultConfig(free_floor=0.05)))
    )
    assert "footage is not stored" in fault.message


def test_a_disk_that_takes_seconds_for_a_megabyte_is_poor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "_write_and_sync", lambda _: 2.5)
    [slow, _room] = check_disk(Configuration(device=DeviceConfig(state_dir=tmp_path)))
    assert slow.health is CheckStatus.POOR
    assert "took 2.5 s" in slow.message


@pytest.mark.parametrize(
    ("year", "quality", "health"),
    [
        (2027, ClockQuality.SYNCED, CheckStatus.FINE),
        (2027, ClockQuality.HELD, CheckStatus.POOR),
        (2027, ClockQuality.UNKNOWN, CheckStatus.POOR),
        (1970, ClockQuality.UNKNOWN, CheckStatus.BAD),
    ],
)
def test_the_clock_is_worth_what_vouches_for_it(year: int, quality: ClockQuality, health: CheckStatus) -> None:
    [finding] = check_clock(moment(year, quality))
    assert finding.health is health


# --- Panel and heat


@pytest.mark.parametrize(
    ("health", "subject", "words"),
    [
        (BoardHealth(), None, "reports no temperature"),
        (BoardHealth(temperature_c=51.0), None, "51 °C"),
        (BoardHealth(temperature_c=74.0), "heat", "reduces its work"),
        (BoardHealth(temperature_c=83.0), "heat", "slows the board down"),
        (BoardHealth(temperature_c=50.0, throttled=True), "heat", "slows the board down"),
        (BoardHealth(temperature_c=50.0, throttled_since_boot=True), "heat", "has been slowed"),
        (BoardHealth(temperature_c=50.0, under_voltage=True), "supply", "too weak"),
    ],
)
def test_heat_and_a_weak_supply_are_said_before_they_stop_anything(
    health: BoardHealth, subject: str | None, words: str
) -> None:
    configuration = Configuration(board=BoardConfig(profile=BoardName.ZERO_2_W))
    found = list(check_heat(configuration, health))
    assert [finding.subject for finding in faults(iter(found))] == ([subject] if subject else [])
    assert any(words in finding.message for finding in found)


def test_a_kernel_that_holds_no_limit_of_memory_is_said_with_the_line_to_add(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io pids\n")  # Raspberry Pi OS, as it comes
    [fault] = faults(iter([check_limits(tmp_path)]))
    assert fault.health is CheckStatus.POOR
    assert "swap" in fault.message
    assert "cgroup_enable=memory" in fault.remedy
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    assert check_limits(tmp_path).health is CheckStatus.FINE


def test_a_panel_whose_chip_or_library_is_missing_is_a_fault(tmp_path: Path) -> None:
    [without] = check_panel(None, {})
    [simulated] = check_panel(PanelConfig(), {})
    assert (without.health, simulated.health) == (CheckStatus.FINE, CheckStatus.FINE)
    [fault] = faults(check_panel(PanelConfig(backend=Backend.GPIOD, chip=tmp_path / "gpiochip0"), {}))
    assert "is not installed" in fault.message or "There is no" in fault.message


@pytest.mark.parametrize(
    ("said", "health", "words"),
    [
        ({"connected": True, "backend": "gpiod", "privacy": False}, CheckStatus.FINE, "privacy switch is off"),
        ({"connected": True, "backend": "gpiod", "open": True}, CheckStatus.POOR, "case is open"),
        ({"connected": False, "detail": "The bridge closed the connection."}, CheckStatus.BAD, "closed the connection"),
    ],
)
def test_a_running_doorbell_is_asked_about_its_panel(said: dict[str, object], health: CheckStatus, words: str) -> None:
    [finding] = check_panel(PanelConfig(), {"recorder": {"panel": said}})
    assert finding.health is health
    assert words in finding.message
    faults(iter([finding]))


def test_the_camera_of_a_running_doorbell_is_not_opened_a_second_time_but_asked_about(
    tmp_path: Path, tool: Callable[..., Any]
) -> None:
    path = tmp_path / "doorward.toml"
    camera = '[camera]\nkind = "scripted"\nsize = [320, 240]\n'
    path.write_text(
        f'[device]\nstate_dir = "{tmp_path / "state"}"\n{camera}[vault]\nfree_floor = 0.01\n'
        f'[object_detection]\nuse = "off"\n'
    )
    assert tool("init", "--config", path).status == 0
    configuration = load(path)
    solo = Solo(configuration, open_camera=lambda: ScriptedCamera(duration_s=600, size_px=(160, 96), paced=True))
    solo.start()
    filming = threading.Thread(target=solo.record)
    try:
        assert status_here(configuration) == {}  # no process uses the camera
        with DeviceLink(StateFolder(configuration.device.state_dir).control) as link:
            enrol(link, OwnerKeys.create(tmp_path / "owner"))
        filming.start()
        deadline = time.monotonic() + 30
        while solo.recorder.status().state not in ("watching", "recording"):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        seen = json.loads(tool("doctor", "--config", path, "--json").out)
    finally:
        solo.stop()
        filming.join()
        solo.close()
    [finding] = [each for each in seen["findings"] if each["subject"] == "camera"]
    assert finding["health"] == "fine"
    assert "The running doorbell " in finding["message"]


@pytest.mark.parametrize(
    ("kind", "detail", "health", "words"),
    [
        ("file", "The video 'a.mp4' has been played to its end.", "fine", "A file is played once, so this is normal."),
        ("file", "The video 'a.mp4' is gone.", "bad", "Read the output of 'doorward run'."),
        ("scripted", "The camera is lost.", "bad", "Read the output of 'doorward run'."),
    ],
)
def test_a_video_that_was_played_to_its_end_is_no_fault_and_a_lost_camera_is(
    tmp_path: Path, kind: str, detail: str, health: str, words: str
) -> None:
    path = tmp_path / "doorward.toml"
    extra = f'path = "{tmp_path}/a.mp4"\n' if kind == "file" else ""
    path.write_text(f'[device]\nstate_dir = "{tmp_path / "state"}"\n[camera]\nkind = "{kind}"\n{extra}')
    finding = camera_in_use({"recorder": {"state": "no camera", "detail": detail}}, load(path))
    assert finding is not None
    assert finding.health.value == health
    assert words in f"{finding.message} {finding.remedy}"


# --- The broker

DEVICE = "00112233445566ff"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[PrivateBroker, BrokerPki]]:
    pki = BrokerPki.create(tmp_path_factory.mktemp("broker"), NOW)
    with PrivateBroker(pki.directory) as broker:
        yield broker, pki


def configured(files: ClientFiles, port: int) -> BrokerConfig:
    return BrokerConfig(host="127.0.0.1", port=port, ca=files.authority, certificate=files.certificate, key=files.key)


@pytest.mark.broker
def test_a_broker_that_takes_our_certificate_is_well(running: tuple[PrivateBroker, BrokerPki]) -> None:
    broker, pki = running
    files = pki.add_device(DEVICE, NOW)
    findings = list(check_broker(configured(files, broker.device_port), NOW))
    assert [finding.health for finding in findings] == [CheckStatus.FINE] * 3
    assert [finding.subject for finding in findings] == ["certificate", "broker", "broker's certificate"]


@pytest.mark.broker
def test_looking_at_the_broker_does_not_end_the_session_of_the_doorbell_that_runs(tmp_path: Path) -> None:
    with contextlib.closing(BrokerWithClients(tmp_path)) as world:
        world.broker.start()
        bus = world.bus(DEVICE)
        bus.start()
        assert isinstance(bus.next_event(30), BusConnected)
        assert not faults(check_broker(configured(world.pki.client(DEVICE), world.broker.device_port), NOW))
        assert bus.publish(f"doorward/v1/up/anybody/{DEVICE}/x/0", b"still here", token=1)
        assert isinstance(bus.next_event(30), PublishAcknowledged | PublishRefused)


def test_a_broker_that_says_nothing_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker_check, "_SILENT_S", 0.3)
    pki = BrokerPki.create(tmp_path, NOW)
    with ScriptedPeer(pki.directory, lambda line: line.wait_for_end()) as peer:
        [fault] = faults(check_broker(configured(pki.add_device(DEVICE, NOW), peer.port), NOW))
    assert "does not answer" in fault.message


@pytest.mark.broker
def test_a_broker_that_refuses_our_certificate_is_a_fault(running: tuple[PrivateBroker, BrokerPki]) -> None:
    broker, pki = running
    files = add_requester(pki, "a-requester", NOW)
    *_, fault = faults(check_broker(configured(files, broker.device_port), NOW))
    assert fault.health is CheckStatus.BAD
    assert "refuses the certificate" in fault.message or mosquitto_version() <= OLD_MOSQUITTO


@pytest.mark.broker
def test_certificates_near_their_end_are_seen_before_it(running: tuple[PrivateBroker, BrokerPki]) -> None:
    broker, pki = running
    files = pki.add_device("00112233445566aa", NOW, days=10)
    [fault] = faults(check_broker(configured(files, broker.device_port), NOW))
    assert fault.health is CheckStatus.POOR
    assert "expires on" in fault.message
    assert "doorward link request" in (fault.remedy or "")
    late = NOW + datetime.timedelta(days=11)
    assert "expired on" in next(faults_in_order(configured(files, broker.device_port), late)).message


def faults_in_order(broker: BrokerConfig, now: datetime.datetime) -> Iterator[Finding]:
    return iter(faults(check_broker(broker, now)))


def test_a_broker_that_is_away_is_a_fault(tmp_path: Path) -> None:
    files = BrokerPki.create(tmp_path, NOW).add_device(DEVICE, NOW)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        [fault] = faults(check_broker(configured(files, unused.getsockname()[1]), NOW))
    assert "No program listens" in fault.message


def test_which_control_of_congestion_is_in_force_is_said_and_what_to_do_where_it_is_the_slow_one() -> None:
    assert (
        BusSettings.__dataclass_fields__["congestion"].default
        == inspect.signature(check_congestion_control).parameters["wanted"].default
    )
    there = Path("/proc/sys/net/ipv4/tcp_available_congestion_control").read_text().split()
    usual = check_congestion_control(there[0].encode())
    assert (usual.health, usual.message.split(":")[0]) == (CheckStatus.FINE, there[0])
    lacking = check_congestion_control(b"no-such-control")
    assert lacking.health is CheckStatus.POOR
    assert "modprobe tcp_bbr" in lacking.remedy


def test_a_key_that_others_can_read_is_said(tmp_path: Path) -> None:
    files = BrokerPki.create(tmp_path, NOW).add_device(DEVICE, NOW)
    files.key.chmod(0o644)
    found = faults(check_broker(configured(files, 1), NOW))
    assert f"chmod 600 {files.key}" in [finding.remedy for finding in found]


def test_a_missing_certificate_names_the_file(tmp_path: Path) -> None:
    missing = tmp_path / "ca.pem"
    [fault] = faults(check_broker(BrokerConfig(host="127.0.0.1", ca=missing, certificate=missing, key=missing), NOW))
    assert str(missing) in fault.message


def detection_findings(**more: Any) -> list[Finding]:
    return list(check_object_detection(Configuration(**more)))


def test_without_object_detection_there_is_no_fault_until_an_owner_relies_on_it(tmp_path: Path) -> None:
    [absent] = detection_findings(object_detection=ObjectDetectionConfig(models=tmp_path))
    assert (absent.health, "lacks objects.onnx in" in absent.message) == (CheckStatus.FINE, True)
    nowhere = ObjectDetectionConfig(use=ObjectDetectionUse.ON, models=tmp_path)
    [wanted] = faults(iter(detection_findings(object_detection=nowhere)))
    assert "make models" in wanted.remedy


def test_a_damaged_network_is_a_fault(tmp_path: Path) -> None:
    real_models()
    (tmp_path / "objects.onnx").write_bytes(b"ONNX")
    [found] = detection_findings(object_detection=ObjectDetectionConfig(use=ObjectDetectionUse.ON, models=tmp_path))
    assert (found.health, bool(found.remedy)) == (CheckStatus.BAD, True)


def test_networks_that_work_are_tried() -> None:
    real_models()
    [found] = detection_findings(object_detection=ObjectDetectionConfig(use=ObjectDetectionUse.ON))
    assert (found.health, "ms of one core" in found.message) == (CheckStatus.FINE, True)


def memory_of(tmp_path: Path, total_kib: int, camera: CameraConfig, **more: Any) -> list[Finding]:
    """On a Zero 2 W of that size, with object detection and the page."""
    (tmp_path / "meminfo").write_text(f"MemTotal:  {total_kib} kB\nMemFree:  17 kB\n")
    (tmp_path / "objects.onnx").touch()
    configuration = Configuration(
        camera=camera,
        board=BoardConfig(profile=BoardName.ZERO_2_W),
        object_detection=ObjectDetectionConfig(models=tmp_path),
        page=PageConfig(),
        **more,
    )
    return list(check_memory(configuration, tmp_path / "meminfo"))


LINUX_OF_512_MB = 416_000
"""In KiB: a Zero 2 W's 512 MB without what its firmware keeps."""


def test_the_defaults_with_labels_and_the_page_fit_into_512_mb(tmp_path: Path) -> None:
    for kind in (CameraKind.PI, CameraKind.USB):
        [found] = memory_of(tmp_path, LINUX_OF_512_MB, CameraConfig(kind=kind))
        assert (found.health, "of 425 MB" in found.message) == (CheckStatus.FINE, True)


@pytest.mark.parametrize(
    ("total_kib", "size", "fits"),
    [
        (LINUX_OF_512_MB, (3840, 2160), "This fits: camera.size = [1920, 1080]."),
        (353_000, (1920, 1080), "This fits: camera.size = [1280, 720]."),
        (310_000, (1280, 720), 'This fits: camera.size = [640, 360] and object_detection.use = "off".'),
        (200_000, (1280, 720), "Take a board with more memory"),
    ],
)
def test_a_doorbell_that_does_not_fit_is_refused_with_one_that_does(
    tmp_path: Path, total_kib: int, size: tuple[int, int], fits: str
) -> None:
    [refused] = memory_of(tmp_path, total_kib, CameraConfig(kind=CameraKind.USB, size=size))
    assert refused.health is CheckStatus.BAD
    assert refused.remedy.startswith(fits)


def test_each_part_of_a_doorbell_adds_its_memory() -> None:
    def needs(detects: bool = False, **parts: Any) -> int:
        return needed_mb(Configuration(**parts), board_named(BoardName.ZERO_2_W), detects=detects)

    least = needs(camera=CameraConfig(kind=CameraKind.USB, size=(640, 360)))
    assert least == 290
    assert needs(camera=CameraConfig(kind=CameraKind.USB, size=(1280, 720))) == least + 24
    assert needs(camera=CameraConfig(kind=CameraKind.PI, size=(1280, 720))) == least + 4, "the board encodes"
    assert needs(camera=CameraConfig(kind=CameraKind.RTSP, url="rtsp://a/", size=(3840, 2160))) == least + 100
    plain = CameraConfig(kind=CameraKind.USB, size=(640, 360))
    assert needs(camera=plain, detects=True) == least + 20
    assert needs(camera=plain, page=PageConfig()) == least + 25
    assert needs(camera=plain, clips=ClipsConfig(pre_roll_max_bytes=66_000_000)) == least + 50


def test_a_system_that_says_nothing_of_its_memory_is_not_judged(tmp_path: Path) -> None:
    assert list(check_memory(Configuration(), tmp_path / "meminfo")) == []


def test_only_a_doorbell_that_dropped_messages_has_a_finding_about_them() -> None:
    assert [dropped_messages(each) for each in ({}, {"messages_dropped": 0}, {"messages_dropped": "7"})] == [None] * 3
    found = dropped_messages({"messages_dropped": 7})
    assert found is not None
    assert found.health is CheckStatus.POOR
    assert "dropped 7 messages" in found.message
    assert "disk" in found.remedy


@pytest.mark.parametrize("broker", [True, False])
def test_the_doctor_tells_dropped_messages_of_a_doorbell_with_a_broker(
    broker: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "doorward.toml"
    path.write_text('[broker]\nhost = "b.example"\nca = "a"\ncertificate = "b"\nkey = "c"\n' if broker else "")
    monkeypatch.setattr(doctor_command, "status_here", lambda _configuration: {"messages_dropped": 7})
    monkeypatch.setattr(doctor_command, "_guarded", lambda *_: iter(()))
    assert ("messages" in [each.subject for each in doctor_command.examine(path)]) is broker
