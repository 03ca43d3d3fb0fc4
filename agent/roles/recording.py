"""Builds the recorder of a role that has a camera, the same for `solo` and for the recorder's own process."""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass

from agent.adapters import motion_kernel
from agent.adapters.entropy_system import SystemEntropy
from agent.config import CameraKind, Configuration
from agent.core.motion.settings import MotionSettings
from agent.core.opinion.eye import Eye
from agent.core.recovery import Recovery
from agent.core.vault.names import SegmentId
from agent.ports import Camera, Clock, Microphone, Notifier
from agent.roles import translation
from agent.roles.opining import make_opinion
from agent.services.live import LiveMaker
from agent.services.recorder import Recorder, RecorderSettings
from agent.services.vault import Vault

__all__ = ["Stand", "make_recorder"]


@dataclass(frozen=True, slots=True)
class Stand:
    """What a recorder stands on, which each role has in its own way.

    `supervised`: somebody restarts the process; `exits`: see `Recovery`.
    """

    vault: Vault
    clock: Clock
    notifier: Notifier
    held: Callable[[], Container[SegmentId]]
    live: LiveMaker
    exits: int
    supervised: bool


def make_recorder(
    configuration: Configuration,
    stand: Stand,
    open_camera: Callable[[], Camera],
    *,
    open_microphone: Callable[[], Microphone] | None = None,
    open_eye: Callable[[], Eye] | None = None,
) -> Recorder:
    """Opens nothing yet.  The last two replace what the configuration says: for tests and the demo."""
    clips, panel = configuration.clips, configuration.panel
    return Recorder(
        open_camera,
        stand.vault,
        stand.clock,
        SystemEntropy(),
        stand.notifier,
        RecorderSettings(
            MotionSettings(),
            translation.zone_map(configuration.motion),
            translation.event_settings(clips),
            translation.writer_settings(clips),
            configuration.camera.stall_s,
        ),
        stand.held,
        recovery=Recovery(
            supervised=stand.supervised,
            network=configuration.camera.kind is CameraKind.RTSP,
            exits=stand.exits,
        ),
        # Until somebody has read the privacy switch, it counts as on.
        private=panel is not None and panel.privacy is not None,
        make_passes=motion_kernel.load().make_passes,
        open_microphone=open_microphone or translation.open_microphone(configuration),
        live=stand.live,
        opinion=make_opinion(configuration, stand.notifier, open_eye),
    )
