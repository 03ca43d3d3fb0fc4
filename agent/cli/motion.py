"""`doorward motion`: the motion detector's events in a video, and their cost."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from agent.cli import words
from agent.cli.frame import Fraction, emit_json, json_option
from agent.cli.motion_picture import MotionStrip, Record, picture_of
from agent.config import Configuration, load
from agent.core.events import EventBegins, EventEffect, EventEnds, EventMachine, EventSettings
from agent.core.media import EncodedPacket, LumaFrame, StreamDescription
from agent.core.motion.detector import Detector
from agent.core.motion.sample import MotionSample
from agent.core.motion.zones import ZoneMap
from agent.core.motion_accuracy.labels import Label, parse_labels
from agent.core.motion_accuracy.scoring import Interval, Score, score, total
from agent.core.object_detection.detector import ObjectDetector
from agent.core.object_detection.labels import LabelVotes, MovedRegions
from agent.core.timebase import NS_PER_S, BootNs
from agent.errors import ConfigurationError, FormatError
from agent.ports import CameraEnd
from agent.recorder import motion_kernel
from agent.recorder.capture.camera_file import FileCamera
from agent.recorder.capture.delivery import EncodingSettings
from agent.recorder.detector_opencv import MODELS, open_detector
from agent.recorder.translation import zone_map

__all__ = ["motion"]

_NO_LABELS = EncodingSettings(preset="ultrafast", quality=51)
"""The packets are thrown away: the cheapest encoding will do.  The luma is the same whatever they are."""
_LOOK_EVERY_S = 0.5

_VIDEO_SUFFIXES = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ts", ".webm"})


@dataclass(frozen=True, slots=True)
class DetectedEvent:
    """Seconds from the start of the footage; `score` 0..1 is the strongest motion in it.

    `labels`: the labels of object detection in it, if it was used.
    """

    start_s: float
    end_s: float
    score: float
    labels: tuple[str, ...] | None = None


@dataclass(slots=True)
class MotionRun:
    """A `CameraSink` that detects, groups, and keeps account.  Fed by the camera's thread, read when `over` is set."""

    detector: Detector
    machine: EventMachine
    object_detector: ObjectDetector | None = None
    events: list[DetectedEvent] = field(default_factory=list)
    frames: int = 0
    footage_s: float = 0.0
    cpu_ns: int = 0
    end: CameraEnd = CameraEnd.LOST
    detail: str = ""
    over: threading.Event = field(default_factory=threading.Event)
    record: Record = field(default_factory=Record)
    looks: int = 0
    look_ns: int = 0
    _began_s: float = 0.0
    _votes: LabelVotes = field(default_factory=LabelVotes)
    _moved: MovedRegions = field(default_factory=MovedRegions)
    _next_look_s: float = 0.0

    def packet(self, packet: EncodedPacket) -> None:
        """Ignores encoded packets: only decoded pictures matter here."""

    def luma(self, frame: LumaFrame) -> None:
        began_ns = time.thread_time_ns()
        sample = self.detector.step(frame)
        self.cpu_ns += time.thread_time_ns() - began_ns
        self.frames += 1
        self.footage_s = frame.sensor_ns / NS_PER_S
        self.record.take(sample, frame.luma, self.footage_s, len(self.events))
        self._take(self.machine.on_motion(sample))
        if self.object_detector is not None and self.machine.recorded_event is not None:
            self._look(self.object_detector, frame, sample)

    def _look(self, object_detector: ObjectDetector, frame: LumaFrame, sample: MotionSample) -> None:
        """As `recorder.object_detection` does while recording."""
        self._moved.add(frame.sensor_ns, sample.box, present=sample.present)
        if self.footage_s < self._next_look_s:
            return
        self._next_look_s = self.footage_s + _LOOK_EVERY_S
        began_ns = time.thread_time_ns()
        picture = frame.picture() if frame.picture is not None else frame.luma
        self._votes.add(frame.sensor_ns, object_detector.detect(picture, self._moved.box), self._moved.box)
        self.look_ns += time.thread_time_ns() - began_ns
        self.looks += 1

    def ended(self, end: CameraEnd, detail: str) -> None:
        self._take(self.machine.close(BootNs(round(self.footage_s * NS_PER_S))))
        self.end, self.detail = end, detail
        self.over.set()

    def _take(self, effects: Sequence[EventEffect]) -> None:
        for effect in effects:
            if isinstance(effect, EventBegins):
                self._began_s = self._next_look_s = effect.at_ns / NS_PER_S
                self._votes, self._moved = LabelVotes(), MovedRegions()
            elif isinstance(effect, EventEnds):
                labels = tuple(label.value for label in self._votes.shown) if self._votes.inferences else None
                self.events.append(DetectedEvent(self._began_s, effect.at_ns / NS_PER_S, effect.peak_score, labels))


@click.command()
@click.argument("places", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="FILE|FOLDER...")
@click.option(
    "--config", type=click.Path(path_type=Path, dir_okay=False), help="Use the zones and sensitivity of this file."
)
@click.option(
    "--merge-gap",
    "merge_gap_s",
    type=Fraction(0, 600),
    default=3.0,
    show_default=True,
    metavar="SECONDS",
    help="Motion that returns within this many seconds is one event.",
)
@click.option(
    "--labels", metavar="LABELS", type=click.Path(path_type=Path, dir_okay=False), help="Truth to compare with (JSON)."
)
@click.option(
    "--picture", type=click.Path(path_type=Path, dir_okay=False), help="Draw the result into this PNG, for tuning."
)
@click.option("--objects", is_flag=True, help="Name what is in each event: person, vehicle, animal.")
@json_option
def motion(
    places: tuple[Path, ...],
    config: Path | None,
    merge_gap_s: float,
    labels: Path | None,
    picture: Path | None,
    objects: bool,
    as_json: bool,
) -> None:
    """Show the motion detector's events in a video.

    For each FILE, and each video in a FOLDER, it prints the events with start, end and score, and the detector's cost
    per frame, as CPU time of its thread.  The detector sees the same data as while recording.

    LABELS is a JSON object whose entries have "file", "duration_s", and as lists of [start, end] in seconds "events_s"
    and, for motion that does not count, "dont_care_s".  With LABELS it counts seen, missed and false events.

    With --objects a network examines frames of each event, as while recording; `make models` fetches it.
    """
    settings = load(config) if config else Configuration()
    zones = zone_map(settings.motion)
    object_detector = open_detector(settings.object_detection.models or MODELS) if objects else None
    truth = _labels(labels) if labels else {}
    watches: dict[Path, MotionRun] = {}
    scores: dict[Path, Score] = {}
    for file in _files(places):
        watches[file] = _watch(file, zones, merge_gap_s, object_detector, quiet=as_json)
        label = truth.get(file.name)
        if label:
            scores[file] = _compare(watches[file], label)
        if not as_json:
            _show(file, watches[file], scores.get(file))
    if picture:
        _draw(picture, watches, truth)
    if as_json:
        emit_json(_document(watches, scores))
    elif len(scores) > 1:
        click.echo(f"\nall {len(scores)} labelled files: {_in_words(total(scores.values()))}")
    if any(watch.end is CameraEnd.LOST for watch in watches.values()):
        raise click.exceptions.Exit(1)


def _files(places: Sequence[Path]) -> Iterator[Path]:
    """Files as they are, folders as the videos in them, by name."""
    for place in places:
        if not place.is_dir():
            yield place
            continue
        videos = sorted(path for path in place.iterdir() if path.suffix.lower() in _VIDEO_SUFFIXES)
        if not videos:
            raise ConfigurationError(f"There is no video in '{place}'.", remedy="Name a folder of videos, or a video.")
        yield from videos


def _draw(path: Path, watches: dict[Path, MotionRun], truth: dict[str, Label]) -> None:
    strips = [
        MotionStrip(
            name=file.name,
            length_s=watch.footage_s,
            record=watch.record,
            events_s=[(event.start_s, event.end_s) for event in watch.events],
            truth_s=[(each.start_s, each.end_s) for each in truth[file.name].events] if file.name in truth else None,
            thresholds=watch.detector.thresholds,
        )
        for file, watch in watches.items()
    ]
    try:
        path.write_bytes(picture_of(strips))
    except OSError as error:
        message = f"The picture {path} cannot be written: {error.strerror}."
        raise ConfigurationError(message, remedy="Choose a folder that you may write to.") from error


def _watch(
    file: Path, zones: ZoneMap, merge_gap_s: float, object_detector: ObjectDetector | None, *, quiet: bool
) -> MotionRun:
    """Play the file through the detector, as fast as it goes."""
    camera = FileCamera(file, settings=_NO_LABELS)
    try:
        gives = camera.open()
        watch = MotionRun(_detector(gives, zones), EventMachine(_grouping(merge_gap_s)), object_detector)
        camera.start(watch, BootNs(0))
        _wait(watch, file.name, _length_s(file), quiet=quiet)
    finally:
        camera.stop()
    return watch


def _detector(gives: StreamDescription, zones: ZoneMap) -> Detector:
    make_passes = motion_kernel.load().make_passes
    return Detector(gives.luma_height_px, gives.luma_width_px, gives.frames_per_s, zones, make_passes=make_passes)


def _grouping(merge_gap_s: float) -> EventSettings:
    # Without a pre-roll, because labels give the times of the motion itself.
    return EventSettings(pre_roll_s=0, post_roll_s=merge_gap_s, merge_gap_s=merge_gap_s, longest_clip_s=3600)


def _wait(watch: MotionRun, name: str, length: float | None, *, quiet: bool) -> None:
    console = Console(stderr=True, quiet=quiet)
    shown = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:3.0f} %"), TimeElapsedColumn())
    with Progress(*shown, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(name, total=length)
        while not watch.over.wait(0.1):
            progress.update(task, completed=watch.footage_s)


def _length_s(file: Path) -> float | None:
    """Returns the length in the file's header, for the progress bar."""
    with av.open(str(file)) as container:
        return container.duration / av.time_base if container.duration else None


def _labels(path: Path) -> dict[str, Label]:
    """By file name.  Raises `ConfigurationError` or `FormatError`, which name the file."""
    try:
        text = path.read_bytes()
    except OSError as error:
        message = f"The labels {path} cannot be read: {error.strerror}."
        raise ConfigurationError(message, remedy="Check the path.") from error
    try:
        return {label.file: label for label in parse_labels(text)}
    except FormatError as error:
        remedy = error.remedy or "Use the format in the help: doorward motion --help"
        raise FormatError(f"{path}: {error.message}", remedy=remedy) from error


def _compare(watch: MotionRun, label: Label) -> Score:
    seen = [Interval(event.start_s, event.end_s) for event in watch.events]
    return score(label.events, seen, duration_s=watch.footage_s, dont_care=label.dont_care)


# --- Showing


def _show(file: Path, watch: MotionRun, compared: Score | None) -> None:
    frames = f"{watch.footage_s:.1f} s, {watch.frames} frames"
    looks = f", {watch.looks} looks of {watch.look_ns / 1e6 / watch.looks:.0f} ms" if watch.looks else ""
    cost = f"{_cpu_ms(watch):.3f} ms of CPU a frame ({watch.detector.passes_name}){looks}"
    click.echo(f"{click.style(str(file), bold=True)}: {frames}, {cost}")
    for number, event in enumerate(watch.events, start=1):
        span = f"{_clock(event.start_s)} – {_clock(event.end_s)}"
        click.echo(f"  event {number:3}   {span}   score {event.score:.2f}{_labels_of(event)}")
    if not watch.events:
        click.echo("  nothing moved")
    if compared:
        click.echo(f"  compared with the labels: {_in_words(compared)}")
    if watch.end is CameraEnd.LOST:
        click.echo(click.style("  Note: ", fg="yellow") + watch.detail)


def _labels_of(event: DetectedEvent) -> str:
    return "" if event.labels is None else f"   {', '.join(event.labels) or words.UNSURE}"


def _cpu_ms(watch: MotionRun) -> float:
    return watch.cpu_ns / 1e6 / max(1, watch.frames)


def _clock(at_s: float) -> str:
    """63.25 → 1:03.2"""
    tenths = int(at_s * 10)
    return f"{tenths // 600:3}:{tenths % 600 / 10:04.1f}"


def _in_words(compared: Score) -> str:
    return (
        f"{compared.hits} seen, {compared.misses} missed, {compared.false_alarms} false "
        f"(F1 {compared.f1:.2f}, {compared.false_alarms_per_h:.0f} false an hour)"
    )


def _document(watches: dict[Path, MotionRun], scores: dict[Path, Score]) -> dict[str, Any]:
    documents = []
    for file, watch in watches.items():
        document = {
            "file": str(file),
            "footage_s": round(watch.footage_s, 3),
            "frames": watch.frames,
            "cpu_ms_per_frame": round(_cpu_ms(watch), 4),
            "passes": watch.detector.passes_name,
            "end": watch.end.value,
            "events": [_event_document(event) for event in watch.events],
        }
        documents.append(document | ({"labels": _numbers(scores[file])} if file in scores else {}))
    return {"files": documents} | ({"labels": _numbers(total(scores.values()))} if scores else {})


def _event_document(event: DetectedEvent) -> dict[str, Any]:
    """Returns the event, without `labels` if object detection was off."""
    return {name: value for name, value in dataclasses.asdict(event).items() if value is not None}


def _numbers(compared: Score) -> dict[str, float]:
    names = ("hits", "misses", "false_alarms", "precision", "recall", "f1", "false_alarms_per_h")
    return {name: getattr(compared, name) for name in names}
