"""One owner, one enrolled device with two clips of real media, one trusted requester and its request."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from agent.clients.opening import HybridIdentity
from agent.clients.owner.enrolment import enrol
from agent.clients.owner.keys import OwnerKeys, OwnerSeeds
from agent.clients.owner.trust_roots import add_trust_root, offer_bundle
from agent.core.media import StreamDescription
from agent.media.fmp4 import FragmentedMp4Writer
from agent.recorder.capture.camera_scripted import ScriptedCamera, Visit
from agent.wire import envelope, strictjson
from agent.wire.messages import FootageRequest
from tests.cameras import gops_of, play
from tests.clients.owner.fake_device import FakeDevice
from tests.sounds import track
from tests.wire import samples

NOW_MS = samples.NOW_S * 1000
WINDOW_MS = (samples.NOW_S - 9 * samples.HOUR_S) * 1000
"""Well inside the window that `samples.request` asks about."""
REPLY = HybridIdentity(b"r" * 32)


def seeds(name: str) -> OwnerSeeds:
    return OwnerSeeds(*(f"{name} {key}".encode().ljust(32, b".") for key in ("identity", "approval", "recovery")))


def now() -> int:
    return NOW_MS


@pytest.fixture(scope="session")
def media() -> list[bytes]:
    """Three segments of two seconds."""
    gops = gops_of(play(ScriptedCamera([Visit(0.5)], duration_s=6, size_px=(320, 180)))[1])
    made = []
    for begin in range(0, len(gops), 2):
        writer = FragmentedMp4Writer(StreamDescription(320, 180, 10, 320, 176, False))
        first, *others = gops[begin : begin + 2]
        made.append(writer.begin(first) + b"".join(map(writer.add, others)))
    return made[:3]


@pytest.fixture(scope="session")
def other_media() -> bytes:
    """A segment of another picture format."""
    gops = gops_of(play(ScriptedCamera([Visit(0.5)], duration_s=2, size_px=(640, 360)))[1])
    writer = FragmentedMp4Writer(StreamDescription(640, 360, 10, 320, 176, False))
    return writer.begin(gops[0]) + b"".join(map(writer.add, gops[1:]))


@pytest.fixture
def make_owner(tmp_path: Path) -> Callable[[str], OwnerKeys]:
    return lambda name: OwnerKeys.create(tmp_path / name, name=name, seeds=seeds(name))


@pytest.fixture
def keys(make_owner: Callable[[str], OwnerKeys]) -> OwnerKeys:
    return make_owner("anna")


@pytest.fixture
def device() -> FakeDevice:
    return FakeDevice(NOW_MS)


@dataclass
class Home:
    """An enrolled device, its owner, and a request for the first clip (two segments) and the second (one)."""

    device: FakeDevice
    keys: OwnerKeys
    segments: tuple[str, ...]
    request: str


def signed_request(**changes: object) -> bytes:
    request = samples.request(**{"reply": str(REPLY.recipient()), **changes})
    return envelope.sign(FootageRequest.PAYLOAD_TYPE, strictjson.encode(request), samples.REQUESTER)


def signed_bundle(**changes: object) -> bytes:
    return samples.several(samples.bundle(**changes), samples.ROOT)


@pytest.fixture(scope="session")
def furnished(media: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> Home:
    """The home of all tests, which none of them may change."""
    device, keys = enrolled_home(tmp_path_factory.mktemp("home") / "anna")
    segments = (
        device.record(media[0], WINDOW_MS, event=1, poster=True, sound=track(2, silent_s=1)),
        device.record(media[1], WINDOW_MS + 2000, event=1),
        device.record(media[2], WINDOW_MS + 60_000, event=2, poster=True),
    )
    return Home(device, keys, segments, device.ask_for(signed_request(), segments))


def enrolled_home(folder: Path) -> tuple[FakeDevice, OwnerKeys]:
    """Returns a device, and the keys of its owner, who trusts a root."""
    device, keys = FakeDevice(NOW_MS), OwnerKeys.create(folder, name="anna", seeds=seeds("anna"))
    enrol(device, keys, clock=now)
    add_trust_root(device, keys, samples.ROOT_KEY.text, clock=now)
    offer_bundle(device, keys, signed_bundle())
    return device, keys


@pytest.fixture
def home(device: FakeDevice, keys: OwnerKeys, furnished: Home) -> Home:
    """A copy of the home for one test: enrolling and recording take as long as most tests."""
    furnish(device, keys.folder, furnished)
    return Home(device, keys, furnished.segments, furnished.request)


def furnish(device: FakeDevice, folder: Path, furnished: Home) -> None:
    """Makes a device and the folder of its owner's keys as they are in that home."""
    vars(device).update(copy.deepcopy(vars(furnished.device)))
    shutil.copytree(furnished.keys.folder, folder, dirs_exist_ok=True)


__all__ = ["NOW_MS", "REPLY", "WINDOW_MS", "Home", "now", "replace", "seeds", "signed_bundle", "signed_request"]
