"""The installer asks libcamera for cameras, brings picamera2 for a Pi camera, and builds again on what has changed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from installation import __main__ as installer
from installation import camera, environment
from installation.words import FailedError

LISTED = """\
Available cameras
-----------------
0 : imx708 [4608x2592 10-bit RGGB] (/base/axi/pcie@120000/rp1/i2c@88000/imx708@1a)
    Modes: 'SRGGB10_CSI2P' : 1536x864 [120.13 fps - (768, 432)/3072x1728 crop]
1 : HD Webcam [640x480] (/base/axi/pcie@120000/rp1/usb@200000-1:1.0-046d:0825)
"""
PYTHON = """\
#!/bin/sh
case "$3" in
*libcamera*) [ -f "{here}/library" ] && cat "{here}/library" ;;
*picamera2*numpy* | *numpy*picamera2*) [ -f "{here}/picamera2" ] && cat "{here}/picamera2" || echo ;;
*picamera2*) [ -f "{here}/picamera2" ] ;;
*) cat "{here}/version" ;;
esac
"""
APT = """\
#!/bin/sh
echo "$*" >> "{here}/apt.log"
case "$*" in *install*) [ -f "{here}/repository" ] && echo 2.2.4 > "{here}/picamera2" ;; esac
"""


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A system with a separate Python and apt; files in it list its packages."""
    for name, text in (("python3", PYTHON), ("apt-get", APT)):
        (tmp_path / name).write_text(text.replace("{here}", str(tmp_path)))
        (tmp_path / name).chmod(0o755)
    (tmp_path / "version").write_text("cpython-311-aarch64-linux-gnu\n")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("DPKG_MAINTSCRIPT_NAME", raising=False)
    monkeypatch.setattr(camera, "_PYTHON", str(tmp_path / "python3"))
    monkeypatch.setattr(environment, "PYTHON", str(tmp_path / "python3"))
    return tmp_path


def test_a_ribbon_camera_is_found_by_libcameras_tool_and_a_webcam_is_none(system: Path) -> None:
    (system / "rpicam-hello").write_text(f"#!/bin/sh\ncat <<END\n{LISTED}END\n")
    (system / "rpicam-hello").chmod(0o755)
    assert camera.pi_cameras() == ("/base/axi/pcie@120000/rp1/i2c@88000/imx708@1a",)


def test_a_ribbon_camera_is_found_by_libcameras_binding(system: Path) -> None:
    (system / "library").write_text('["/base/soc/i2c0mux/i2c@1/ov5647@36", "\\\\_SB_.PCI0.XHC_-usb-1:1.0"]\n')
    assert camera.pi_cameras() == ("/base/soc/i2c0mux/i2c@1/ov5647@36",)


def test_without_libcamera_there_is_no_ribbon_camera(system: Path) -> None:
    assert camera.pi_cameras() == ()


@pytest.mark.parametrize(
    ("text", "kind"),
    [('[camera]\nkind = "pi"\n', "pi"), ("[camera]\n", None), ("[camera", None), ("camera = 3", None), ("", None)],
)
def test_the_camera_that_is_configured_decides(text: str, kind: str | None) -> None:
    assert camera.configured_kind(text) == kind


def test_picamera2_is_installed_when_the_camera_is_a_pi_camera(system: Path) -> None:
    (system / "repository").touch()
    camera.install_packages("pi")
    assert "install -y --no-install-recommends python3-picamera2" in (system / "apt.log").read_text()
    camera.install_packages("pi")
    assert len((system / "apt.log").read_text().splitlines()) == 1, "asked for once"


@pytest.mark.parametrize("kind", ["usb", "rtsp", "scripted", None])
def test_nothing_is_installed_for_another_camera(system: Path, kind: str | None) -> None:
    camera.install_packages(kind)
    assert not (system / "apt.log").exists()


def test_where_there_is_no_picamera2_the_installer_says_what_to_do(system: Path) -> None:
    with pytest.raises(FailedError) as failed:
        camera.install_packages("pi")
    assert "Raspberry Pi OS" in failed.value.remedy
    assert ["update" in line for line in (system / "apt.log").read_text().splitlines()] == [False, True, False]


def test_inside_of_dpkg_apt_is_not_called(system: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DPKG_MAINTSCRIPT_NAME", "postinst")
    camera.install_packages("pi")
    assert not (system / "apt.log").exists()


def test_an_environment_is_another_version_once_what_it_rests_on_has_changed(system: Path) -> None:
    """So the second run of the installer builds it, beside the one that runs, and the remedy of the doctor helps."""
    source = Path(__file__).resolve().parents[2]
    bare = installer._name_of(source)
    assert installer._name_of(source) == bare
    (system / "picamera2").write_text("2.2.4\n")
    with_camera = installer._name_of(source)
    (system / "version").write_text("cpython-313-aarch64-linux-gnu\n")
    assert len({bare, with_camera, installer._name_of(source)}) == 3
