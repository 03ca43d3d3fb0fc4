"""A new version on trial: watched, also after a power cut, by the version before, which comes back if need be."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from installation import __main__ as installer  # noqa: E402
from installation import system as system_module  # noqa: E402
from installation.integrity import keep_hashes  # noqa: E402
from installation.places import ENABLED, UNITS, Places  # noqa: E402
from installation.system import System  # noqa: E402
from installation.versions import Versions, numbers_of  # noqa: E402
from installation.words import FailedError, UnfitError  # noqa: E402
from installation.words import run as run_program  # noqa: E402

from agent.cli.frame import EXIT_STATUS  # noqa: E402
from agent.errors import StorageError  # noqa: E402


class Machine:
    """Stands for `System`: its services are well or not, and it says what was done to it."""

    def __init__(self, *, well: bool = True, films: bool = True) -> None:
        self.well = well
        self.films = films
        self.alive = True
        self.is_image = False
        self.done: list[str] = []
        self.lacks = ""

    def prepare(self) -> None:
        self.done.append("prepare")

    def apply_options(self) -> None:
        self.done.append("options")

    def require_system(self, version: Path) -> None:
        if self.lacks:
            raise FailedError(f"{version.name} needs {self.lacks}.", "Build a card.")

    def start(self, *, is_way_back: bool = False) -> None:
        self.done.append("start")

    def bring_to(self, version: Path) -> None:
        self.done.append(f"bring to {version.name}")

    def make_device(self) -> None:
        self.done.append("device")

    def start_guard(self) -> None:
        self.done.append("guard on")

    def stop_guard(self) -> None:
        self.done.append("guard off")

    def is_healthy(self, *, settled: bool = False, films: bool = False) -> bool:
        self.done.append("settled" if settled else "look")
        return self.well and (self.films or not films)

    @contextmanager
    def without_recorder(self) -> Iterator[None]:
        self.done.append("recorder off")
        yield
        self.done.append("recorder on")


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """Version "new" runs on trial, after "old"."""
    places = Places(tmp_path / "root")
    places.versions.mkdir(parents=True)
    source = tmp_path / "source"
    (source / "agent").mkdir(parents=True)
    (source / "agent" / "__init__.py").write_text('__version__ = "1"\n')
    versions = Versions(places)
    for name in ("old", "new"):
        versions.begin(name, source)
        keep_hashes(versions.folder(name))
        versions.complete(name)
    versions.switch("old")
    versions.begin_trial("new")
    versions.switch("new")
    return places


def make_new(places: Places) -> Callable[..., None]:
    def make(versions: Versions, name: str, *_: object, **__: object) -> None:
        versions.begin(name, places.root.parent / "source")
        keep_hashes(versions.folder(name))
        versions.complete(name)

    return make


def judged(places: Places, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(installer, "System", lambda _: machine)
    monkeypatch.setattr(installer, "_show_journal", lambda: None)
    return installer.judge(places)


def test_after_a_power_cut_a_version_that_runs_well_stays(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine()
    assert judged(places, machine, monkeypatch) == 0
    assert (Versions(places).current(), Versions(places).trial()) == ("new", None)
    assert machine.done == ["settled"]
    assert judged(places, Machine(well=False), monkeypatch) == 0, "there is no trial any more"
    assert Versions(places).current() == "new"


def test_after_a_power_cut_a_version_that_fails_goes_and_the_one_before_runs(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(well=False)
    assert judged(places, machine, monkeypatch) == 3
    versions = Versions(places)
    assert (versions.current(), versions.trial(), versions.folder("new").exists()) == ("old", None, False)
    assert machine.done[:4] == ["settled", "prepare", "options", "start"]


def test_a_version_that_takes_the_board_down_twice_gets_no_third_chance(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        Versions(places).count_boot()  # … and the power goes before it was judged
    machine = Machine()
    assert judged(places, machine, monkeypatch) == 3
    assert Versions(places).current() == "old"
    assert "settled" not in machine.done


def test_a_cut_before_the_switch_leaves_the_old_version_and_no_trial(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = Versions(places)
    versions.roll_back()
    assert judged(places, Machine(well=False), monkeypatch) == 0
    assert (versions.current(), versions.trial()) == ("old", None)


def test_a_damaged_trial_counts_as_none(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    places.trial.write_text("new\n")
    assert Versions(places).trial() is None
    assert Versions(places).count_boot() == 0
    assert judged(places, Machine(well=False), monkeypatch) == 0


@pytest.mark.parametrize(("old", "new", "refused"), [(True, True, False), (True, False, True), (False, False, False)])
def test_a_version_is_refused_only_if_the_running_one_gets_pictures_and_it_does_not(
    places: Places, monkeypatch: pytest.MonkeyPatch, old: bool, new: bool, refused: bool
) -> None:
    versions, machine = Versions(places), Machine()
    versions.roll_back()
    works = {"old": old, "new": new}
    monkeypatch.setattr(installer, "_camera_works", lambda folder, _: works[folder.name])
    if refused:
        with pytest.raises(UnfitError, match="gets no pictures"):
            installer._compare_cameras(versions, machine, "new", places)  # type: ignore[arg-type]
    else:
        installer._compare_cameras(versions, machine, "new", places)  # type: ignore[arg-type]
    assert machine.done == ["recorder off", "recorder on"]
    assert versions.folder("new").exists(), "the caller knows if it was just made"
    assert versions.current() == "old"


def test_a_camera_that_is_busy_at_the_first_try_refuses_no_version(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions, tries = Versions(places), []
    versions.roll_back()

    def camera_works(folder: Path, _: Places) -> bool:
        tries.append(folder.name)
        return len(tries) > 1

    monkeypatch.setattr(installer, "_camera_works", camera_works)
    assert installer._compare_cameras(versions, Machine(), "new", places)  # type: ignore[arg-type]
    assert tries == ["new", "old", "new"]


def test_the_camera_is_opened_for_each_version_and_no_running_doorbell_is_asked(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def run(words: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        asked.append(words)
        return subprocess.CompletedProcess(words, 0, "", "")

    monkeypatch.setattr(installer.subprocess, "run", run)
    assert installer._camera_works(places.versions / "new", places)
    assert asked[0][1:4] == ["self-test", "--camera", "--opened"]


def test_a_version_that_cannot_read_the_configuration_goes_back_at_once(
    places: Places, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    versions = Versions(places)
    versions.roll_back()
    versions.end_trial()
    machine = Machine()
    monkeypatch.setattr(installer, "System", lambda _: machine)
    monkeypatch.setattr(installer, "_show_journal", lambda: None)
    monkeypatch.setattr(installer, "_configuration", lambda *_: "")
    monkeypatch.setattr(installer.camera, "install_packages", lambda _: None)
    monkeypatch.setattr(installer, "_name_of", lambda _: "new")
    monkeypatch.setattr(installer, "_make", make_new(places))
    monkeypatch.setattr(installer, "_camera_works", lambda *_: True)
    monkeypatch.setattr(installer, "_configure", lambda *_: installer.fail("The key is unknown.", "Remove it."))
    assert installer.install(places, places.root, None, None, is_update=True) == 3
    assert (versions.current(), versions.trial()) == ("old", None)
    assert "The key is unknown." in capsys.readouterr().out


@pytest.mark.parametrize(("error", "status"), [(UnfitError("No pictures.", ""), 3), (FailedError("No disk.", ""), 1)])
def test_the_installer_tells_root_if_the_version_itself_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: FailedError, status: int
) -> None:
    """Root installs such a version again only after an owner's yes. It tries the other one again."""

    def end(*_: object, **__: object) -> int:
        raise error

    monkeypatch.setattr(installer.os, "geteuid", lambda: 0)
    monkeypatch.setattr(installer, "_alone", lambda _: nullcontext())
    monkeypatch.setattr(installer, "install", end)
    assert installer.main(["install", "--update"]) == status


@pytest.mark.parametrize(
    ("failed", "ends", "unfit"),
    [
        ("self-test", "exit 6", True),
        ("self-test", "kill -SEGV $$", True),
        ("self-test", f"exit {EXIT_STATUS[StorageError]}", False),
        ("self-test", "kill -KILL $$", False),
        ("self-test", "kill -TERM $$", False),
        ("pip", "exit 0", False),
    ],
)
def test_a_version_whose_self_test_fails_is_unfit_and_one_that_the_machine_stopped_is_not(
    places: Places, monkeypatch: pytest.MonkeyPatch, failed: str, ends: str, unfit: bool
) -> None:
    def run(words: list[str], failure: str) -> None:
        assert words[1:] == ["self-test"]
        run_program(["sh", "-c", ends], failure)

    def build(*_: object) -> None:
        if failed == "pip":
            raise FailedError("No network.", "")

    monkeypatch.setattr(installer, "run", run)
    monkeypatch.setattr(installer.environment, "build", build)
    source = places.root / "newest source"
    source.mkdir(parents=True)
    with pytest.raises(FailedError) as raised:
        installer._make(Versions(places), "newest", source, None, is_image=False)
    assert isinstance(raised.value, UnfitError) is unfit


# --- The installer is killed


def guarded(places: Places, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(installer, "System", lambda _: machine)
    monkeypatch.setattr(installer, "_show_journal", lambda: None)
    monkeypatch.setattr(installer, "_configure", lambda *_: None)
    places.configuration.parent.mkdir(parents=True, exist_ok=True)
    places.configuration.write_text("")
    places.lock.parent.mkdir(exist_ok=True)
    return installer.guard(places)


def test_the_guard_waits_until_the_installer_is_dead(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    places.lock.parent.mkdir()
    holds = "import fcntl, sys, time; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX); print(1, flush=True); "
    words = [sys.executable, "-c", holds + "time.sleep(600)", str(places.lock)]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as killed:
        assert killed.stdout is not None
        killed.stdout.readline()
        machine = Machine()
        waiting = threading.Thread(target=lambda: guarded(places, machine, monkeypatch))
        waiting.start()
        waiting.join(0.3)
        assert waiting.is_alive()
        assert machine.done == []
        with pytest.raises(FailedError, match="Another installation runs"), installer._alone(places):
            pass
        killed.kill()
        waiting.join(60)
    assert "start" in machine.done
    with installer._alone(places):
        pass


def test_a_recorder_that_a_killed_installer_stopped_is_started_again(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions, machine = Versions(places), Machine()
    versions.roll_back()
    versions.end_trial()
    assert guarded(places, machine, monkeypatch) == 0
    assert machine.done == ["bring to old"]
    assert versions.current() == "old"


def test_a_kill_on_the_way_back_leaves_all_services_with_the_version_before(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions, machine = Versions(places), Machine()
    versions.roll_back()
    assert versions.trial() == ("new", 0)
    assert guarded(places, machine, monkeypatch) == 0
    assert machine.done == ["prepare", "options", "bring to old"]
    assert (versions.current(), versions.trial()) == ("old", None)


@pytest.mark.parametrize("well", [True, False])
def test_a_kill_after_the_switch_ends_with_the_new_version_if_it_runs_well_and_else_with_the_old(
    places: Places, monkeypatch: pytest.MonkeyPatch, well: bool
) -> None:
    machine = Machine(well=well)
    assert guarded(places, machine, monkeypatch) == (0 if well else 3)
    versions = Versions(places)
    assert (versions.current(), versions.trial()) == ("new" if well else "old", None)
    assert machine.done[:5] == ["prepare", "options", "device", "start", "settled"]


def test_the_version_to_watch_the_trial_is_there_before_the_trial(places: Places) -> None:
    """At the first update there is none: after a cut between trial and switch, no version could end the trial."""
    versions = Versions(places)
    versions.roll_back()
    versions.end_trial()
    places.previous.unlink()
    versions.begin_trial("new")
    assert (versions.current(), versions.previous()) == ("old", "old")


@pytest.mark.parametrize("end", ["well", "refused", "killed"])
def test_the_guard_stays_only_for_an_installer_that_does_not_end_itself(
    places: Places, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    versions, machine = Versions(places), Machine()
    versions.roll_back()
    versions.end_trial()

    def compare(*_: object) -> None:
        if end != "well":
            raise FailedError("No pictures.", "Keep it.") if end == "refused" else KeyboardInterrupt

    monkeypatch.setattr(installer, "System", lambda _: machine)
    monkeypatch.setattr(installer, "_configuration", lambda *_: "")
    monkeypatch.setattr(installer.camera, "install_packages", lambda _: None)
    monkeypatch.setattr(installer, "_name_of", lambda _: "new")
    monkeypatch.setattr(installer, "_make", make_new(places))
    monkeypatch.setattr(installer, "_configure", lambda *_: None)
    monkeypatch.setattr(installer, "_compare_cameras", compare)
    with nullcontext() if end == "well" else pytest.raises((FailedError, KeyboardInterrupt)):
        installer.install(places, places.root, None, None, is_update=True)
    assert machine.done[0] == "guard on"
    assert ("guard off" in machine.done) is (end != "killed")


# --- What the updater may read of the configuration


def test_the_updater_gets_source_and_root_and_nothing_else(places: Places, capsys: pytest.CaptureFixture[str]) -> None:
    places.etc.mkdir(parents=True)
    (places.etc / "root.json").write_text('{"signed": {}}')
    places.configuration.write_text(
        # With the mark that some editors put in front of UTF-8. `config check` calls such a file right.
        '\ufeff[device]\nposition = { latitude = 1.0, longitude = 2.0 }\n[updates]\nsource = "https://x.example"\n'
        'root = "root.json"\n'
    )
    System(places).apply_options()
    found = json.loads(places.update_source.read_text())
    assert found == {"v": 1, "source": "https://x.example", "root": '{"signed": {}}'}
    (places.etc / "root.json").unlink()
    System(places).apply_options()
    assert not places.update_source.exists()
    assert "Updates are off" in capsys.readouterr().out
    places.update_source.write_text("{}")
    places.configuration.write_text("")
    System(places).apply_options()
    assert not places.update_source.exists(), "without [updates] nothing is asked"


def gone_back(places: Places, machine: Machine, monkeypatch: pytest.MonkeyPatch, *, camera: bool = True) -> int:
    monkeypatch.setattr(installer, "System", lambda _: machine)
    monkeypatch.setattr(installer, "_show_journal", lambda: None)
    monkeypatch.setattr(installer, "_configuration", lambda *_: "")
    monkeypatch.setattr(installer, "_configure", lambda *_: None)
    monkeypatch.setattr(installer, "_camera_works", lambda version, _: camera or version.name == "new")
    return installer.go_back(places)


def test_the_version_before_runs_again_on_trial_and_the_present_one_stays_for_a_way_back(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    Versions(places).end_trial()
    machine = Machine()
    assert gone_back(places, machine, monkeypatch) == 0
    versions = Versions(places)
    assert (versions.current(), versions.previous(), versions.trial()) == ("old", "new", None)
    assert versions.is_complete("new")
    assert machine.done[0] == "guard on", "a kill leaves one of the two"
    assert machine.done[-1] == "guard off"
    assert "settled" in machine.done


def test_a_version_before_that_does_not_run_well_gives_way_to_the_present_one(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    Versions(places).end_trial()
    assert gone_back(places, Machine(well=False), monkeypatch) == 3
    assert (Versions(places).current(), Versions(places).trial()) == ("new", None)


def test_a_version_before_without_pictures_is_refused(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    Versions(places).end_trial()
    with pytest.raises(FailedError, match="old gets no pictures"):
        gone_back(places, Machine(), monkeypatch, camera=False)
    assert Versions(places).current() == "new"


def test_a_version_before_that_was_changed_is_refused(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = Versions(places)
    versions.end_trial()
    (versions.folder("old") / "app" / "sitecustomize.py").touch()
    with pytest.raises(FailedError, match="Files of old were changed since it was installed"):
        gone_back(places, Machine(), monkeypatch)
    assert versions.current() == "new"


def test_without_an_older_version_there_is_no_way_back(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = Versions(places)
    versions.end_trial()
    versions.begin("0.2.1-aa", places.root.parent / "source")
    keep_hashes(versions.folder("0.2.1-aa"))
    versions.complete("0.2.1-aa")
    versions.switch("0.2.1-aa")
    versions.switch("old")  # numbers: none, so older
    with pytest.raises(FailedError, match="went back already"):
        gone_back(places, Machine(), monkeypatch)
    places.previous.unlink()
    with pytest.raises(FailedError, match="no version before"):
        gone_back(places, Machine(), monkeypatch)
    assert versions.current() == "old"


def test_versions_are_compared_by_their_numbers() -> None:
    assert numbers_of("0.10.0-aa") > numbers_of("0.9.3-bb") > numbers_of("old-cc") == ()


@pytest.mark.parametrize("cut", ["none", "power", "kill", "kill before the switch", "kill on the way back"])
def test_a_version_before_that_failed_its_trial_stays_the_version_before(
    places: Places, monkeypatch: pytest.MonkeyPatch, cut: str
) -> None:
    """One bad minute of a camera or a network must not take the only way back."""
    versions, machine = Versions(places), Machine(well=False)
    versions.end_trial()
    if cut == "none":
        assert gone_back(places, machine, monkeypatch) == 3
    else:
        versions.begin_trial("old", is_way_back=True)
        versions.count_boot()
        if cut != "kill before the switch":
            versions.switch("old")
        if cut == "kill on the way back":
            versions.roll_back()
        (judged if cut == "power" else guarded)(places, machine, monkeypatch)
    assert (versions.current(), versions.previous(), versions.trial()) == ("new", "old", None)
    assert versions.is_complete("old")
    versions.sweep()
    assert gone_back(places, Machine(), monkeypatch) == 0
    assert versions.current() == "old"


@pytest.mark.parametrize("cut", ["none", "power", "kill", "kill before the switch", "kill on the way back"])
def test_after_an_update_that_failed_the_version_before_is_still_the_one_to_go_back_to(
    places: Places, monkeypatch: pytest.MonkeyPatch, cut: str
) -> None:
    versions, machine = Versions(places), Machine(well=False)
    versions.end_trial()  # "new" runs, "old" ran before, and "newest" fails
    make_new(places)(versions, "newest")
    if cut == "none":
        assert installed(places, machine, monkeypatch, name="newest") == 3
    else:
        versions.begin_trial("newest")
        versions.count_boot()
        if cut != "kill before the switch":
            versions.switch("newest")
        if cut == "kill on the way back":
            versions.roll_back()
        (judged if cut == "power" else guarded)(places, machine, monkeypatch)
    assert (versions.current(), versions.previous(), versions.trial()) == ("new", "old", None)
    versions.sweep()
    assert not versions.folder("newest").exists()
    assert gone_back(places, Machine(), monkeypatch) == 0
    assert (versions.current(), versions.previous()) == ("old", "new")


def test_a_version_that_fails_after_it_was_taken_back_is_no_version_to_go_back_to(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = Versions(places)
    versions.switch("old")  # "new" was taken back, and is chosen again
    versions.end_trial()
    assert installed(places, Machine(well=False), monkeypatch) == 3
    assert versions.current() == "old"
    assert not versions.folder("new").exists()
    with pytest.raises(FailedError, match="no version before"):
        gone_back(places, Machine(), monkeypatch)


def test_a_version_before_without_pictures_or_without_its_links_is_not_deleted(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions, machine = Versions(places), Machine()
    versions.end_trial()
    with pytest.raises(FailedError, match="gets no pictures"):
        gone_back(places, machine, monkeypatch, camera=False)
    machine.lacks = "a link"
    with pytest.raises(FailedError, match="old needs a link"):
        gone_back(places, machine, monkeypatch)
    assert (versions.current(), versions.previous(), versions.trial()) == ("new", "old", None)
    assert versions.is_complete("old")


def installed(
    places: Places,
    machine: Machine,
    monkeypatch: pytest.MonkeyPatch,
    camera: bool | dict[str, bool] = True,
    name: str = "new",
) -> int:
    """Installs `name` over the running version, as an update. `camera`: whether it, or each version, gets pictures."""
    works = camera if isinstance(camera, dict) else {name: camera}
    monkeypatch.setattr(installer, "System", lambda _: machine)
    monkeypatch.setattr(installer, "_show_journal", lambda: None)
    monkeypatch.setattr(installer, "_configuration", lambda *_: "")
    monkeypatch.setattr(installer, "_configure", lambda *_: None)
    monkeypatch.setattr(installer.camera, "install_packages", lambda _: None)
    monkeypatch.setattr(installer, "_name_of", lambda _: name)
    monkeypatch.setattr(installer, "_make", make_new(places))
    monkeypatch.setattr(installer, "_camera_works", lambda version, _: works.get(version.name, True))
    return installer.install(places, places.root, None, None, is_update=True)


@pytest.mark.parametrize("ended_by", ["installer", "guard", "judge"])
@pytest.mark.parametrize("camera", [True, False])
def test_a_version_that_got_pictures_in_its_test_goes_back_if_its_recorder_gets_none(
    places: Places, monkeypatch: pytest.MonkeyPatch, ended_by: str, camera: bool
) -> None:
    """If neither version gets pictures, the camera is not there, and that is no fault of the new one."""
    versions, machine = Versions(places), Machine(films=False)
    versions.roll_back()
    versions.end_trial()
    if ended_by != "installer":
        monkeypatch.setattr(installer, "_switch", lambda places, name, *_, **__: Versions(places).switch(name) or 0)
    works = {"old": camera, "new": camera}
    ended = installed(places, machine, monkeypatch, camera=works)
    if ended_by != "installer":
        assert (versions.current(), ended) == ("new", 0)
        ended = {"guard": guarded, "judge": judged}[ended_by](places, machine, monkeypatch)
    assert (versions.current(), versions.trial(), ended) == (("old", None, 3) if camera else ("new", None, 0))


@pytest.mark.parametrize(
    ("state", "detail", "frames", "owners", "well"),
    [
        ("watching", "", 9, ["a"], True),
        ("watching", "", 0, ["a"], False),
        ("privacy", "The switch is on.", 0, ["a"], True),
        ("not recording", "The disk is full.", 9, ["a"], True),
        ("no camera", "The file was played to its end.", 0, ["a"], True),
        ("no camera", "No picture for 15 s.", 0, ["a"], False),
        ("no camera", "No picture for 15 s.", 0, [], True),
        ("no recorder", "", 9, ["a"], False),
    ],
)
def test_a_recorder_gets_pictures_on_trial_unless_there_is_another_reason(
    places: Places, monkeypatch: pytest.MonkeyPatch, state: str, detail: str, frames: int, owners: list[str], well: bool
) -> None:
    """Without an owner the recorder opens no camera. A full disk is no fault of a version."""
    said = json.dumps({"owners": owners, "recorder": {"state": state, "detail": detail, "frames": frames}})
    done = subprocess.CompletedProcess([], 0, said, "")
    monkeypatch.setattr(system_module.subprocess, "run", lambda *_, **__: done)
    system = System(places)
    assert system._answers(films=True) is well
    assert system._answers(films=False) is (state != "no recorder")


@pytest.mark.parametrize(("state", "well"), [("watching", True), ("no camera", False)])
def test_a_network_camera_whose_small_pictures_are_minutes_apart_counts_while_it_plays(
    places: Places, monkeypatch: pytest.MonkeyPatch, state: str, well: bool
) -> None:
    places.configuration.parent.mkdir(parents=True)
    places.configuration.write_text('[camera]\nkind = "rtsp"\n')
    said = json.dumps({"owners": ["a"], "recorder": {"state": state, "detail": "", "frames": 0}})
    done = subprocess.CompletedProcess([], 0, said, "")
    monkeypatch.setattr(system_module.subprocess, "run", lambda *_, **__: done)
    assert System(places)._answers(films=True) is well


@pytest.mark.parametrize("reason", ["camera", "links"])
@pytest.mark.parametrize("is_new", [True, False])
def test_a_refused_version_goes_only_if_it_was_just_made(
    places: Places, monkeypatch: pytest.MonkeyPatch, reason: str, is_new: bool
) -> None:
    versions, machine = Versions(places), Machine()
    versions.switch("old")  # "new" is the version before
    versions.end_trial()
    if is_new:
        places.previous.unlink()
    machine.lacks = "" if reason == "camera" else "a link"
    with pytest.raises(FailedError, match="gets no pictures" if reason == "camera" else "new needs a link"):
        installed(places, machine, monkeypatch, camera=reason != "camera")
    assert versions.is_complete("new") is not is_new
    assert (versions.current(), versions.trial()) == ("old", None)


@pytest.mark.parametrize("error", [OSError(errno.EROFS, "read-only"), RuntimeError("not made"), FailedError("a", "b")])
def test_a_step_that_fails_after_the_switch_brings_the_version_before_back(
    places: Places, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Also if it fails again on the way back: the services of the version before are started."""
    versions, machine = Versions(places), Machine()
    versions.roll_back()
    versions.end_trial()

    def prepare() -> None:
        raise error

    monkeypatch.setattr(machine, "prepare", prepare)
    assert installed(places, machine, monkeypatch) == 3
    assert (versions.current(), versions.trial()) == ("old", None)
    assert machine.done[-3:] == ["start", "look", "guard off"]
    versions.begin("new", places.root.parent / "source")
    versions.complete("new")
    versions.begin_trial("new")
    versions.switch("new")
    assert guarded(places, machine, monkeypatch) == 3, "the same after a kill"
    assert versions.current() == "old"


# --- Units of one version only


def with_units(places: Places, units: dict[str, tuple[str, ...]]) -> list[list[str]]:
    """Gives versions their units. Returns the list of commands that `systemctl` will have got."""
    for name, theirs in units.items():
        folder = Versions(places).folder(name) / "app" / "systemd"
        folder.mkdir()
        for unit in theirs:
            (folder / unit).touch()
        (folder / "sysusers.d").mkdir()
        (folder / "sysusers.d" / "doorward.conf").write_text("# A user that every machine has.\nu root -\ng root -\n")
    for role in ("vault", "custodian"):
        (places.state / role).mkdir(parents=True)
    places.configuration.parent.mkdir(parents=True)
    places.configuration.write_text("[backup]\n[page]\nsetup_by_camera = true\n")
    return []


def prepared_with_the_old_version(places: Places, monkeypatch: pytest.MonkeyPatch) -> tuple[Versions, System]:
    """Returns a system on which the old version runs, and the new one is beside it."""
    commands = with_units(places, {"new": UNITS, "old": UNITS})
    monkeypatch.setattr(system_module, "run", systemctl(places, commands))
    versions, system = Versions(places), System(places)
    versions.roll_back()
    system.prepare()
    system.apply_options()
    return versions, system


def systemctl(places: Places, commands: list[list[str]]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Returns a `run` that fails as systemctl does: one unit that is not there, and none is enabled."""

    def run(words: list[str], failure: str, *, check: bool = True) -> subprocess.CompletedProcess[str]:
        commands.append(words)
        units = [each for each in words[2:] if each.startswith("doorward")] if words[1] == "enable" else []
        if check and not all((places.units / each).exists() for each in units):
            raise FailedError(f"{failure}.", "")
        return subprocess.CompletedProcess(words, 0, "", "")

    return run


def test_a_version_that_brought_a_unit_and_fails_gives_way_to_the_one_before_which_is_enabled_and_started(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    brought = ENABLED[-1]
    commands = with_units(places, {"new": UNITS, "old": tuple(each for each in UNITS if each != brought)})
    monkeypatch.setattr(system_module, "run", systemctl(places, commands))
    monkeypatch.setattr(system_module.shutil, "which", lambda _: None)
    monkeypatch.setattr(installer, "_show_journal", lambda: None)
    monkeypatch.setattr(System, "is_healthy", lambda *_, **__: False)
    system = System(places)
    system.alive = True
    system.prepare()
    system.start()
    wants = places.units / "multi-user.target.wants" / brought
    wants.parent.mkdir()
    wants.symlink_to(places.units / brought)
    (places.units / "doorward-mine.service").symlink_to(places.root / "a person's own")
    assert {each.name for each in places.units.glob("doorward*")} == {*UNITS, "doorward-mine.service"}
    commands.clear()
    assert installer._roll_back(Versions(places), system, "old", "new") == 3
    assert Versions(places).current() == "old"
    assert ["systemctl", "stop", brought] in commands
    (enabled,) = [words[3:] for words in commands if words[:2] == ["systemctl", "enable"]]
    assert enabled == [each for each in ENABLED if each != brought]
    assert commands[-1][:2] == ["systemctl", "restart"]
    assert not wants.is_symlink()
    assert {each.name for each in places.units.glob("doorward*.*") if each.is_symlink()} == {
        *(each for each in UNITS if each != brought), "doorward-mine.service",
    }  # fmt: skip


def test_units_that_cannot_be_enabled_do_not_keep_the_version_before_from_its_start(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = with_units(places, {"new": UNITS, "old": UNITS})
    monkeypatch.setattr(system_module, "run", systemctl(places, commands))
    system = System(places)
    system.alive = True
    with pytest.raises(FailedError, match="could not be enabled"):
        system.start()  # no unit is linked
    commands.clear()
    system.start(is_way_back=True)
    assert commands[-1][:2] == ["systemctl", "restart"]


def test_a_read_only_system_without_a_link_that_a_version_needs_refuses_it_before_the_switch(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    brought = ENABLED[-1]
    commands = with_units(places, {"new": UNITS, "old": tuple(each for each in UNITS if each != brought)})
    monkeypatch.setattr(system_module, "run", systemctl(places, commands))
    versions, system = Versions(places), System(places)
    versions.roll_back()
    system.require_system(versions.folder("new"))  # it can be linked
    system.prepare()
    system.apply_options()
    monkeypatch.setattr(system_module.os, "access", lambda *_: False)  # as access(2) answers root there
    system.require_system(versions.folder("old"))
    with pytest.raises(UnfitError, match=f"new needs .*{brought}, which is not there, and its folder is read-only"):
        system.require_system(versions.folder("new"))


ACCOUNTS = {
    'u doorward-mine - "of a later version" /': "doorward-mine",
    "g doorward-ours -": "doorward-ours",
    "m doorward-mine root": "doorward-mine \\(root\\)",
    "m root doorward-ours": "root \\(doorward-ours\\)",
}


@pytest.mark.parametrize("line", ACCOUNTS)
def test_a_read_only_system_without_a_user_that_a_version_needs_refuses_it_before_the_switch(
    line: str, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions, system = prepared_with_the_old_version(places, monkeypatch)
    with (versions.folder("new") / "app/systemd/sysusers.d/doorward.conf").open("a") as file:
        file.write(f"{line}\n")
    system.require_system(versions.folder("new"))  # the user can be made
    monkeypatch.setattr(system_module.os, "access", lambda *_: False)
    system.require_system(versions.folder("old"))
    with pytest.raises(UnfitError, match=f"new needs the user or group {ACCOUNTS[line]}, which is not there"):
        system.require_system(versions.folder("new"))


def test_the_users_are_made_only_if_one_is_missing(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    """systemd-sysusers locks /etc/passwd also with nothing to make: each update of a read-only card failed there."""
    commands = with_units(places, {"new": UNITS})
    monkeypatch.setattr(system_module, "run", systemctl(places, commands))
    system = System(places)
    accounts = Versions(places).folder("new") / "app/systemd/sysusers.d/doorward.conf"
    system.prepare()
    assert [words[0] for words in commands if words[0] == "systemd-sysusers"] == []
    accounts.write_text(accounts.read_text() + "u doorward-mine - - /\n")
    system.prepare()
    assert [words[0] for words in commands if words[0] == "systemd-sysusers"] == ["systemd-sysusers"]


def test_only_units_that_no_target_wants_are_enabled(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a read-only card `systemctl enable` fails with every link in place, and each update failed there."""
    commands = with_units(places, {"new": UNITS})
    monkeypatch.setattr(system_module, "run", systemctl(places, commands))
    versions, system = Versions(places), System(places)
    system.alive = True
    system.prepare()
    wants = places.units / "multi-user.target.wants"
    wants.mkdir()
    for unit in ENABLED:
        (versions.folder("new") / "app/systemd" / unit).write_text("[Install]\nWantedBy=multi-user.target\n")
        (wants / unit).symlink_to(places.units / unit)
    system.start()
    assert "enable" not in [words[1] for words in commands if words[0] == "systemctl"]
    (wants / ENABLED[3]).unlink()
    system.start()
    assert [words[3:] for words in commands if words[1] == "enable"] == [[ENABLED[3]]]
    system.apply_options()
    monkeypatch.setattr(system_module.os, "access", lambda *_: False)
    with pytest.raises(UnfitError, match=f"needs {wants / ENABLED[3]}, which is not there"):
        system.require_system(versions.folder("new"))


def test_a_read_only_system_without_the_link_of_an_option_refuses_a_version_that_brings_it(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It failed after the switch, and was told as a version that does not run well."""
    versions, system = prepared_with_the_old_version(places, monkeypatch)
    monkeypatch.setattr(system_module.os, "access", lambda *_: False)
    system.require_system(versions.folder("new"))
    (versions.folder("new") / "app/models").mkdir()
    with pytest.raises(UnfitError, match=r"new needs .*recorder-object-detection\.conf, which is not there"):
        system.require_system(versions.folder("new"))


def test_a_version_before_without_hashes_is_not_said_to_be_changed(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = Versions(places)
    versions.end_trial()
    (versions.folder("old") / "SHA256SUMS").unlink()
    with pytest.raises(FailedError, match="old has no hashes"):
        gone_back(places, Machine(), monkeypatch)
    assert versions.current() == "new"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ('{"ok": true, "notes": ["device.time_zone is not set."]}', "  Note: device.time_zone is not set.\n"),
        ('{"ok": false, "message": "x"}', ""),
        ("Traceback", ""),
    ],
)
def test_an_installation_tells_the_notes_on_its_configuration(
    places: Places, capsys: pytest.CaptureFixture[str], answer: str, said: str
) -> None:
    program = places.current / "bin" / "doorward"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n[ \"$*\" = 'config check --json {places.configuration}' ] && echo '{answer}'\n")
    program.chmod(0o755)
    machine = Machine()
    installer._tell_notes(places, machine)  # type: ignore[arg-type]
    assert capsys.readouterr().out == said
    machine.alive = False  # the computer that builds an image has another time zone
    installer._tell_notes(places, machine)  # type: ignore[arg-type]
    assert capsys.readouterr().out == ""
