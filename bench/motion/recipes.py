"""Footage that this project does not contain: recipes to fetch it, the labels, and which clips may be tuned on.

`recipes.json` names for each clip the public repository, its commit, the path and the hash of the file, what happens in
it and when, and its *source*: clips of one camera or one collection share it.  The split is by source, so that no
camera is both tuned on and reported on:

* **tune**: the detector was changed while these were looked at.
* **validate**: they decided which stage stays; no number was chosen on them.
* **test**: labelled by eye from still pictures, and given to a detector only for the report. It was looked at in four
  rounds, so it is less than fresh.
* **fresh**: the same, from sources that were added after those rounds. Its false alarms were looked into after the
  first look (`RESULTS.md`), so only that look counts as fresh. Films of roads and crowds, in which something moves from
  the first to the last second, were left out, because they cannot show a false alarm.
* **latest**: the same, from three sources, labelled after *fresh* was looked into. Most show a place that a car or a
  person leaves.
* **once**: clips of cameras in none of these sets, for one look by a detector that was frozen before. Its labels and
  the criteria by which films were left out were committed before that look (decision 117).
* **steady**: the same again, of cameras that move by at most two of 320 pixels (decision 123).
* **pauses**: the same again. Films with several events and pauses between them were looked for first (decision 127).

Get it with git and decode it to what a detector sees, 320×240 luma at ten frames a second:

    python -m bench.motion.recipes --from https://…/    # a git server's address, before OWNER/NAME
    python -m bench.motion.recipes --from /folder/with/OWNER/NAME

The licences of the collections differ, and some are for research only: measure with it, do not pass it on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt

from agent.core.motion_accuracy.scoring import Interval
from bench.motion.footage import FRAMES_PER_S, HEIGHT_PX, WIDTH_PX, Clip, decode

__all__ = [
    "BACKGROUNDS",
    "FOR_ONE_LOOK",
    "SPLITS",
    "Recipe",
    "idle_of",
    "played_to_and_fro",
    "present",
    "recipes",
    "warm",
]

Frame = npt.NDArray[np.uint8]

SPLITS = ("tune", "validate", "test", "fresh", "latest", "once", "steady", "pauses")
FOR_ONE_LOOK = ("once", "steady", "pauses")
BACKGROUNDS = tuple(split for split in SPLITS[1:] if split not in FOR_ONE_LOOK)
"""Fresh films show the idle scenes of these. Sets for one look stay out, so that a seed draws the film that was
reported on."""
CACHE = Path(__file__).resolve().parents[2] / ".cache" / "bench" / "footage"

_LEAST_IDLE_S = 1.5
_AWAY_S = 0.7
"""A stretch counts as idle only so far away from what happens."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """One clip of `recipes.json`."""

    name: str
    source: str
    split: str
    repository: str
    commit: str
    path: str
    sha256: str | None
    """None for a folder of pictures."""
    duration_s: float
    events: tuple[Interval, ...]
    dont_care: tuple[Interval, ...]


def recipes() -> tuple[Recipe, ...]:
    """All of them."""
    found: dict[str, Any] = json.loads(Path(__file__).with_name("recipes.json").read_text("utf-8"))
    return tuple(
        Recipe(
            name=name,
            source=each["source"],
            split=each["split"],
            repository=each["repository"],
            commit=each["commit"],
            path=each["path"],
            sha256=each.get("sha256"),
            duration_s=each["duration_s"],
            events=_intervals(each["events_s"]),
            dont_care=_intervals(each["dont_care_s"]),
        )
        for name, each in found.items()
    )


def _intervals(pairs: list[list[float]]) -> tuple[Interval, ...]:
    return tuple(Interval(start_s, end_s) for start_s, end_s in pairs)


def present(split: str, folder: Path = CACHE) -> list[tuple[Recipe, Clip]]:
    """The clips of a split that were fetched."""
    return [(recipe, _load(recipe, folder)) for recipe in recipes() if recipe.split == split and _at(recipe, folder)]


def _at(recipe: Recipe, folder: Path) -> bool:
    return (folder / f"{recipe.name}.npy").exists()


def _load(recipe: Recipe, folder: Path) -> Clip:
    luma = np.load(folder / f"{recipe.name}.npy")
    return Clip(recipe.name, luma, len(luma) / FRAMES_PER_S, recipe.events, recipe.dont_care)


def idle_of(clip: Clip) -> npt.NDArray[np.uint8] | None:
    """The longest stretch of a clip in which nothing happens."""
    busy = sorted((each.start_s, each.end_s) for each in (*clip.events, *clip.dont_care))
    reached_s, best = 0.0, (0.0, 0.0)
    for start_s, end_s in [*busy, (clip.duration_s, clip.duration_s)]:
        begin_s = reached_s + (_AWAY_S if reached_s else 0.0)
        until_s = start_s - (_AWAY_S if start_s < clip.duration_s else 0.0)
        if until_s - begin_s > best[1] - best[0]:
            best = (begin_s, until_s)
        reached_s = max(reached_s, end_s)
    if best[1] - best[0] < _LEAST_IDLE_S:
        return None
    return clip.luma[int(best[0] * FRAMES_PER_S) : int(best[1] * FRAMES_PER_S)]


def played_to_and_fro(luma: npt.NDArray[np.uint8], seconds: float) -> npt.NDArray[np.uint8]:
    """This long, without a jump at the ends."""
    turn = np.concatenate([luma, luma[-2:0:-1]]) if len(luma) > 2 else luma
    frames = round(seconds * FRAMES_PER_S)
    return np.concatenate([turn] * -(-frames // len(turn)))[:frames]


def warm(clip: Clip, seconds: float = 20.0) -> Clip | None:
    """The clip with its own idle scene in front: as on a camera that has run for a while."""
    idle = idle_of(clip)
    if idle is None:
        return None

    def later(intervals: tuple[Interval, ...]) -> tuple[Interval, ...]:
        return tuple(Interval(each.start_s + seconds, each.end_s + seconds) for each in intervals)

    luma = np.concatenate([played_to_and_fro(idle, seconds), clip.luma])
    return Clip(f"{clip.name}, warm", luma, clip.duration_s + seconds, later(clip.events), later(clip.dont_care))


# Fetching.


@dataclass(frozen=True, slots=True)
class _People:
    """Where people are cut out."""

    repository: str
    commit: str
    path: str


_READING = _People("e-sha/Background-subtraction", "6fec8854e076ca5e53fab3ec343e58935c9f56dc", "data/office")
"""A man who stands and reads, with a mask a frame (CDnet 2014, free for research)."""

_WALKING = _People("Izzy90/video_processing_project", "0fa1df0aa7360bf838aa31a12259b7ecb8ff1606", "Videos/walking.avi")
"""A walker before a green screen."""

_TALL_PX = 300


def fetch(recipe: Recipe, origin: str, folder: Path) -> None:
    """Writes the decoded clip.  Raises `ValueError` when the file is another than was labelled."""
    with tempfile.TemporaryDirectory(prefix="bench-footage-") as place:
        git = _cloned(place, origin, recipe.repository, recipe.commit)
        luma = _frames(git, recipe) if recipe.sha256 is None else _video(git, recipe, Path(place))
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / f"{recipe.name}.npy", luma)


def _video(git: tuple[str, ...], recipe: Recipe, place: Path) -> npt.NDArray[np.uint8]:
    content = _blob(git, f"{recipe.commit}:{recipe.path}")
    if hashlib.sha256(content).hexdigest() != recipe.sha256:
        raise ValueError(f"{recipe.name}: {recipe.path} is another file than was labelled")
    file = place / ("clip" + Path(recipe.path).suffix)
    file.write_bytes(content)
    return decode(file, recipe.duration_s)


def _frames(git: tuple[str, ...], recipe: Recipe) -> npt.NDArray[np.uint8]:
    """A folder of numbered pictures."""
    listed = subprocess.run(
        [*git, "ls-tree", "--name-only", f"{recipe.commit}:{recipe.path}"], check=True, capture_output=True, text=True
    ).stdout.split()
    names = sorted(listed, key=lambda name: int("".join(filter(str.isdigit, name)) or 0))
    shrunk = []
    for name in names:
        picture = _grey(_blob(git, f"{recipe.commit}:{recipe.path}/{name}"))
        shrunk.append(cv2.resize(picture, (WIDTH_PX, HEIGHT_PX), interpolation=cv2.INTER_AREA))
    wanted = np.arange(round(recipe.duration_s * FRAMES_PER_S)) / FRAMES_PER_S
    nearest = np.clip(np.round(wanted * len(shrunk) / recipe.duration_s).astype(int), 0, len(shrunk) - 1)
    return np.asarray(np.stack(shrunk)[nearest], np.uint8)


def _fetch_reading(git: tuple[str, ...]) -> Iterator[tuple[Frame, Frame]]:
    pairs = []
    for number in range(800, 1800, 3):
        picture, truth = (
            _grey(_blob(git, f"{_READING.commit}:{_READING.path}/{name}{number:06d}.{kind}"))
            for name, kind in (("input/in", "jpg"), ("groundtruth/gt", "png"))
        )
        pairs.append((picture, _largest(truth >= 170)))
    everywhere = np.max([mask for _, mask in pairs], axis=0)
    rows, columns = np.flatnonzero(everywhere.any(axis=1)), np.flatnonzero(everywhere.any(axis=0))
    window = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    for picture, mask in pairs:
        yield picture[window], np.asarray(cv2.GaussianBlur(255 * mask[window], (3, 3), 0), np.uint8)


def _fetch_walking(git: tuple[str, ...], place: Path) -> Iterator[tuple[Frame, Frame]]:
    file = place / "walking.avi"
    file.write_bytes(_blob(git, f"{_WALKING.commit}:{_WALKING.path}"))
    with av.open(str(file)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number % 3 or not 14.6 < number / 30 < 16.4:
                continue
            colours = frame.to_ndarray(format="bgr24")
            green = colours[..., 1].astype(int) - np.maximum(colours[..., 0], colours[..., 2])
            mask = _largest(green < 35)
            rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            window = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            wide = round(_TALL_PX * (columns[-1] - columns[0] + 1) / (rows[-1] - rows[0] + 1))
            grey = cv2.cvtColor(colours, cv2.COLOR_BGR2GRAY)
            luma, covers = (
                np.asarray(cv2.resize(each[window], (wide, _TALL_PX), interpolation=cv2.INTER_AREA), np.uint8)
                for each in (grey, 255 * mask)
            )
            yield luma, covers


def _largest(mask: Any) -> Frame:
    """Its largest part, 0 or 1."""
    _, parts, statistics, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    largest = 1 + int(np.argmax(statistics[1:, cv2.CC_STAT_AREA]))
    return np.asarray(np.asarray(parts) == largest, np.uint8)


def _grey(content: bytes) -> Frame:
    return np.asarray(cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE), np.uint8)


def fetch_people(origin: str, folder: Path) -> None:
    """Writes `reading.npz` and `walking.npz`."""
    for name, people in (("reading", _READING), ("walking", _WALKING)):
        with tempfile.TemporaryDirectory(prefix="bench-footage-") as place:
            git = _cloned(place, origin, people.repository, people.commit)
            poses = _fetch_reading(git) if name == "reading" else _fetch_walking(git, Path(place))
            arrays = {}
            for number, (luma, covers) in enumerate(poses):
                arrays[f"luma{number}"], arrays[f"covers{number}"] = luma, covers
        np.savez_compressed(folder / f"{name}.npz", allow_pickle=False, **arrays)


def _cloned(place: str, origin: str, repository: str, commit: str) -> tuple[str, ...]:
    git = ("git", "-C", place)
    address = f"{origin.rstrip('/')}/{repository}"
    for words in (("init", "-q"), ("fetch", "-q", "--depth=1", address, commit)):
        subprocess.run([*git, *words], check=True)
    return git


def _blob(git: tuple[str, ...], name: str) -> bytes:
    return subprocess.run([*git, "cat-file", "blob", name], check=True, capture_output=True).stdout


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", dest="origin", required=True, help="what stands before OWNER/NAME")
    parser.add_argument("--folder", type=Path, default=CACHE)
    chosen = parser.parse_args()
    for recipe in recipes():
        if _at(recipe, chosen.folder):
            continue
        try:
            fetch(recipe, chosen.origin, chosen.folder)
            print(recipe.name, flush=True)
        except (subprocess.CalledProcessError, ValueError, av.FFmpegError) as error:
            print(f"{recipe.name}: left out, {error}", flush=True)
    fetch_people(chosen.origin, chosen.folder)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
