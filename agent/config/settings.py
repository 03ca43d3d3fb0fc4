"""The complete list of settings: every section, key, type, range and default.

Rules: the type holds the range, so a value out of range cannot be loaded. `cross_field_errors` holds the rules about
two keys. The ranges here are the hard bounds of the limits on requests: an owner may tighten them, never loosen them.
Units are in the names; ratios are 0..1; paths in a file are relative to that file.
"""

from __future__ import annotations

import enum
import ipaddress
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from msgspec import Meta, Struct, field

from agent.core.alerts.channels import SCHEMES, scheme_of
from agent.core.alerts.kinds import AlertKind
from agent.core.languages import LanguageCode
from agent.core.networks import dns_label, is_local
from agent.core.vault.age.recipients import parse_recipient
from agent.errors import FormatError
from agent.wire.fields import ZoneKind
from agent.wire.strictjson import prepare
from agent.wire.trust_keys import parse_trust_key
from agent.wire.witness_keys import parse_witness
from firmware_bridge.boards import MOST_PX_PER_S, BoardName, board_named
from firmware_bridge.settings import BoardConfig, PanelConfig, TimeOfDay, pin_conflicts

__all__ = [
    "AlertChannelConfig",
    "AlertsConfig",
    "BackupConfig",
    "BoardConfig",
    "BoardName",
    "BrokerConfig",
    "CameraConfig",
    "CameraKind",
    "ClipsConfig",
    "Configuration",
    "CrossFieldError",
    "DeviceConfig",
    "Encoder",
    "HomeAssistantConfig",
    "InstallerConfig",
    "LogConfig",
    "LogFormat",
    "LogLevel",
    "MetricsConfig",
    "MotionConfig",
    "ObjectDetectionConfig",
    "ObjectDetectionUse",
    "PageConfig",
    "PanelConfig",
    "PositionConfig",
    "PrivacyConfig",
    "PrivateHoursConfig",
    "RemoteConfig",
    "RequestsConfig",
    "RootOffer",
    "SoundConfig",
    "SoundKind",
    "SpeakerConfig",
    "SpeakerKind",
    "TimeZone",
    "UpdatesConfig",
    "VaultConfig",
    "Weekday",
    "WitnessAddressConfig",
    "WitnessConfig",
    "ZoneConfig",
    "cross_field_errors",
    "household_cross_field_errors",
    "root_offer_errors",
]

SECRET = {"secret": True}
"""Marks a type with a secret value, which errors must leave out (`Meta.extra`)."""

Name = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]*\Z")]
Share = Annotated[float, Meta(ge=0, le=1)]
FrameSize = tuple[Annotated[int, Meta(ge=160, le=3840)], Annotated[int, Meta(ge=120, le=2160)]]
FramesPerSecond = Annotated[int, Meta(ge=1, le=60)]
CameraNumber = Annotated[int, Meta(ge=0, le=7)]
Sensitivity = Annotated[float, Meta(ge=0.1, le=10)]


class Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One table of the file. An unknown key is refused, because a typing mistake must not pass for a setting."""


class PositionConfig(Section, frozen=True, kw_only=True):
    """The position of the camera, in degrees (WGS 84). It never leaves the device."""

    latitude: Annotated[float, Meta(ge=-90, le=90)]
    longitude: Annotated[float, Meta(ge=-180, le=180)]


TimeZone = Annotated[
    str,
    Meta(
        max_length=32,
        pattern=r"^([A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+){0,2})?\Z",
        description='a time zone in quotes, like "Europe/Amsterdam"',
    ),
]


class DeviceConfig(Section, frozen=True, kw_only=True):
    """`[device]`"""

    name: Name = "front-door"
    state_dir: Path = Path("/var/lib/doorward")
    time_zone: TimeZone = ""
    """If empty, the machine's."""
    position: PositionConfig | None = None
    """Footage requests can match only if a position is set."""


class CameraKind(enum.Enum):
    """Which adapter delivers frames."""

    USB = "usb"
    PI = "pi"
    RTSP = "rtsp"
    FILE = "file"
    SCRIPTED = "scripted"


class Encoder(enum.Enum):
    """The H.264 encoder for the pictures of a Pi camera."""

    AUTO = "auto"
    """The hardware of boards that have it, else software."""
    HARDWARE = "hardware"
    SOFTWARE = "software"


class Focus(enum.Enum):
    """How a lens that moves is focused."""

    FIXED = "fixed"
    """At `focus_m`."""
    ONCE = "once"
    """By the camera, when it starts. The lens then stays."""
    CONTINUOUS = "continuous"
    """By the camera, all the time. A lens that moves can look like motion."""


Url = Annotated[
    str,
    Meta(
        min_length=8,
        max_length=500,
        pattern=r"^rtsps?://[^\x00-\x20\x7f]+\Z",
        description="an rtsp:// address in quotes",
        extra=SECRET,
    ),
]


class CameraConfig(Section, frozen=True, kw_only=True):
    """`[camera]`"""

    kind: CameraKind = CameraKind.USB
    device: Path = Path("/dev/video0")
    path: Path | None = None
    realtime: bool = True
    size: FrameSize = (1280, 720)
    """Width and height, px, even."""
    fps: FramesPerSecond = 15
    quality: Annotated[int, Meta(ge=15, le=35)] = 25
    bitrate_kbps: Annotated[int, Meta(ge=100, le=50_000)] = 4000
    """The limit over any second. A quiet scene needs far less."""
    stall_s: Annotated[float, Meta(ge=5, le=90)] = 15.0
    number: CameraNumber = 0
    rotate: bool = False
    mirror: bool = False
    focus: Focus = Focus.FIXED
    focus_m: Annotated[float, Meta(ge=0.1, le=100)] = 2.0
    hdr: bool = False
    encoder: Encoder = Encoder.AUTO
    url: Url | None = None
    luma_url: Url | None = None


SoundCard = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=100,
        pattern=r"^([A-Za-z0-9_-]+|(default|sysdefault|front|hw|plughw|dsnoop):[A-Za-z0-9_=,-]+)\Z",
        description="a card as `arecord -L` lists them, in quotes",
    ),
]
"""ALSA's names can say more than that: "tee:" and "file:" write files and start commands."""


class SoundKind(enum.Enum):
    """Which adapter listens."""

    ALSA = "alsa"
    CAMERA = "camera"
    """A network camera's own."""
    FILE = "file"


class SoundConfig(Section, frozen=True, kw_only=True):
    """`[sound]`: sound is recorded only if this section exists."""

    kind: SoundKind = SoundKind.ALSA
    device: SoundCard = "default"
    path: Path | None = None
    bitrate_kbps: Annotated[int, Meta(ge=16, le=128)] = 40


class SpeakerKind(enum.Enum):
    """Which adapter plays."""

    ALSA = "alsa"
    FILE = "file"
    """Writes a WAV file, for a trial."""


class SpeakerConfig(Section, frozen=True, kw_only=True):
    """`[speaker]`: owners can talk to visitors only if this section exists."""

    kind: SpeakerKind = SpeakerKind.ALSA
    device: SoundCard = "default"
    path: Path | None = None
    volume: Annotated[int, Meta(ge=0, le=100)] = 80
    """The loudest, in percent."""
    replies: Path | None = None


HostName = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=253,
        pattern=r"^[A-Za-z0-9.:_-]+\Z",
        description="a host name or address in quotes, without https:// and port",
    ),
]
UserName = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9._@-]{0,128}\Z", description="a name of letters, digits, ., _, @ and -")
]
PersonHeight = Annotated[float, Meta(ge=0, le=0.8)]
_LEAST_ZONE: Final = 1e-6
"""Share of the picture, one pixel of 1280 × 720. A smaller zone is a line or a point, and as an include zone nothing
would count."""


class ZoneConfig(Section, frozen=True, kw_only=True):
    """`[[motion.zones]]`: one polygon, corners (x, y) from the top left, 0..1."""

    name: Name
    corners: Annotated[tuple[tuple[Share, Share], ...], Meta(min_length=3, max_length=64)]
    kind: ZoneKind = ZoneKind.INCLUDE
    sensitivity: Sensitivity = 1.0
    smallest_person: PersonHeight = 0.0


Zones = Annotated[tuple[ZoneConfig, ...], Meta(max_length=32)]


class MotionConfig(Section, frozen=True, kw_only=True):
    """`[motion]`"""

    sensitivity: Sensitivity = 1.0
    smallest_person: PersonHeight = 0.0
    zones: Zones = ()


class ClipsConfig(Section, frozen=True, kw_only=True):
    """`[clips]`"""

    pre_roll_s: Annotated[float, Meta(ge=0, le=60)] = 5.0
    post_roll_s: Annotated[float, Meta(ge=1, le=120)] = 10.0
    merge_gap_s: Annotated[float, Meta(ge=0, le=600)] = 30.0
    longest_clip_s: Annotated[float, Meta(ge=10, le=3600)] = 120.0
    segment_s: Annotated[float, Meta(ge=2, le=30)] = 5.0
    pre_roll_max_bytes: Annotated[int, Meta(ge=1_000_000, le=256_000_000)] = 16_000_000
    fault_memory_bytes: Annotated[int, Meta(ge=1_000_000, le=1_000_000_000)] = 32_000_000
    continuous: bool = False
    media_signing: bool = True


class ObjectDetectionUse(enum.Enum):
    """Selects whether object detection examines frames of events for people, vehicles and animals."""

    AUTO = "auto"
    """On if the network is installed."""
    ON = "on"
    OFF = "off"


class ObjectDetectionConfig(Section, frozen=True, kw_only=True):
    """`[object_detection]`: object detection. It needs an installed network, whatever the setting."""

    use: ObjectDetectionUse = ObjectDetectionUse.AUTO
    models: Path | None = None


class VaultConfig(Section, frozen=True, kw_only=True):
    """`[vault]`"""

    max_bytes: Annotated[int, Meta(ge=10_000_000, le=10**15)] = 20_000_000_000
    max_age_days: Annotated[int, Meta(ge=1, le=3650)] = 30
    free_floor: Annotated[float, Meta(ge=0.01, le=0.9)] = 0.05
    kept_bytes: Annotated[int, Meta(ge=10_000_000, le=10**15)] = 20_000_000_000
    continuous_max_bytes: Annotated[int, Meta(ge=10_000_000, le=10**15)] = 10_000_000_000
    scrub_bytes_per_day: Annotated[int, Meta(ge=0, le=10**13)] = 2_000_000_000


class RequestsConfig(Section, frozen=True, kw_only=True):
    """`[requests]`: the hard bounds of the protocol are the ranges, so the owner can only tighten."""

    shortest_window_minutes: Annotated[int, Meta(ge=15, le=720)] = 15
    longest_window_minutes: Annotated[int, Meta(ge=15, le=720)] = 720
    smallest_area_m2: Annotated[int, Meta(ge=64_750, le=1_294_994)] = 64_750
    largest_area_m2: Annotated[int, Meta(ge=64_750, le=1_294_994)] = 1_294_994
    longest_look_back_days: Annotated[int, Meta(ge=1, le=45)] = 45
    longest_validity_days: Annotated[int, Meta(ge=1, le=30)] = 30
    longest_retention_days: Annotated[int, Meta(ge=1, le=3653)] = 3653
    requests_per_case: Annotated[int, Meta(ge=1, le=2)] = 2
    requests_per_requester_per_day: Annotated[int, Meta(ge=1, le=50)] = 10
    requests_per_day: Annotated[int, Meta(ge=1, le=200)] = 30
    delay_minutes: Annotated[int, Meta(ge=0, le=1440)] = 0


class BrokerLink(Section, frozen=True, kw_only=True):
    """The broker, and the connection to it: the same for a doorbell and for a fleet."""

    host: HostName
    port: Annotated[int, Meta(ge=1, le=65_535)] = 8883
    keepalive_s: Annotated[int, Meta(ge=10, le=300)] = 60
    session_hours: Annotated[int, Meta(ge=0, le=168)] = 0
    chunk_bytes: Annotated[int, Meta(ge=16_384, le=131_072)] = 131_072


class BrokerConfig(BrokerLink, frozen=True, kw_only=True):
    """`[broker]`: if this section is absent, Doorward only records and leaves the network alone."""

    ca: Path
    certificate: Path | None = None
    key: Path | None = None
    user: UserName = ""
    password_file: Path | None = None


class RemoteConfig(Section, frozen=True, kw_only=True):
    """`[remote]`: owners reach the doorbell away from home through a relay. Off if this section is absent."""

    host: HostName
    port: Annotated[int, Meta(ge=1, le=65_535)] = 8885
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    keepalive_s: Annotated[int, Meta(ge=30, le=300)] = 60
    url: Annotated[
        str,
        Meta(
            max_length=200,
            pattern=r"^wss://[A-Za-z0-9._-]+(:[0-9]{1,5})?(/[A-Za-z0-9._/-]*)?\Z",
            description="a wss:// address in quotes",
        ),
    ]
    user: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{0,64}\Z", description="a name of letters, digits, - and _")] = ""
    password: Annotated[
        str,
        Meta(
            min_length=8,
            max_length=200,
            pattern=r"^[^\x00-\x20\x7f]+\Z",
            description="8 to 200 printable characters in quotes",
            extra=SECRET,
        ),
    ]


class PageConfig(Section, frozen=True, kw_only=True):
    """`[page]`: the page is served only if this section exists."""

    host: Annotated[str, Meta(pattern=r"^[0-9A-Fa-f.:]{2,45}\Z", description="an address in quotes")] = "0.0.0.0"  # noqa: S104 — the local network is who it is for
    port: Annotated[int, Meta(ge=0, le=65_535)] = 8443
    name: Annotated[str, Meta(max_length=63, pattern=r"^([a-z0-9]([a-z0-9-]*[a-z0-9])?)?\Z")] = ""
    addresses: Annotated[tuple[Annotated[str, Meta(pattern=r"^[0-9A-Fa-f.:]{2,45}\Z")], ...], Meta(max_length=16)] = ()
    mdns: bool = True
    domain: Annotated[
        str, Meta(max_length=253, pattern=r"^(([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63})?\Z")
    ] = ""
    setup_by_camera: bool = False


class AlertChannelConfig(Section, frozen=True, kw_only=True):
    """`[[alerts.channels]]`: one channel to one person. `url` may hold a password and is never shown."""

    name: Name
    url: Annotated[
        str,
        Meta(
            min_length=8,
            max_length=1000,
            pattern=r"^[A-Za-z]+://[^\x00-\x20\x7f]+\Z",
            description="an Apprise address in quotes",
            extra=SECRET,
        ),
    ]
    kinds: Annotated[tuple[AlertKind, ...], Meta(max_length=32)] = ()
    quiet: tuple[TimeOfDay, TimeOfDay] | None = None
    language: LanguageCode | None = None


class AlertsConfig(Section, frozen=True, kw_only=True):
    """`[alerts]`: without this section alerts go only to the log."""

    link: Annotated[str, Meta(max_length=200, pattern=r"^(https://[^\x00-\x20\x7f]+)?\Z")] = ""
    off: Annotated[tuple[AlertKind, ...], Meta(max_length=32)] = ()
    digest: Annotated[tuple[AlertKind, ...], Meta(max_length=32)] = ()
    digest_at: TimeOfDay = "20:00"
    cool_down_s: Annotated[int, Meta(ge=0, le=86_400)] = 300
    quiet: tuple[TimeOfDay, TimeOfDay] | None = None
    offline_after_minutes: Annotated[int, Meta(ge=1, le=10_080)] = 60
    language: LanguageCode = LanguageCode.EN
    channels: Annotated[tuple[AlertChannelConfig, ...], Meta(max_length=16)] = ()


class HomeAssistantConfig(Section, frozen=True, kw_only=True):
    """`[home_assistant]`: the owner's own broker, apart from [broker]. Doorward connects only if this section
    exists."""

    host: HostName
    port: Annotated[int, Meta(ge=1, le=65_535)] = 1883
    user: Annotated[str, Meta(max_length=200)] = ""
    password: Annotated[str, Meta(max_length=200, extra=SECRET)] = ""
    ca: Path | None = None
    prefix: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}\Z")] = "homeassistant"


class MetricsConfig(Section, frozen=True, kw_only=True):
    """`[metrics]`: metrics are served only if this section exists. Use one of the two; loopback has a fixed address."""

    socket: Path | None = None
    port: Annotated[int, Meta(ge=1024, le=65_535)] | None = None


class UpdatesConfig(Section, frozen=True, kw_only=True):
    """`[updates]`: the doorbell looks for updates only if this section exists."""

    source: Annotated[
        str,
        Meta(
            max_length=500,
            pattern=r"^(https?://[^\x00-\x20\x7f]+|/[^\x00-\x1f\x7f]*)\Z",
            description="an https:// address or the path of a folder, in quotes",
        ),
    ]
    root: Path | None = None
    """The first root.json that is trusted. None: the one that came with the program."""


class BackupConfig(Section, frozen=True, kw_only=True):
    """`[backup]`: the doorbell makes a sealed backup each day. Off if this section is absent."""

    folder: Path
    keep: Annotated[int, Meta(ge=1, le=60)] = 7


class RootOffer(Section, frozen=True, kw_only=True):
    """`[[roots]]`: a trust root that the owner's page offers by name. It has no effect until an owner signs it."""

    name: Name
    key: Annotated[
        str,
        Meta(
            pattern=r"^ed25519:[A-Za-z0-9_-]{43}\+mldsa44:[A-Za-z0-9_-]{43}\Z",
            description='a root\'s key in quotes, "ed25519:…+mldsa44:…"',
        ),
    ]
    means: Annotated[str, Meta(min_length=1, max_length=300, pattern=r"^[^\x00-\x1f\x7f]*\Z")]
    """One or two sentences for the owner: who runs this root, and who may ask through it."""


class InstallerConfig(Section, frozen=True, kw_only=True):
    """`[installer]`: this person reads reports of the doorbell's health. Off if this section is absent."""

    name: Name
    recipient: Annotated[
        str, Meta(pattern=r"^age1[02-9ac-hj-np-z]{58}\Z", description='an age recipient in quotes, "age1…"')
    ]


class WitnessAddressConfig(Section, frozen=True, kw_only=True):
    """`[[witness.addresses]]`: a witness if there is a `key`, otherwise a time-stamper."""

    name: Annotated[
        str, Meta(pattern=r"^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?\Z", description="1 to 32 of a-z, 0-9 and -")
    ]
    url: Annotated[
        str,
        Meta(
            max_length=400, pattern=r"^https://[A-Za-z0-9.:\[\]-]+(/[!-~]*)?\Z", description='an address, "https://…"'
        ),
    ]
    key: Annotated[str, Meta(max_length=256)] = ""


class WitnessConfig(Section, frozen=True, kw_only=True):
    """`[witness]`: others confirm the time of the ledger. Off if this section is absent."""

    every_hours: Annotated[int, Meta(ge=1, le=24)] = 6
    addresses: Annotated[tuple[WitnessAddressConfig, ...], Meta(min_length=1, max_length=4)]


class Weekday(enum.Enum):
    """A day of the week, Monday first."""

    MON = "mon"
    TUE = "tue"
    WED = "wed"
    THU = "thu"
    FRI = "fri"
    SAT = "sat"
    SUN = "sun"


class PrivateHoursConfig(Section, frozen=True, kw_only=True):
    """`[[privacy.hours]]`: local hours without a camera. If they span midnight, they belong to the day on which they
    begin."""

    days: Annotated[tuple[Weekday, ...], Meta(min_length=1, max_length=7)] = tuple(Weekday)
    begins: TimeOfDay
    ends: TimeOfDay


class PrivacyConfig(Section, frozen=True, kw_only=True):
    """`[privacy]`"""

    hours: Annotated[tuple[PrivateHoursConfig, ...], Meta(max_length=16)] = ()


class LogLevel(enum.Enum):
    """The least important event that is written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(enum.Enum):
    """The form of an event in the log."""

    AUTO = "auto"
    """Console on a terminal, JSON elsewhere."""
    CONSOLE = "console"
    JSON = "json"


class LogConfig(Section, frozen=True, kw_only=True):
    """`[log]`"""

    level: LogLevel = LogLevel.INFO
    format: LogFormat = LogFormat.AUTO


class Configuration(Section, frozen=True, kw_only=True):
    """The whole file."""

    device: DeviceConfig = field(default_factory=DeviceConfig)
    camera: CameraConfig = field(default_factory=CameraConfig)
    sound: SoundConfig | None = None
    speaker: SpeakerConfig | None = None
    motion: MotionConfig = field(default_factory=MotionConfig)
    privacy: PrivacyConfig = field(default_factory=PrivacyConfig)
    clips: ClipsConfig = field(default_factory=ClipsConfig)
    object_detection: ObjectDetectionConfig = field(default_factory=ObjectDetectionConfig)
    vault: VaultConfig = field(default_factory=VaultConfig)
    requests: RequestsConfig = field(default_factory=RequestsConfig)
    broker: BrokerConfig | None = None
    remote: RemoteConfig | None = None
    page: PageConfig | None = None
    alerts: AlertsConfig | None = None
    home_assistant: HomeAssistantConfig | None = None
    metrics: MetricsConfig | None = None
    updates: UpdatesConfig | None = None
    installer: InstallerConfig | None = None
    roots: Annotated[tuple[RootOffer, ...], Meta(max_length=16)] = ()
    witness: WitnessConfig | None = None
    backup: BackupConfig | None = None
    panel: PanelConfig | None = None
    board: BoardConfig = field(default_factory=BoardConfig)
    log: LogConfig = field(default_factory=LogConfig)


prepare(Configuration)  # with each section: several threads may read a file at once


@dataclass(frozen=True, slots=True)
class CrossFieldError:
    """Keys that are valid alone but contradict each other. `key` is the path of the one to change first."""

    key: tuple[str | int, ...]
    message: str
    remedy: str


def cross_field_errors(configuration: Configuration) -> Iterator[CrossFieldError]:
    """Yields every contradiction between keys, in the file's order."""
    yield from _camera(configuration.camera)
    sound = configuration.sound
    if sound is not None and sound.kind is SoundKind.FILE and sound.path is None:
        yield CrossFieldError(("sound", "path"), "sound of kind 'file' has no file.", 'Give path = "sound.wav".')
    if sound is not None and sound.kind is SoundKind.CAMERA and configuration.camera.kind is not CameraKind.RTSP:
        yield CrossFieldError(
            ("sound", "kind"),
            f"a camera of kind '{configuration.camera.kind.value}' has no sound.",
            'Set kind = "alsa" and give the microphone\'s device.',
        )
    speaker = configuration.speaker
    if speaker is not None and speaker.kind is SpeakerKind.FILE and speaker.path is None:
        yield CrossFieldError(("speaker", "path"), "a speaker of kind 'file' has no file.", 'Give path = "heard.wav".')
    yield from _board(configuration)
    yield from _zones(configuration.motion)
    yield from household_cross_field_errors(configuration)
    yield from _clips(configuration.clips, configuration.camera)
    yield from _vault(configuration)
    yield from _requests(configuration.requests)
    yield from _hosts(configuration)
    if configuration.broker is not None:
        yield from _broker(configuration.broker)
    yield from _remote(configuration)
    if configuration.panel is not None:
        for key, message, remedy in pin_conflicts(configuration.panel):
            yield CrossFieldError(("panel", key), message, remedy)
    if configuration.page is not None:
        yield from _page(configuration.page, configuration.device.name)
    if (
        configuration.metrics is not None
        and configuration.metrics.socket is None
        and configuration.metrics.port is None
    ):
        yield CrossFieldError(("metrics", "socket"), "metrics have no socket and no port.", "Set socket or port.")
    if configuration.alerts is not None:
        yield from _alerts(configuration.alerts)
    if configuration.installer is not None:
        yield from _installer(configuration)
    yield from root_offer_errors(configuration.roots)
    if configuration.witness is not None:
        yield from _witness(configuration.witness)


def household_cross_field_errors(configuration: Configuration) -> Iterator[CrossFieldError]:
    """Those that what an owner sets can bring about, too."""
    for number, zone in enumerate(configuration.motion.zones):
        if zone.kind is ZoneKind.PRIVACY and configuration.camera.kind is CameraKind.RTSP:
            yield CrossFieldError(
                ("motion", "zones", number, "kind"),
                "a network camera's stream is stored unchanged, so no privacy mask can be burned into it.",
                "Set the mask in the camera itself, or make the zone an 'exclude' zone.",
            )
        if _area(zone.corners) < _LEAST_ZONE:
            yield CrossFieldError(
                ("motion", "zones", number, "corners"),
                f"the corners of '{zone.name}' enclose no area.",
                "Give at least three corners in order around an area.",
            )
    for number, hours in enumerate(configuration.privacy.hours):
        if hours.begins == hours.ends:
            yield CrossFieldError(
                ("privacy", "hours", number, "ends"),
                f"private hours from {hours.begins} to {hours.ends} would be empty or a whole day.",
                "Choose another end. For a whole day, use two spans: 00:00 to 12:00, and 12:00 to 00:00.",
            )


def _camera(camera: CameraConfig) -> Iterator[CrossFieldError]:
    if camera.kind is CameraKind.RTSP and camera.url is None:
        yield CrossFieldError(
            ("camera", "url"), "a camera of kind 'rtsp' has no address.", 'Give url = "rtsp://192.168.1.20/stream".'
        )
    if camera.kind is CameraKind.FILE and camera.path is None:
        yield CrossFieldError(("camera", "path"), "a camera of kind 'file' has no file.", 'Give path = "footage.mp4".')
    # 4:2:0 has one colour value for four pixels, so half a pair is left at an odd side.
    if camera.size[0] % 2 or camera.size[1] % 2:
        even = [side + side % 2 for side in camera.size]
        yield CrossFieldError(
            ("camera", "size"), f"{camera.size[0]} × {camera.size[1]} is not even.", f"H.264 wants even sides: {even}."
        )


def _board(configuration: Configuration) -> Iterator[CrossFieldError]:
    """Finds modes that the named board cannot record. A network camera's stream is stored unchanged."""
    camera, name = configuration.camera, configuration.board.profile
    # With "auto" the file may be checked on another machine. The recorder then reduces the size to what its board can
    # do.
    if name in (BoardName.AUTO, BoardName.OTHER) or camera.kind not in (CameraKind.PI, CameraKind.USB):
        return
    (width, height), board = camera.size, board_named(name)
    if width > board.widest_px:
        yield CrossFieldError(
            ("camera", "size"),
            f"{width} × {height} is wider than the {board.widest_px} pixels that board '{name.value}' can record.",
            f"Give at most {[board.widest_px, board.widest_px * 9 // 16]}, or another board.profile.",
        )
    elif width * height * camera.fps > MOST_PX_PER_S:
        fps = MOST_PX_PER_S // (width * height)
        yield CrossFieldError(
            ("camera", "fps"),
            f"board '{name.value}' cannot encode {width} × {height} at {camera.fps} frames a second.",
            f"Give at most {fps}, or a smaller camera.size.",
        )


def _zones(motion: MotionConfig) -> Iterator[CrossFieldError]:
    seen: set[str] = set()
    for number, zone in enumerate(motion.zones):
        if zone.name in seen:
            yield CrossFieldError(
                ("motion", "zones", number, "name"),
                f"'{zone.name}' names two zones.",
                "Give each zone a different name, because the name says where motion was.",
            )
        seen.add(zone.name)


_Edge = tuple[tuple[float, float], tuple[float, float], int]
"""Its upper end, its lower end, and 1 if the outline walks downwards, otherwise -1."""


def _area(corners: tuple[tuple[float, float], ...]) -> float:
    """Returns the share of the picture that an outline goes around, as `core.motion.zones` fills it (nonzero winding).

    Edges that are walked there and back enclose nothing, and both halves of a figure of eight count. The picture
    is cut into strips at each corner and each crossing, so the width changes evenly in a strip.
    """
    edges = [
        (begin, end, 1) if begin[1] < end[1] else (end, begin, -1)
        for begin, end in zip(corners, corners[1:] + corners[:1], strict=True)
        # A level edge encloses nothing between two heights.
        if begin[1] != end[1]
    ]
    heights = {y for _x, y in corners}
    heights.update(y for one, other in itertools.combinations(edges, 2) for y in _crossing(one, other))
    return sum((low - high) * _width(edges, (high + low) / 2) for high, low in itertools.pairwise(sorted(heights)))


def _width(edges: list[_Edge], y: float) -> float:
    turns, width = 0, 0.0
    at_y = sorted((_x_at(edge, y), edge[2]) for edge in edges if edge[0][1] <= y < edge[1][1])
    for (x, way), (next_x, _way) in itertools.pairwise(at_y):
        turns += way
        width += next_x - x if turns else 0.0
    return width


def _crossing(one: _Edge, other: _Edge) -> Iterator[float]:
    high, low = max(one[0][1], other[0][1]), min(one[1][1], other[1][1])
    if high < low:
        above, below = (_x_at(one, y) - _x_at(other, y) for y in (high, low))
        if above * below < 0:
            yield high + (low - high) * above / (above - below)


def _x_at(edge: _Edge, y: float) -> float:
    (x0, y0), (x1, y1), _way = edge
    return x0 + (y - y0) * ((x1 - x0) / (y1 - y0))


def _clips(clips: ClipsConfig, camera: CameraConfig) -> Iterator[CrossFieldError]:
    if clips.longest_clip_s < clips.pre_roll_s + clips.segment_s:
        yield CrossFieldError(
            ("clips", "longest_clip_s"),
            f"{clips.longest_clip_s:g} s cannot hold {clips.pre_roll_s:g} s of pre-roll and a segment.",
            f"Give at least {clips.pre_roll_s + clips.segment_s:g}, or shorten pre_roll_s or segment_s.",
        )
    # The ring holds whole GOPs of about a second, so it needs room for one more than the pre-roll itself.
    room_bytes = round(camera.bitrate_kbps * 125 * (clips.pre_roll_s + 1))
    if room_bytes > clips.pre_roll_max_bytes:
        yield CrossFieldError(
            ("clips", "pre_roll_max_bytes"),
            f"{clips.pre_roll_max_bytes} bytes cannot hold {clips.pre_roll_s:g} s at {camera.bitrate_kbps} kbit/s.",
            f"Give at least {room_bytes}, or shorten pre_roll_s.",
        )


def _vault(configuration: Configuration) -> Iterator[CrossFieldError]:
    vault = configuration.vault
    if configuration.clips.continuous and vault.continuous_max_bytes >= vault.max_bytes:
        yield CrossFieldError(
            ("vault", "continuous_max_bytes"),
            f"{vault.continuous_max_bytes} bytes of continuous footage leave no room for events in {vault.max_bytes}.",
            "Use less than vault.max_bytes, or raise vault.max_bytes.",
        )


def _requests(requests: RequestsConfig) -> Iterator[CrossFieldError]:
    if requests.shortest_window_minutes > requests.longest_window_minutes:
        yield CrossFieldError(
            ("requests", "shortest_window_minutes"),
            "the shortest window is longer than the longest, so every request would be refused.",
            "Lower it. To get no requests at all, opt out instead.",
        )
    if requests.smallest_area_m2 > requests.largest_area_m2:
        yield CrossFieldError(
            ("requests", "smallest_area_m2"),
            "the smallest area is larger than the largest, so every request would be refused.",
            "Lower it. To get no requests at all, opt out instead.",
        )


def _hosts(configuration: Configuration) -> Iterator[CrossFieldError]:
    """Finds a host with a port behind it. Only an address of IPv6 has colons."""
    sections = (("broker", configuration.broker), ("remote", configuration.remote))
    for name, section in (*sections, ("home_assistant", configuration.home_assistant)):
        if section is not None and ":" in section.host and not _is_ipv6(section.host):
            yield CrossFieldError(
                (name, "host"),
                f"'{section.host}' is no host and no address.",
                "Give the host alone, and its port as port.",
            )


def _is_ipv6(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).version == 6
    except ValueError:
        return False


def _broker(broker: BrokerConfig) -> Iterator[CrossFieldError]:
    if (broker.certificate is None) != (broker.key is None):
        given, missing = ("key", "certificate") if broker.certificate is None else ("certificate", "key")
        yield CrossFieldError(
            ("broker", given), f"certificate and key go together, and {missing} is missing.", "Give both, or none."
        )
    elif broker.certificate is None and broker.password_file is None:
        yield CrossFieldError(
            ("broker", "host"),
            "without certificate and key the broker cannot know this doorbell.",
            "Give certificate and key, or password_file for a service that takes no certificates.",
        )
    if broker.user and broker.password_file is None and not broker.session_hours:
        yield CrossFieldError(
            ("broker", "user"),
            "a user name needs password_file or session_hours.",
            "Add one of them, or remove user.",
        )


def _remote(configuration: Configuration) -> Iterator[CrossFieldError]:
    remote = configuration.remote
    if remote is None:
        return
    if configuration.page is None:
        yield CrossFieldError(
            ("remote", "host"), "there is no [page] that owners could reach.", "Add [page], or remove [remote]."
        )
    missing = [name for name in ("ca", "certificate", "key") if getattr(remote, name) is None]
    if configuration.broker is None and missing:
        yield CrossFieldError(
            ("remote", "host"),
            f"without a [broker] the relay's {', '.join(missing)} cannot be taken from there.",
            "Give ca, certificate and key in [remote].",
        )
    elif missing and configuration.broker is not None and configuration.broker.certificate is None:
        yield CrossFieldError(
            ("remote", "host"),
            "[broker] has no certificate that the relay could know this doorbell by.",
            "Give ca, certificate and key in [remote].",
        )
    elif len(missing) in (1, 2):
        yield CrossFieldError(
            ("remote", next(name for name in ("ca", "certificate", "key") if name not in missing)),
            f"ca, certificate and key go together, and {' and '.join(missing)} is missing.",
            "Give all three, or none to use those of [broker].",
        )


def _page(page: PageConfig, doorbell: str) -> Iterator[CrossFieldError]:
    if not page.name and dns_label(doorbell) is None:
        yield CrossFieldError(
            ("page", "name"), f"'{doorbell}' cannot be turned into a network name.", 'Give one: name = "front-door".'
        )
    for key, texts in (("host", (page.host,)), ("addresses", page.addresses)):
        for text in texts:
            try:
                address = ipaddress.ip_address(text)
            except ValueError:
                yield CrossFieldError(("page", key), f"'{text}' is not an address.", 'Write it like "192.168.1.20".')
                continue
            # The page must not be reachable from the internet. `0.0.0.0` and `::` mean all addresses of this machine.
            if not (is_local(address) or (key == "host" and address.is_unspecified)):
                yield CrossFieldError(
                    ("page", key),
                    f"{text} is not an address of a local network or a VPN.",
                    "To reach the page from outside, use a VPN: private addresses, 100.64.0.0/10 and fc00::/7.",
                )


def _installer(configuration: Configuration) -> Iterator[CrossFieldError]:
    assert configuration.installer is not None  # noqa: S101 — the caller looked
    if configuration.broker is None:
        yield CrossFieldError(
            ("installer", "recipient"),
            "there is no [broker] that could carry reports to the installer.",
            "Add [broker], or remove [installer].",
        )
    try:
        parse_recipient(configuration.installer.recipient)
    except FormatError as error:
        yield CrossFieldError(
            ("installer", "recipient"), error.message, "Copy the line that 'doorward fleet init' shows."
        )


def root_offer_errors(roots: tuple[RootOffer, ...]) -> Iterator[CrossFieldError]:
    """Yields invalid keys, weak keys under which anyone can forge signatures, and two offers that look alike."""
    seen: set[str] = set()
    for number, root in enumerate(roots):
        try:
            parse_trust_key(root.key)
        except FormatError as error:
            yield CrossFieldError(
                ("roots", number, "key"),
                f"'{root.name}' has an invalid key: {error.message}",
                "Copy the line that 'doorward requester keygen' or the root's holder shows.",
            )
        for key in ("name", "key"):
            value = getattr(root, key)
            if value in seen:
                yield CrossFieldError(
                    ("roots", number, key), f"two roots have the {key} '{value}'.", "Leave one of them out."
                )
            seen.add(value)


def _witness(witness: WitnessConfig) -> Iterator[CrossFieldError]:
    seen: set[str] = set()
    for number, address in enumerate(witness.addresses):
        if address.name in seen:
            yield CrossFieldError(
                ("witness", "addresses", number, "name"),
                f"'{address.name}' names two addresses.",
                "Give each address a different name.",
            )
        seen.add(address.name)
        try:
            if address.key:
                parse_witness(address.key)
        except FormatError as error:
            yield CrossFieldError(
                ("witness", "addresses", number, "key"),
                error.message,
                "Copy the verifier key that the witness publishes. Leave it out for a time-stamper.",
            )


def _alerts(alerts: AlertsConfig) -> Iterator[CrossFieldError]:
    # A visitor does not wait for an evening's summary.
    if AlertKind.BUTTON in alerts.digest:
        yield CrossFieldError(
            ("alerts", "digest"), "a press of the button cannot wait for the digest.", "Remove 'button' from it."
        )
    seen: set[str] = set()
    for number, channel in enumerate(alerts.channels):
        if scheme_of(channel.url) not in SCHEMES:
            yield CrossFieldError(
                ("alerts", "channels", number, "url"),
                f"'{scheme_of(channel.url)}' is not a kind of channel.",
                f"Use one of {', '.join(SCHEMES)}.",
            )
        if channel.name in seen:
            yield CrossFieldError(
                ("alerts", "channels", number, "name"),
                f"'{channel.name}' names two channels.",
                "Give each channel a different name, because waiting alerts are stored by name.",
            )
        seen.add(channel.name)
