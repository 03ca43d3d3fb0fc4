"""`make demo`: plays the main job end to end, on real footage and a real broker, and exits non-zero if anything fails.

VIDEO=file    any video instead of the pedestrians of OpenCV's vtest.avi
CAMERA=device half a minute of a USB camera
OWNER=x25519  owner keys that stock `age` of any version opens, instead of post-quantum ones
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import av

from agent.clients.owner.keys import IdentityKind
from agent.errors import ConfigurationError, DoorwardError
from demo.ending import like_ctrl_c
from demo.results import forget, leave
from demo.story import Footage, Story
from demo.telling import Teller

_HERE = Path(__file__).resolve().parent
_VTEST = (
    _HERE.parent / ".cache" / "vtest.avi",
    Path("/usr/share/doc/opencv-doc/examples/data/vtest.avi"),
)
_DRAWN_S = 80.0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make demo", description="Runs Doorward's main job end to end.")
    parser.add_argument("--out", type=Path, default=_HERE, help="folder for the results (default: demo/)")
    parser.add_argument("--video", default=os.environ.get("VIDEO") or None)
    parser.add_argument("--camera", default=os.environ.get("CAMERA") or None)
    parser.add_argument("--owner", default=os.environ.get("OWNER") or "hybrid", choices=["hybrid", "x25519"])
    options = parser.parse_args(arguments)
    tell = Teller()
    tell.title("Doorward", "A doorbell camera that cannot open its own footage. Each step below is real and checked.")
    try:
        footage = _footage(options.video, options.camera)  # before the last results go
        options.out.mkdir(parents=True, exist_ok=True)
        forget(options.out)
        story = Story(tell, options.out.resolve() / "out", footage, IdentityKind(options.owner))
        outcome = story.play()
        leave(story, outcome, options.out.resolve(), tell)
    except DoorwardError as error:
        tell.proof(False, error.message)
        tell.say(f"What to do: {error.remedy}" if error.remedy else "")
        return 1
    except KeyboardInterrupt:
        tell.say("Stopped.")
        return 130
    tell.console.print()
    if outcome.failed:
        tell.proof(False, f"{len(outcome.failed)} of the claims above failed.")
        return 1
    tell.proof(True, f"Every claim held. The demo took {sum(outcome.timings_s.values()):.0f} seconds.")
    return 0


def _footage(video: str | None, camera: str | None) -> Footage:
    if camera is not None:
        return Footage(f"half a minute of {camera}", None, camera, None)
    if video is not None:
        path = Path(video).expanduser().resolve()
        return Footage(f"{path.name}, {_length_s(path):.0f} s", path, None, _length_s(path))
    for path in _VTEST:
        if path.exists():
            return Footage(f"pedestrians, OpenCV's vtest.avi, {_length_s(path):.0f} s", path, None, _length_s(path))
    return Footage("a porch, drawn by the project (vtest.avi is not available)", None, None, _DRAWN_S)


def _length_s(path: Path) -> float:
    """Returns the length of the video. Raises `ConfigurationError` if the file is not a video."""
    remedy = "Name a video file. For example: make demo VIDEO=/path/to/my.mp4"
    try:
        with av.open(str(path)) as container:
            stream = next(iter(container.streams.video), None)
            if stream is None:
                raise ConfigurationError(f"{path} contains no video.", remedy=remedy)
            if container.duration:
                return container.duration / av.time_base
            return float(stream.frames / (stream.average_rate or 25)) or 60.0
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be opened: {error.strerror or error}.", remedy=remedy) from error
    except av.error.FFmpegError as error:
        raise ConfigurationError(f"{path} is not a video, or its end is missing.", remedy=remedy) from error


if __name__ == "__main__":
    like_ctrl_c()
    sys.exit(main())
