"""The native passes give the numbers of the pure ones, to the last bit, and are used only when they can be.

`make test-kernel` runs these tests again with the kernel under the address and undefined-behaviour sanitizers.
"""

from __future__ import annotations

import ctypes
import math
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.media import Light, LumaFrame
from agent.core.motion.detector import Detector
from agent.core.motion.grids import Grids
from agent.core.motion.passes import COUNT_JUMPS, DRY, KEEP, SMOOTH, BackgroundUpdate, MakePasses, Passes
from agent.core.motion.passes.pure import PurePasses
from agent.core.motion.zones import Zone, ZoneMap
from agent.core.timebase import BootNs, seconds
from agent.errors import DeviceError
from agent.recorder import motion_kernel
from bench.motion import scenes
from bench.motion.footage import labelled, load
from scripts.installation import kernel as installed
from tests.lengths import LONG, one_in

ROOT = Path(__file__).resolve().parents[2]
WHOLE = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
LEFT = ((0.0, 0.0), (0.6, 0.0), (0.5, 1.0), (0.0, 1.0))
ZONES = ZoneMap((Zone("all", WHOLE, smallest_person=0.15), Zone("left", LEFT, sensitivity=1.7, smallest_person=0.08)))


@pytest.fixture(scope="session")
def native() -> MakePasses:
    kernel = motion_kernel.load(Path(os.environ.get("DOORWARD_TEST_KERNEL", motion_kernel.LIBRARY)))
    if not kernel.native:
        pytest.skip(f"no native passes here: {kernel.told}")
    return kernel.make_passes


class Twins:
    """Two detectors on the same frames; after each, all that they remember has to be the same."""

    def __init__(self, native: MakePasses, height_px: int, width_px: int, zones: ZoneMap | None = None) -> None:
        self.pure = Detector(height_px, width_px, 10.0, zones)
        self.native = Detector(height_px, width_px, 10.0, zones, make_passes=native)

    def step(self, frame: LumaFrame) -> None:
        assert self.pure.step(frame) == self.native.step(frame)
        assert_same(self.pure._grids, self.native._grids)

    def watch(self, pictures: Iterable[np.ndarray]) -> None:
        for number, luma in enumerate(pictures):
            self.step(LumaFrame(luma, BootNs(seconds(number / 10))))


def assert_same(one: Grids, other: Grids) -> None:
    for name, grid in vars(one).items():
        if isinstance(grid, np.ndarray):
            assert grid.tobytes() == getattr(other, name).tobytes(), name


def test_the_set_up_compiled_it_where_there_is_a_compiler() -> None:
    assert motion_kernel.load().native == bool(shutil.which("cc"))


@pytest.mark.parametrize(
    "kind", one_in(3, ("standing", "rain at night", "lamp", "insects", "tree", "night", "doorstep"))
)
def test_drawn_scenes_leave_the_same_grids_after_every_frame(kind: str, native: MakePasses) -> None:
    Twins(native, 240, 320).watch(scenes.draw(kind, 5, duration_s=20).luma)


@pytest.mark.footage
@pytest.mark.parametrize("name", ["suburb", "doorbell", "brightness"])
def test_real_footage_leaves_the_same_grids_after_every_frame(name: str, native: MakePasses, shared: Path) -> None:
    folder = shared / "clips"
    (label,) = (label for label in labelled(folder) if label.name == name)
    Twins(native, 240, 320, ZONES).watch(load(folder, label).luma[:250])


@settings(max_examples=25, deadline=None)
@given(
    size=st.tuples(st.integers(48, 400), st.integers(64, 700)),
    padding=st.integers(0, 40),
    turned=st.booleans(),
    seed=st.integers(0, 2**32),
    noise=st.sampled_from([0, 2, 12, 60]),
)
def test_any_size_and_stride_leaves_the_same_grids(
    size: tuple[int, int], padding: int, turned: bool, seed: int, noise: int, native: MakePasses
) -> None:
    random = np.random.default_rng(seed)
    (height_px, width_px), twins = size, Twins(native, *size, ZONES)
    wall = random.integers(0, 256, (height_px // 16 + 1, width_px // 16 + 1))
    wall = np.kron(wall, np.ones((16, 16), int))[:height_px, :width_px]
    for number in range(45):
        picture = wall + random.integers(-noise, noise + 1, size)
        if number > 24:
            left = (number - 24) * width_px // 22
            picture[height_px // 4 :, max(0, left - width_px // 8) : left] = random.integers(0, 256, (1, 1))
        wide = np.zeros((height_px, width_px + padding), np.uint8)
        wide[:, :width_px] = np.clip(picture, 0, 255)
        luma = wide[:, :width_px]
        luma = np.asfortranarray(luma) if turned and number % 2 else luma[::-1] if turned else luma
        twins.step(LumaFrame(luma, BootNs(seconds(number / 10))))


def test_the_largest_and_the_smallest_frames_leave_the_same_grids(native: MakePasses) -> None:
    random = np.random.default_rng(3)
    for size in ((48, 64), (119, 159), (120, 160), (239, 319), (1080, 1920), (48, 2000), (2160, 3840)):
        Twins(native, *size).watch(random.integers(0, 256, size, np.uint8) for _ in range(24))


def test_broken_times_and_frames_are_taken_alike(native: MakePasses) -> None:
    twins, random = Twins(native, 240, 320), np.random.default_rng(4)
    pictures = [random.integers(0, 256, (240, 320), np.uint8) for _ in range(6)]
    times_s = [*(step / 10 for step in range(40)), 3.95, 3.2, 600, *(600 + step / 10 for step in range(40))]
    for number, at_s in enumerate(times_s):
        light = Light(math.nan if number % 3 else 1e9)
        twins.step(LumaFrame(pictures[number * number % 6], BootNs(seconds(at_s)), light))
    for wrong in (np.zeros((240, 319), np.uint8), np.zeros((240, 320), np.uint16), np.zeros((240, 320, 3), np.uint8)):
        for detector in (twins.pure, twins.native):
            with pytest.raises(DeviceError, match="doorward doctor"):
                detector.step(LumaFrame(wrong, BootNs(seconds(605))))
    assert_same(twins.pure._grids, twins.native._grids)


def random_grids(seed: int, rows: int, columns: int) -> Grids:
    """Grids as no scene would ever leave them, within what the rules allow."""
    random = np.random.default_rng(seed)
    grids, shape = Grids(ZONES.rasterise(rows, columns)), (rows, columns)
    blocks = np.kron(random.random((rows // 4 + 1, columns // 4 + 1)) < random.random(), np.ones((4, 4), bool))
    grids.differing[:] = np.where(blocks[:rows, :columns] ^ (random.random(shape) < 0.05), 255, 0)
    for name in ("last", "before_last", "quick_mean", "previous", "then", "dwell", "unchanged"):
        getattr(grids, name)[:] = random.integers(0, 256, shape)
    grids.path[:] = random.integers(0, 256 if seed % 2 else 9, shape) & grids.differing
    grids.body[:] = np.where(random.random(shape) < 0.3, 255, 0)
    grids.quick_threshold[:] = random.integers(0, 60, shape)
    grids.age[:] = random.integers(0, 65536, shape)
    grids.mean[:] = random.uniform(-9, 260, shape)
    grids.seen[:] = random.integers(-9 * 64, 260 * 64, shape) / np.float32(64)
    grids.scene[:] = random.integers(0, 255 * 64, shape) / np.float32(64)
    grids.scene_structure[:] = random.integers(0, 255 * 64, shape) / np.float32(64)
    grids.scene_threshold[:] = random.uniform(0.5, 90, shape) + grids.blind
    grids.cell_noise[:] = random.uniform(0.5, 90, shape)
    grids.contrast[:] = random.uniform(0, 30, shape)
    grids.threshold[:] = random.uniform(0.5, 90, shape) + grids.blind
    grids.residual[:] = random.uniform(0, 90, shape)
    grids.light[:] = random.uniform(-90, 90, shape)
    return grids


def calls(seed: int, rows: int, columns: int) -> dict[str, Callable[[Passes, np.ndarray], object]]:
    random = np.random.default_rng(seed)
    x0, y0 = int(random.integers(0, columns)), int(random.integers(0, rows))
    x1, y1 = int(random.integers(x0, columns)) + 1, int(random.integers(y0, rows)) + 1
    window, seed_box = (max(0, x0 - 4), max(0, y0 - 4), min(columns, x1 + 4), min(rows, y1 + 4)), (x0, y0, x1, y1)
    weights = [float(each) for each in random.uniform(0, 0.5, 4)]
    following = BackgroundUpdate(*weights, 1.12, 0.993, seed % 256)
    plan = seed % 16 & (SMOOTH | DRY | COUNT_JUMPS | KEEP)

    def look(passes: Passes, luma: np.ndarray) -> object:
        return passes.look(luma, plan, seed % 40), passes.jumping_cells if plan & COUNT_JUMPS else 0

    return {
        "look": look,
        "differ": lambda passes, _luma: passes.differ(bool(seed % 2)),
        "track": lambda passes, _luma: passes.track(seed % 65536, 50, 1 + seed % 7, bool(seed % 3)),
        "follow quietly": lambda passes, _luma: passes.follow_quietly(weights[0]),
        "follow": lambda passes, _luma: passes.follow(following, bool(seed % 2), 1.7),
        "set threshold": lambda passes, _luma: passes.set_threshold(4.0, 7.3, 2.1),
        "regions": lambda passes, _luma: passes.regions(1 + seed % 8, seed % 11, 15),
        "body": lambda passes, _luma: passes.find_body(window, seed_box, seed % 30 / 3, seed % 50 / 7),
        "compare body": lambda passes, _luma: passes.compare_body(window, bool(seed % 2)),
    }


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), rows=st.integers(1, 119), columns=st.integers(1, 159))
def test_every_pass_on_any_grids_does_the_same(seed: int, rows: int, columns: int, native: MakePasses) -> None:
    ours, theirs = random_grids(seed, rows, columns), random_grids(seed, rows, columns)
    pure, compiled = PurePasses(ours, rows, columns), native(theirs, rows, columns)
    luma = np.random.default_rng(seed + 1).integers(0, 256, (rows, columns), np.uint8)
    steps = calls(seed, rows, columns)
    order = np.random.default_rng(seed + 2).permutation(list(steps)).tolist()
    for name in ("look", "differ", *order):
        assert steps[name](pure, luma) == steps[name](compiled, luma), name
        ours.path[:] &= ours.differing
        theirs.path[:] &= theirs.differing
        assert_same(ours, theirs)


@pytest.mark.parametrize(("rows", "columns"), [(120, 160), (120, 8), (8, 160)])
def test_grids_too_large_for_the_kernel_are_refused(native: MakePasses, rows: int, columns: int) -> None:
    """Each side alone: the kernel would write beyond its memory."""
    with pytest.raises(ValueError, match="room"):
        native(Grids(ZoneMap().rasterise(rows, columns)), rows * 8, columns * 8)
    native(Grids(ZoneMap().rasterise(min(rows, 119), min(columns, 159))), rows * 8, columns * 8)


# On other machines.

ANSWERS = ROOT / "tests" / "recorder" / "kernel_answers.c"
KNOWN_ANSWERS = "64a225773bca3965"


def answers(compiler: str, flags: tuple[str, ...], folder: Path, *before: str) -> str:
    """The output of kernel_answers.c, compiled like this and run by `before`."""
    program = folder / "answers"
    words = ["-std=c11", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror", *flags, "-o", str(program), str(ANSWERS)]
    subprocess.run([compiler, *words], check=True)
    return subprocess.run([*before, str(program)], capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler here")
@pytest.mark.parametrize("level", ["-O0", pytest.param("-O3", marks=LONG)])
def test_the_answers_are_known_whatever_the_compiler_does(level: str, tmp_path: Path) -> None:
    assert answers("cc", (level,), tmp_path) == KNOWN_ANSWERS


@pytest.mark.skipif(
    not (shutil.which("aarch64-linux-gnu-gcc") and shutil.which("qemu-aarch64-static")),
    reason="needs gcc-aarch64-linux-gnu, libc6-dev-arm64-cross and qemu-user-static",
)
def test_the_answers_are_the_same_on_arm64(tmp_path: Path) -> None:
    said = answers("aarch64-linux-gnu-gcc", ("-O3", "-static"), tmp_path, "qemu-aarch64-static")
    assert said == KNOWN_ANSWERS


# Which passes are in force.


def compiled(tree: Path, folder: Path) -> Path:
    library = folder / "motion-kernel.so"
    assert installed.build(tree, library, flags=("-std=c11", "-O0", "-fPIC", "-shared")) is None
    return library


def test_without_a_library_the_pure_passes_are_in_force_and_say_why(tmp_path: Path) -> None:
    kernel = motion_kernel.load(tmp_path / "none.so")
    assert kernel.make_passes is PurePasses
    assert not kernel.native
    assert "compiler" in kernel.told


def test_a_library_that_is_none_is_not_used(tmp_path: Path) -> None:
    library = tmp_path / "motion-kernel.so"
    library.write_bytes(b"\x7fELF and nothing after it")
    assert "does not load" in motion_kernel.load(library).told


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler here")
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda source: source + "/* newer */\n", "another source"),
        (lambda source: source.replace("double *sums; ", "double *sums, *more; "), "another"),
    ],
    ids=["another source", "another layout"],
)
def test_a_library_from_another_source_is_not_used(change: Callable[[str], str], told: str, tmp_path: Path) -> None:
    source = tmp_path / installed.SOURCE
    source.parent.mkdir(parents=True)
    source.write_text(change((ROOT / installed.SOURCE).read_text()))
    kernel = motion_kernel.load(compiled(tmp_path, tmp_path))
    assert not kernel.native
    assert told in kernel.told


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler here")
def test_a_source_that_does_not_compile_leaves_no_library(tmp_path: Path) -> None:
    library = compiled(ROOT, tmp_path)
    source = tmp_path / installed.SOURCE
    source.parent.mkdir(parents=True)
    source.write_text("#error no\n")
    assert "could not compile" in (installed.build(tmp_path, library) or "")
    assert not library.exists()


def test_without_a_compiler_the_set_up_says_so_and_goes_on(tmp_path: Path) -> None:
    assert "no C compiler" in (installed.build(ROOT, tmp_path / "kernel.so", compiler="no-such-compiler") or "")


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler here")
def test_a_wheelhouse_brings_it_unless_it_was_made_from_another_source(tmp_path: Path) -> None:
    wheelhouse = tmp_path / "wheelhouse"
    wheelhouse.mkdir()
    library = compiled(ROOT, wheelhouse)
    assert installed.put(ROOT, tmp_path / "venv", wheelhouse) is None
    put = tmp_path / "venv" / installed.LIBRARY
    assert put.read_bytes() == library.read_bytes()
    assert motion_kernel.load(put).native
    library.write_bytes(library.read_bytes().replace(b"0", b"1"))
    assert installed.put(ROOT, tmp_path / "venv", wheelhouse) is None
    assert put.read_bytes() != library.read_bytes()


def test_the_loader_looks_where_the_set_up_puts_it() -> None:
    assert motion_kernel.LIBRARY.parts[-3:] == installed.LIBRARY.parts
    assert motion_kernel.SOURCE == ROOT / installed.SOURCE


@pytest.mark.skipif(not motion_kernel.LIBRARY.is_file(), reason="no native passes here: the set-up compiled none")
def test_a_library_with_another_layout_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    class Other(ctypes.Structure):
        _fields_ = (("one", ctypes.c_int),)

    monkeypatch.setattr(motion_kernel, "_Grids", Other)
    kernel = motion_kernel.load()
    assert not kernel.native
    assert kernel.make_passes is PurePasses
    assert "another layout" in kernel.told
