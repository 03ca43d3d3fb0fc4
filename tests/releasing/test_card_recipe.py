"""The recipe of the card image: what it names is there, what it uses is declared, and an image holds no secret.

rpi-image-gen itself judges it in `tests/releasing/card_recipe.py`, where its source is at hand.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from agent.config import load
from tests.releasing.card_files import CARD, CONFIGURATIONS, LAYERS, declared, hooks, metadata
from tests.releasing.release_folders import ROOT

# isort: split
from installation.places import UNITS
from installation.versions import files_of

OVERLAY = ".rootfs-overlay"
TOOLS_OWN = {
    "image-rpios", "image-rota", "rpizero2w", "rpi4",
}  # fmt: skip
"""Layers of rpi-image-gen that the configurations name. `card_recipe.py` looks each of them up."""
WAYS_IN = re.compile(r"openssh|dropbear|telnet|rpi-connect|tailscale|raspi-config-ssh")
SYSTEM = CARD / "layer" / f"doorward-system-updates{OVERLAY}"
OUTDATED = SYSTEM / "usr/local/sbin/doorward-restart-outdated"
PERSISTENT = CARD / "layer" / f"doorward-slots{OVERLAY}" / "usr/local/sbin/doorward-persistent"


def document(path: Path) -> dict[str, dict[str, list[str]]]:
    found = yaml.safe_load(path.read_text())
    assert isinstance(found, dict), path
    return found


def layer(name: str) -> Path:
    return next(path for path in LAYERS if path.stem == name)


def scripts() -> list[tuple[str, str]]:
    """Returns every piece of shell of the recipe, with its place."""
    found = [(f"{path.stem}, hook {number}", text) for path in LAYERS
             for number, text in enumerate(hooks(document(path)))]  # fmt: skip
    programs = sorted([*PERSISTENT.parent.iterdir(), OUTDATED])
    return [*found, *((path.name, path.read_text()) for path in programs)]


@pytest.mark.parametrize("path", LAYERS, ids=lambda path: path.stem)
def test_a_layer_says_what_it_is_and_each_variable_what_it_may_be(path: Path) -> None:
    fields = metadata(path)
    assert fields["X-Env-Layer-Name"] == path.stem
    assert re.fullmatch(r"(0|[1-9]\d*)(\.(0|[1-9]\d*)){2}", fields["X-Env-Layer-Version"])
    assert fields["X-Env-Layer-Desc"]
    for variable in declared(path):
        name = variable.rpartition("_")[2]
        assert {f"X-Env-Var-{name}-{each}" for each in ("Desc", "Required", "Valid", "Set")} <= set(fields), variable


def test_every_variable_that_is_used_is_declared() -> None:
    known = set().union(*(declared(path) for path in LAYERS))
    assert known
    for path in LAYERS:
        used = set(re.findall(r"IGconf_[a-z]+_[a-z0-9_]+", path.read_text()))
        assert used <= known, path.name
    for path in CONFIGURATIONS:
        used = set(re.findall(r"IGconf_doorward_[a-z0-9_]+", path.read_text()))
        assert used <= known, path.name


def test_every_layer_and_file_that_is_named_is_there() -> None:
    ours = {path.stem for path in LAYERS}
    for path in CONFIGURATIONS:
        found = document(path)
        named = {found["device"]["layer"], found["image"]["layer"], *found["layer"].values()}  # type: ignore[call-overload, attr-defined]
        assert named <= ours | TOOLS_OWN, path.name
        assert set(found["layer"].values()) <= ours  # type: ignore[attr-defined]
    for path in LAYERS:
        for name in re.findall(r"\$\{DIRECTORY\}/(\S+)", path.read_text()):
            assert (path.parent / name).is_file(), name
    for overlay in (CARD / "layer").glob(f"*{OVERLAY}"):
        assert overlay.name.removesuffix(OVERLAY) in ours, "rpi-image-gen copies an overlay that has its layer's name"
        assert [each for each in overlay.rglob("*") if each.is_file()]


@pytest.mark.parametrize(("place", "text"), scripts(), ids=[place for place, _ in scripts()])
def test_every_piece_of_shell_is_right_as_far_as_a_linter_can_tell(place: str, text: str) -> None:
    assert subprocess.run(["sh", "-n"], input=text, text=True, capture_output=True).stderr == ""
    if shutil.which("shellcheck"):
        # The tool runs a hook with sh -c and the folder of the system as $1.
        head = "" if text.startswith("#!") else "#!/bin/sh\n"
        words = ["shellcheck", "--exclude=SC2154,SC1091", "-"]
        done = subprocess.run(words, input=head + text, text=True, capture_output=True)
        assert done.returncode == 0, f"{place}:\n{done.stdout}"


def test_the_card_s_first_configuration_opens_the_set_up_path_and_nothing_else() -> None:
    configuration = load(CARD / "layer" / "doorward.toml")
    assert configuration.page is not None
    assert configuration.page.setup_by_camera
    assert configuration.camera.kind.value == "pi"
    assert configuration.broker is None
    assert configuration.device.name == "doorward"


def test_a_card_has_no_way_in_over_the_network() -> None:
    for path in LAYERS:
        packages = document(path)["mmdebstrap"].get("packages", [])
        assert not [name for name in packages if WAYS_IN.search(name)], path.name
        requires = metadata(path).get("X-Env-Layer-Requires", "").split(",")
        # trixie-minbase, the tool's usual base, brings openssh-server.
        assert not {each.strip() for each in requires} & {"openssh-server", "trixie-minbase", "rpi-connect-lite"}
    settings = yaml.safe_load((CARD / "layer" / f"doorward-cloud-init{OVERLAY}"
                               / "etc/cloud/cloud.cfg.d/99-doorward.cfg").read_text())  # fmt: skip
    assert settings["datasource_list"] == ["NoCloud"]
    assert settings["ssh_genkeytypes"] == []
    assert settings["ssh_pwauth"] is False


def cleanup_of(name: str) -> str:
    return "\n".join(document(layer(name))["mmdebstrap"]["cleanup-hooks"])


@pytest.mark.parametrize(
    "left", ["var/lib/doorward/custodian/device.key", "var/lib/doorward/custodian/page", "etc/doorward/owned",
             "usr/sbin/sshd"],
)  # fmt: skip
def test_the_recipe_stops_at_an_image_with_a_secret_or_a_way_in(left: str, tmp_path: Path) -> None:
    wants = tmp_path / "etc/systemd/system/doorward.target.wants"
    wants.mkdir(parents=True)
    for unit in ("doorward-device-key.service", "doorward-join.path"):
        (wants / unit).symlink_to("/opt/doorward")
    words = ["sh", "-c", cleanup_of("doorward-card"), "sh", str(tmp_path)]
    assert subprocess.run(words, capture_output=True).returncode == 0
    (tmp_path / left).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / left).touch()
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 1
    assert left in done.stderr


def test_the_recipe_stops_if_the_first_start_would_make_no_key(tmp_path: Path) -> None:
    words = ["sh", "-c", cleanup_of("doorward-card"), "sh", str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 1
    assert "doorward-device-key.service does not start" in done.stderr


def test_the_memory_controller_is_on_and_the_line_stays_one_line(tmp_path: Path) -> None:
    (tmp_path / "boot/firmware").mkdir(parents=True)
    line = tmp_path / "boot/firmware/cmdline.txt"
    line.write_text("console=tty1 root=ROOTDEV rootwait\n")
    hook = next(text for text in hooks(document(layer("doorward-card"))) if "cmdline.txt" in text)
    subprocess.run(["sh", "-c", hook, "sh", str(tmp_path)], check=True)
    assert line.read_text() == "console=tty1 root=ROOTDEV rootwait cgroup_enable=memory\n"


def test_a_card_keeps_no_source_of_doorward_for_apt(tmp_path: Path) -> None:
    """apt is content with one signature. A card with automatic updates of Debian could take what its thief signs."""
    hook = next(text for text in hooks(document(layer("doorward-card"))) if "apt-get install" in text)
    tools, image = tmp_path / "bin", tmp_path / "image"
    for folder in (tools, image / "etc/apt/sources.list.d"):
        folder.mkdir(parents=True)
    (tools / "chroot").write_text(f'#!/bin/sh\nls "$1/etc/apt/sources.list.d" >> {tmp_path}/seen\n')
    (tools / "chroot").chmod(0o755)
    (tmp_path / "doorward.sources").write_text("Types: deb\n")
    environment = os.environ | {
        "PATH": f"{tools}:{os.environ['PATH']}", "IGconf_doorward_sources": str(tmp_path / "doorward.sources"),
    }  # fmt: skip
    subprocess.run(["sh", "-c", hook, "sh", str(image)], env=environment, check=True)
    assert (tmp_path / "seen").read_text().splitlines()[:2] == ["doorward.sources"] * 2, "it is built with it"
    assert list((image / "etc/apt/sources.list.d").iterdir()) == []


def test_only_debian_s_own_updates_install_themselves_on_a_card() -> None:
    found = document(CARD / "config" / "doorward-card.yaml")["layer"]
    assert "doorward-system-updates" in found.values()  # type: ignore[attr-defined]
    assert "unattended-upgrades" in document(layer("doorward-system-updates"))["mmdebstrap"]["packages"]
    text = (SYSTEM / "etc/apt/apt.conf.d/60doorward").read_text()
    origins = re.search(r"#clear Unattended-Upgrade::Origins-Pattern;.*?Origins-Pattern \{(.*?)\};", text, re.DOTALL)
    assert origins is not None, "Debian's own list is cleared first"
    assert re.findall(r'"([^"]*)"', origins[1]) == [
        "origin=Debian,label=Debian,codename=${distro_codename},site=deb.debian.org",
        "origin=Debian,label=Debian-Security,codename=${distro_codename}-security,site=deb.debian.org",
    ]
    assert 'Unattended-Upgrade::Automatic-Reboot "false";' in text


@pytest.mark.parametrize("outdated", [(), ("uplink",), ("uplink", "custodian", "recorder", "bridge")])
def test_a_role_that_still_runs_a_replaced_library_is_restarted_and_no_other(
    tmp_path: Path, outdated: tuple[str, ...]
) -> None:
    roles = ("uplink", "custodian", "recorder", "bridge")
    for pid, role in enumerate(roles, 1):
        (tmp_path / str(pid)).mkdir()
        gone = " (deleted)" if role in outdated else ""
        library = f"7f0-7f1 r-xp 00000000 fe:00 1 /usr/lib/libssl.so.3{gone}\n"
        (tmp_path / str(pid) / "maps").write_text(f"{library}7f2-7f3 rw-s 00000000 00:01 2 /memfd:x (deleted)\n")
    ask = '"show --value -p MainPID doorward-'
    cases = "".join(f'{ask}{role}.service") echo {pid} ;;\n' for pid, role in enumerate(roles, 1))
    systemctl = tmp_path / "systemctl"
    systemctl.write_text(f'#!/bin/sh\ncase "$*" in\n{cases}*) echo "$*" >> {tmp_path}/asked ;;\nesac\n')
    systemctl.chmod(0o755)
    (tmp_path / "asked").touch()
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run(["sh", str(OUTDATED), str(tmp_path)], env=environment, check=True)
    wanted = [f"try-restart doorward-{each}.service" for each in outdated]
    assert (tmp_path / "asked").read_text().splitlines() == wanted
    systemctl.write_text('#!/bin/sh\ncase "$1" in show) echo 0 ;; *) exit 1 ;; esac\n')
    subprocess.run(["sh", str(OUTDATED), str(tmp_path)], env=environment, check=True)  # without a role that runs


def test_a_doorbell_with_an_owner_runs_nothing_from_the_boot_partition() -> None:
    dropin = CARD / "layer" / f"doorward-cloud-init{OVERLAY}" / "etc/systemd/system/cloud-.service.d/10-doorward.conf"
    assert "\nConditionPathExists=!/etc/doorward/owned\n" in dropin.read_text()


def number(system: Path, **users: int) -> None:
    """Each user has a group of the same name and number."""
    lines = {"passwd": "doorward-{0}:x:{1}:{1}::/:/x\n", "group": "doorward-{0}:x:{1}:\n"}
    for name, line in lines.items():
        (system / "etc" / name).write_text("root:x:0:0\n" + "".join(line.format(*each) for each in users.items()))


def install(system: Path, version: str, python: str, units: Sequence[str] = ("doorward.target",)) -> None:
    """A system with a version of Doorward, made with its Python, and with the links of its units."""
    add_version(system, version, python, units)
    (system / "opt/doorward/current").symlink_to(f"versions/{version}")
    (system / "usr/bin").mkdir(parents=True)
    (system / "usr/bin/python3").symlink_to(python)
    (system / "etc/systemd/system").mkdir(parents=True, exist_ok=True)
    for unit in units:
        (system / "etc/systemd/system" / unit).symlink_to(f"/opt/doorward/current/app/systemd/{unit}")


def add_version(top: Path, version: str, python: str, units: Sequence[str] = ("doorward.target",)) -> None:
    folder = top / "opt/doorward/versions" / version
    (folder / "venv/lib" / python).mkdir(parents=True)
    (folder / "app/systemd").mkdir(parents=True)
    for unit in units:
        (folder / "app/systemd" / unit).touch()
    (folder / "complete").touch()


def point(top: Path, **links: str) -> None:
    for name, version in links.items():
        link = top / "opt/doorward" / name
        link.unlink(missing_ok=True)
        link.symlink_to(f"versions/{version}")


def pointed(top: Path) -> tuple[str, str]:
    """Returns the version that runs, and the one before."""
    return (top / "opt/doorward/current").readlink().name, (top / "opt/doorward/previous").readlink().name


@pytest.fixture
def slots(tmp_path: Path) -> tuple[Path, Path, dict[str, str]]:
    """A system with our folders, an empty persistent partition, and a `mount` that only notes what it is asked."""
    system, persistent, tools = tmp_path / "system", tmp_path / "persistent", tmp_path / "bin"
    for folder in ("etc/doorward", "var/lib/doorward/vault"):
        (system / folder).mkdir(parents=True)
    install(system, "1", "python3.13")
    persistent.mkdir()
    tools.mkdir()
    (system / "etc/doorward/doorward.toml").write_text("of the image\n")
    number(system, recorder=990, custodian=991)
    (tools / "mount").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/mounted\n')
    (tools / "mount").chmod(0o755)
    return system, persistent, {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}


def test_a_read_only_system_keeps_what_its_owner_changed_and_later_versions(
    slots: tuple[Path, Path, dict[str, str]],
) -> None:
    system, persistent, environment = slots
    words = ["sh", str(PERSISTENT), str(persistent), str(system)]
    subprocess.run(words, env=environment, check=True)
    kept = persistent / "doorward"
    assert (kept / "opt/doorward/current").readlink() == Path("versions/1")
    (kept / "etc/doorward/doorward.toml").write_text("of the owner\n")
    add_version(kept, "2", "python3.13")
    point(kept, current="2")
    subprocess.run(words, env=environment, check=True)  # the next start, perhaps from the other slot
    assert (kept / "etc/doorward/doorward.toml").read_text() == "of the owner\n"
    assert (kept / "opt/doorward/current").readlink() == Path("versions/2")
    mounted = (persistent.parent / "mounted").read_text().splitlines()
    assert mounted == 2 * [f"--bind {kept}/{name} {system}/{name}"
                           for name in ("opt/doorward", "etc/doorward", "var/lib/doorward")]  # fmt: skip


@pytest.mark.parametrize(
    ("python", "links"),
    [
        ("python3.14", ("doorward.target", "doorward-more.timer")),  # another Debian: no package would be found
        ("python3.13", ("doorward.target",)),  # an image from before that unit
    ],
)
def test_a_version_that_does_not_fit_a_slot_makes_way_there_and_is_back_with_its_own_slot(
    python: str, links: tuple[str, ...], slots: tuple[Path, Path, dict[str, str]]
) -> None:
    """Without it the doorbell would be off in the other slot, and no update could reach it."""
    a, persistent, environment = slots
    b, kept = a.with_name("b"), persistent / "doorward"
    number(a, recorder=990)
    subprocess.run(["sh", str(PERSISTENT), str(persistent), str(a)], env=environment, check=True)
    units = ("doorward.target", "doorward-more.timer")
    add_version(kept, "2", "python3.13", units)
    (a / "etc/systemd/system/doorward-more.timer").symlink_to("/opt/doorward/current/app/systemd/doorward-more.timer")
    point(kept, current="2", previous="1")
    for folder in ("etc/doorward", "var/lib/doorward"):
        (b / folder).mkdir(parents=True)
    number(b, recorder=990)
    install(b, "3", python, links)
    if python == "python3.13":
        shutil.rmtree(kept / "opt/doorward/versions/1")  # it would fit
    for _ in range(2):
        done = subprocess.run(
            ["sh", str(PERSISTENT), str(persistent), str(b)],
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        )
        assert pointed(kept) == ("3", "2")
        assert (kept / "opt/doorward/versions/3/complete").exists()
    assert done.stderr == "", "said once"
    for _ in range(2):
        subprocess.run(["sh", str(PERSISTENT), str(persistent), str(a)], env=environment, check=True)
        assert pointed(kept) == ("2", "1" if python == "python3.14" else "3"), "and the way back is the one of before"
    # An update that is installed meanwhile is kept, also if the version of the other slot made way.
    subprocess.run(["sh", str(PERSISTENT), str(persistent), str(b)], env=environment, check=True)
    add_version(kept, "4", python, links)
    point(kept, current="4", previous="3")
    shutil.rmtree(kept / "opt/doorward/versions/2")
    subprocess.run(["sh", str(PERSISTENT), str(persistent), str(b)], env=environment, check=True)
    assert pointed(kept) == ("4", "3")


def test_a_full_partition_keeps_the_version_and_binds_the_folders(slots: tuple[Path, Path, dict[str, str]]) -> None:
    system, persistent, environment = slots
    words = ["sh", str(PERSISTENT), str(persistent), str(system)]
    subprocess.run(words, env=environment, check=True)
    kept = persistent / "doorward"
    (kept / "opt/doorward/versions/1").rename(kept / "opt/doorward/versions/0")
    point(kept, current="0")
    shutil.rmtree(kept / "opt/doorward/versions/0/venv")
    full = Path(environment["PATH"].partition(":")[0]) / "cp"
    full.write_text("#!/bin/sh\nexit 1\n")
    full.chmod(0o755)
    (persistent.parent / "mounted").unlink()
    subprocess.run(words, env=environment, check=True)
    assert (kept / "opt/doorward/current").readlink() == Path("versions/0")
    assert not (kept / "opt/doorward/versions/1").exists(), "no half version"
    assert len((persistent.parent / "mounted").read_text().splitlines()) == 3


def test_a_version_fits_a_slot_by_the_units_that_the_installer_links() -> None:
    """With a file of a unit that no installer links, no version would fit, and each start would take the image's."""
    assert {path.name for path in (ROOT / "systemd").glob("doorward*.*")} == set(UNITS)


def test_a_cut_in_the_first_copy_leaves_no_half_folder(slots: tuple[Path, Path, dict[str, str]]) -> None:
    system, persistent, environment = slots
    half = persistent / "doorward/etc/doorward.making"
    half.mkdir(parents=True)
    (half / "stray").touch()
    subprocess.run(["sh", str(PERSISTENT), str(persistent), str(system)], env=environment, check=True)
    assert [path.name for path in (persistent / "doorward/etc/doorward").iterdir()] == ["doorward.toml"]
    assert not half.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_slot_that_numbers_our_users_otherwise_gets_their_files_also_after_a_cut_at_any_step(
    slots: tuple[Path, Path, dict[str, str]],
) -> None:
    """Two users exchange their numbers, as after a new Debian: the custodian could not read the device's key."""
    system, persistent, environment = slots
    tools = Path(environment["PATH"].partition(":")[0])
    words = ["sh", str(PERSISTENT), str(persistent), str(system)]
    vault = persistent / "doorward/var/lib/doorward/vault"
    steps, real = tools.parent / "steps", shutil.which("find")
    (tools / "find").write_text(f"""#!/bin/sh
left=$(($(cat {steps}) - 1)); echo $left > {steps}
[ $left -ge 0 ] || exit 1
exec {real} "$@"
""")
    (tools / "find").chmod(0o755)
    steps.write_text("99\n")
    subprocess.run(words, env=environment, check=True)
    now = {"recorder": 990, "custodian": 991}
    for name, owner in now.items():
        (vault / name).touch()
        os.chown(vault / name, owner, owner)
    for cut in range(9):
        now = {"recorder": now["custodian"], "custodian": now["recorder"]}
        number(system, **now)
        steps.write_text(f"{cut}\n")
        done = subprocess.run(words, env=environment)
        assert (done.returncode == 0) == (cut == 8), cut
        steps.write_text("99\n")
        subprocess.run(words, env=environment, check=True)
        for name, owner in now.items():
            found = (vault / name).stat()
            assert (found.st_uid, found.st_gid) == (owner, owner), (cut, name)
        assert not (persistent / "doorward/ids.apart").exists()


def test_every_unit_of_the_slots_is_switched_on() -> None:
    units = {path.stem for path in (PERSISTENT.parents[3] / "etc/systemd/system").glob("*.service")}
    hook = "\n".join(document(layer("doorward-slots"))["mmdebstrap"]["customize-hooks"])
    assert set(hook.partition('enable-units" "$1" ')[2].split()) == units
    for unit in units:
        text = (PERSISTENT.parents[3] / f"etc/systemd/system/{unit}.service").read_text()
        assert "\n[Install]\nWantedBy=" in text
        for program in re.findall(r"(?m)^ExecStart=(/usr/local/sbin/\S+)", text):
            assert os.access(PERSISTENT.parents[3] / program[1:], os.X_OK)


@pytest.mark.parametrize(("status", "well"), [(0, True), (1, True), (2, False)])
def test_the_persistent_partition_grows_to_the_card(tmp_path: Path, status: int, well: bool) -> None:
    """A card of 64 GB had 4 GB for footage and versions, too few for an update. growpart says 1 if nothing grows."""
    part = tmp_path / "sys/devices/platform/mmcblk0/mmcblk0p6"
    names = tmp_path / "sys/class/block"
    for folder in (part, names, tmp_path / "bin"):
        folder.mkdir(parents=True)
    (names / part.name).symlink_to(part)
    (part / "partition").write_text("6\n")
    for name, ends in (("growpart", status), ("resize2fs", 0)):
        tool = tmp_path / "bin" / name
        tool.write_text(f'#!/bin/sh\necho "{name} $*" >> {tmp_path}/called\nexit {ends}\n')
        tool.chmod(0o755)
    (tmp_path / "by-slot").symlink_to(f"/dev/{part.name}")
    words = ["sh", str(PERSISTENT.with_name("doorward-grow")), str(tmp_path / "by-slot"), str(tmp_path)]
    done = subprocess.run(words, env={**os.environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}"})
    assert (done.returncode == 0) == well
    called = ["growpart /dev/mmcblk0 6", "resize2fs /dev/mmcblk0p6"]
    assert (tmp_path / "called").read_text().splitlines() == called[: 1 + well]


def test_an_image_keeps_nothing_of_the_computer_that_builds_it(tmp_path: Path) -> None:
    """Its name servers, which a read-only system would ask for ever, and the modes of a checkout with strict umask."""
    folders = {each.parent.relative_to(overlay) for overlay in (CARD / "layer").glob(f"*{OVERLAY}")
               for each in overlay.rglob("*") if each.is_file()}  # fmt: skip
    for folder in folders:
        (tmp_path / folder).mkdir(mode=0o700, parents=True, exist_ok=True)
    (tmp_path / "etc/resolv.conf").write_text("nameserver 192.0.2.1\n")
    for hook in document(layer("doorward-card"))["mmdebstrap"]["cleanup-hooks"][1:]:
        subprocess.run(["sh", "-c", hook, "sh", str(tmp_path)], check=True)
    for folder in folders:
        for each in (folder, *folder.parents):
            assert (tmp_path / each).stat().st_mode & 0o777 == 0o755, each
    assert (tmp_path / "etc/resolv.conf").readlink() == Path("/run/NetworkManager/resolv.conf")


def test_camera_and_panel_can_open_their_devices_on_a_card() -> None:
    """Debian's udev leaves both to root; Raspberry Pi OS has rules in a package that a card lacks."""
    rules = (CARD / "layer" / f"doorward-card{OVERLAY}" / "usr/lib/udev/rules.d/60-doorward.rules").read_text()
    users = (ROOT / "systemd/sysusers.d/doorward.conf").read_text()
    for role, unit, device, group in (
        ("recorder", "DeviceAllow=char-dma_heap rw", 'SUBSYSTEM=="dma_heap"', "video"),
        ("bridge", "DeviceAllow=char-gpiochip rw", 'SUBSYSTEM=="gpio"', "gpio"),
    ):
        assert re.search(rf'(?m)^{re.escape(device)},.* GROUP="{group}", MODE="0660"$', rules)
        assert re.search(rf"(?m)^m doorward-{role} +{group}$", users)
        assert unit in (ROOT / f"systemd/doorward-{role}.service").read_text()
    # raspi-config and netplan set the Wi-Fi's country with it, and only recommend it.
    assert "iw" in document(layer("doorward-card"))["mmdebstrap"]["packages"]


def test_the_recipe_stays_out_of_what_a_doorbell_installs() -> None:
    assert not [path for path in files_of(ROOT) if "card" in path.parts]


def test_the_units_of_a_later_version_are_read_before_anything_of_it_starts() -> None:
    """systemd reads /etc/systemd/system/doorward-* before /opt/doorward is bound, so it has those of the image."""
    units = PERSISTENT.parents[3] / "etc/systemd/system"
    reload = (units / "doorward-reload.service").read_text()
    assert "\nAfter=doorward-persistent.service local-fs.target\n" in reload
    assert "\nBefore=sysinit.target\n" in reload, "the others start after it"
    assert "\nExecStart=/usr/bin/systemctl daemon-reload\n" in reload
