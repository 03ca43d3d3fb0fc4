"""The self-test opens the configured camera when asked to, and says what to do about one that gives nothing."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.cli.conftest import Seen


def configured(tmp_path: Path, camera: str) -> Path:
    path = tmp_path / "doorward.toml"
    path.write_text(f'[device]\nstate_dir = "{tmp_path / "state"}"\n[camera]\n{camera}\n')
    return path


def test_a_camera_that_gives_pictures_passes(tmp_path: Path, tool: Callable[..., Seen]) -> None:
    seen = tool("self-test", "--camera", "--config", configured(tmp_path, 'kind = "scripted"'))
    assert seen.status == 0
    assert "A drawn scene" in seen.out


def test_a_camera_that_is_not_there_fails_with_a_remedy(tmp_path: Path, tool: Callable[..., Seen]) -> None:
    camera = 'kind = "usb"\ndevice = "/dev/video-that-is-not-there"'
    seen = tool("self-test", "--camera", "--config", configured(tmp_path, camera))
    assert seen.status == 1
    assert "The camera: There is no /dev/video-that-is-not-there." in seen.out
    assert "What to do:" in seen.out


@pytest.mark.skipif(find_spec("picamera2") is not None, reason="this environment sees picamera2")
def test_a_pi_camera_without_picamera2_sends_to_the_installer(tmp_path: Path, tool: Callable[..., Seen]) -> None:
    seen = tool("self-test", "--camera", "--config", configured(tmp_path, 'kind = "pi"'))
    assert seen.status == 1
    assert "picamera2 is not here" in seen.out
    assert "sudo make install again" in seen.out


@pytest.mark.parametrize(("words", "code"), [((), 0), (("--opened",), 1)])
def test_an_installer_that_stopped_the_recorder_has_the_camera_opened(
    tmp_path: Path, tool: Callable[..., Seen], monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], code: int
) -> None:
    """The custodian knows the last report of a recorder that was stopped for 20 s, so any version would pass."""
    running = {"owners": ["a"], "recorder": {"state": "watching", "frames": 9}}
    monkeypatch.setattr("agent.cli.checks.running.status_here", lambda _: running)
    camera = 'kind = "usb"\ndevice = "/dev/video-that-is-not-there"'
    seen = tool("self-test", "--camera", *words, "--config", configured(tmp_path, camera))
    assert seen.status == code, seen.out
