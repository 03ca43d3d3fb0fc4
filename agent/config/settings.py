"""What may be configured: every section, key, type, range and default, and nothing else.

Rules: a range stands in the type, so that a value out of it cannot be loaded; what concerns two keys at once stands in
`contradictions`.  The owner may tighten the limits on requests, never loosen them: their hard bounds are the ranges
here.  Units are in the names; ratios are 0..1; paths in a file are relative to that file.
"""

from __future__ import annotations

import enum
import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct, field

from agent.core.alerts.channels import SCHEMES, scheme_of
from agent.core.alerts.kinds import AlertKind
from agent.core.networks import dns_label, is_local
from agent.core.object_detection.labels import Keep
from firmware_bridge.boards import MOST_PX_PER_S, BoardName, board_named
from firmware_bridge.settings import Board, Panel, TimeOfDay, clashes

__all__ = [
    "AlertChannel",
    "Alerts",
    "Board",
    "BoardName",
    "Broker",
    "Camera",
    "CameraKind",
    "Clips",
    "Configuration",
    "Contradiction",
    "Device",
    "Encoder",
    "HomeAssistant",
    "Keep",
    "Log",
    "LogFormat",
    "LogLevel",
    "Metrics",
    "Motion",
    "Opinion",
    "OpinionUse",
    "Page",
    "Panel",
    "Position",
    "Privacy",
    "PrivateHours",
    "Requests",
    "Sound",
    "SoundKind",
    "Vault",
    "Weekday",
    "Zone",
    "ZoneKind",
    "contradictions",
    "household_contradictions",
]

SECRET = {"secret": True}
"""What marks a type whose value no error may show (`Meta.extra`)."""

Name = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]*\Z")]
Share = Annotated[float, Meta(ge=0, le=1)]


class Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One table of the file.  A key nobody knows is refused: a typing mistake must not pass for a setting."""


class Position(Section, frozen=True, kw_only=True):
    """Where the camera is, in degrees (WGS 84).  It never leaves the device."""

    latitude: Annotated[float, Meta(ge=-90, le=90)]
    longitude: Annotated[float, Meta(ge=-180, le=180)]


class Device(Section, frozen=True, kw_only=True):
    """`[device]`"""

    name: Name = "front-door"
    state_dir: Path = Path("/var/lib/doorward")
    position: Position | None = None
    """Without it no footage request can match."""


class CameraKind(enum.Enum):
    """Which adapter delivers frames."""

    USB = "usb"
    PI = "pi"
    RTSP = "rtsp"
    FILE = "file"
    SCRIPTED = "scripted"


class Encoder(enum.Enum):
    """Who makes H.264 of a Pi camera's pictures."""

    AUTO = "auto"
    """The hardware of boards that have it, else software."""
    HARDWARE = "hardware"
    SOFTWARE = "software"


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


class Camera(Section, frozen=True, kw_only=True):
    """`[camera]`"""

    kind: CameraKind = CameraKind.USB
    device: Path = Path("/dev/video0")
    path: Path | None = None
    realtime: bool = True
    size: tuple[Annotated[int, Meta(ge=160, le=3840)], Annotated[int, Meta(ge=120, le=2160)]] = (1280, 720)
    """Width and height, px, even."""
    fps: Annotated[int, Meta(ge=1, le=60)] = 15
    quality: Annotated[int, Meta(ge=15, le=35)] = 25
    bitrate_kbps: Annotated[int, Meta(ge=100, le=50_000)] = 4000
    """The ceiling over any second; a quiet scene takes far less."""
    stall_s: Annotated[float, Meta(ge=5, le=90)] = 15.0
    number: Annotated[int, Meta(ge=0, le=7)] = 0
    rotate: bool = False
    mirror: bool = False
    focus_m: Annotated[float, Meta(ge=0.1, le=100)] = 2.0
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


class Sound(Section, frozen=True, kw_only=True):
    """`[sound]`: without this section nobody listens."""

    kind: SoundKind = SoundKind.ALSA
    device: SoundCard = "default"
    path: Path | None = None
    bitrate_kbps: Annotated[int, Meta(ge=16, le=128)] = 40


class ZoneKind(enum.Enum):
    """What a zone does to the area it encloses."""

    INCLUDE = "include"
    EXCLUDE = "exclude"
    PRIVACY = "privacy"


class Zone(Section, frozen=True, kw_only=True):
    """`[[motion.zones]]`: one polygon, corners (x, y) from the top left, 0..1."""

    name: Name
    corners: Annotated[tuple[tuple[Share, Share], ...], Meta(min_length=3, max_length=64)]
    kind: ZoneKind = ZoneKind.INCLUDE
    sensitivity: Annotated[float, Meta(ge=0.1, le=10)] = 1.0
    smallest_share: Annotated[float, Meta(ge=0, lt=1)] = 0.0


class Motion(Section, frozen=True, kw_only=True):
    """`[motion]`"""

    sensitivity: Annotated[float, Meta(ge=0.1, le=10)] = 1.0
    zones: Annotated[tuple[Zone, ...], Meta(max_length=32)] = ()


class Clips(Section, frozen=True, kw_only=True):
    """`[clips]`"""

    pre_roll_s: Annotated[float, Meta(ge=0, le=60)] = 5.0
    post_roll_s: Annotated[float, Meta(ge=1, le=120)] = 10.0
    merge_gap_s: Annotated[float, Meta(ge=0, le=600)] = 30.0
    longest_clip_s: Annotated[float, Meta(ge=10, le=3600)] = 120.0
    segment_s: Annotated[float, Meta(ge=2, le=30)] = 5.0
    pre_roll_max_bytes: Annotated[int, Meta(ge=1_000_000, le=256_000_000)] = 16_000_000
    fault_memory_bytes: Annotated[int, Meta(ge=1_000_000, le=1_000_000_000)] = 32_000_000
    continuous: bool = False
    keep: Keep = Keep.ALL


class OpinionUse(enum.Enum):
    """Whether frames of events are looked at for people, vehicles, animals and parcels."""

    AUTO = "auto"
    """Where the networks are installed and the board has the memory."""
    ON = "on"
    OFF = "off"


class Opinion(Section, frozen=True, kw_only=True):
    """`[opinion]`: the second opinion.  Without installed networks there is none, whatever stands here."""

    use: OpinionUse = OpinionUse.AUTO
    models: Path | None = None


class Vault(Section, frozen=True, kw_only=True):
    """`[vault]`"""

    max_bytes: Annotated[int, Meta(ge=10_000_000, le=10**15)] = 20_000_000_000
    max_age_days: Annotated[int, Meta(ge=1, le=3650)] = 30
    free_floor: Annotated[float, Meta(ge=0.01, le=0.9)] = 0.05
    kept_bytes: Annotated[int, Meta(ge=10_000_000, le=10**15)] = 20_000_000_000
    continuous_max_bytes: Annotated[int, Meta(ge=10_000_000, le=10**15)] = 10_000_000_000
    scrub_bytes_per_day: Annotated[int, Meta(ge=0, le=10**13)] = 2_000_000_000


class Requests(Section, frozen=True, kw_only=True):
    """`[requests]`: the hard bounds of the protocol are the ranges, so the owner can only tighten."""

    shortest_window_minutes: Annotated[int, Meta(ge=15, le=720)] = 15
    longest_window_minutes: Annotated[int, Meta(ge=15, le=720)] = 720
    smallest_area_m2: Annotated[int, Meta(ge=64_750, le=1_294_994)] = 64_750
    largest_area_m2: Annotated[int, Meta(ge=64_750, le=1_294_994)] = 1_294_994
    longest_look_back_days: Annotated[int, Meta(ge=1, le=45)] = 45
    longest_validity_days: Annotated[int, Meta(ge=1, le=30)] = 30
    requests_per_case: Annotated[int, Meta(ge=1, le=2)] = 2
    requests_per_requester_per_day: Annotated[int, Meta(ge=1, le=50)] = 10
    requests_per_day: Annotated[int, Meta(ge=1, le=200)] = 30
    delay_minutes: Annotated[int, Meta(ge=0, le=1440)] = 0


class Broker(Section, frozen=True, kw_only=True):
    """`[broker]`: without this section Doorward records and touches no network."""

    host: Annotated[
        str,
        Meta(
            min_length=1, max_length=253, pattern=r"^[A-Za-z0-9.:_-]+\Z", description="a host name or address in quotes"
        ),
    ]
    ca: Path
    certificate: Path
    key: Path
    port: Annotated[int, Meta(ge=1, le=65_535)] = 8883
    keepalive_s: Annotated[int, Meta(ge=10, le=300)] = 60
    chunk_bytes: Annotated[int, Meta(ge=16_384, le=131_072)] = 131_072


class Page(Section, frozen=True, kw_only=True):
    """`[page]`: without this section no page is served."""

    host: Annotated[str, Meta(pattern=r"^[0-9A-Fa-f.:]{2,45}\Z", description="an address in quotes")] = "0.0.0.0"  # noqa: S104 — the local network is who it is for
    port: Annotated[int, Meta(ge=0, le=65_535)] = 8443
    name: Annotated[str, Meta(max_length=63, pattern=r"^([a-z0-9]([a-z0-9-]*[a-z0-9])?)?\Z")] = ""
    addresses: Annotated[tuple[Annotated[str, Meta(pattern=r"^[0-9A-Fa-f.:]{2,45}\Z")], ...], Meta(max_length=16)] = ()
    mdns: bool = True


class AlertChannel(Section, frozen=True, kw_only=True):
    """`[[alerts.channels]]`: one way to one person.  `url` may hold a password and is never shown."""

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


class Alerts(Section, frozen=True, kw_only=True):
    """`[alerts]`: without this section the owner is told through the log alone."""

    link: Annotated[str, Meta(max_length=200, pattern=r"^(https://[^\x00-\x20\x7f]+)?\Z")] = ""
    off: Annotated[tuple[AlertKind, ...], Meta(max_length=32)] = ()
    digest: Annotated[tuple[AlertKind, ...], Meta(max_length=32)] = ()
    digest_at: TimeOfDay = "20:00"
    cool_down_s: Annotated[int, Meta(ge=0, le=86_400)] = 300
    quiet: tuple[TimeOfDay, TimeOfDay] | None = None
    offline_after_minutes: Annotated[int, Meta(ge=1, le=10_080)] = 60
    channels: Annotated[tuple[AlertChannel, ...], Meta(max_length=16)] = ()


class HomeAssistant(Section, frozen=True, kw_only=True):
    """`[home_assistant]`: the owner's own broker, apart from [broker]; without this section there is no connection."""

    host: Annotated[
        str,
        Meta(
            min_length=1, max_length=253, pattern=r"^[A-Za-z0-9.:_-]+\Z", description="a host name or address in quotes"
        ),
    ]
    port: Annotated[int, Meta(ge=1, le=65_535)] = 1883
    user: Annotated[str, Meta(max_length=200)] = ""
    password: Annotated[str, Meta(max_length=200, extra=SECRET)] = ""
    ca: Path | None = None
    prefix: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}\Z")] = "homeassistant"


class Metrics(Section, frozen=True, kw_only=True):
    """`[metrics]`: without this section nobody can read any.  One of the two; loopback has no address to choose."""

    socket: Path | None = None
    port: Annotated[int, Meta(ge=1024, le=65_535)] | None = None


class Weekday(enum.Enum):
    """A day of the week, Monday first."""

    MON = "mon"
    TUE = "tue"
    WED = "wed"
    THU = "thu"
    FRI = "fri"
    SAT = "sat"
    SUN = "sun"


class PrivateHours(Section, frozen=True, kw_only=True):
    """`[[privacy.hours]]`: local hours without a camera.  Over midnight they belong to the day they begin on."""

    days: Annotated[tuple[Weekday, ...], Meta(min_length=1, max_length=7)] = tuple(Weekday)
    begins: TimeOfDay
    ends: TimeOfDay


class Privacy(Section, frozen=True, kw_only=True):
    """`[privacy]`"""

    hours: Annotated[tuple[PrivateHours, ...], Meta(max_length=16)] = ()


class LogLevel(enum.Enum):
    """The least important event that is written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(enum.Enum):
    """How an event is written."""

    AUTO = "auto"
    """Console on a terminal, JSON elsewhere."""
    CONSOLE = "console"
    JSON = "json"


class Log(Section, frozen=True, kw_only=True):
    """`[log]`"""

    level: LogLevel = LogLevel.INFO
    format: LogFormat = LogFormat.AUTO


class Configuration(Section, frozen=True, kw_only=True):
    """The whole file."""

    device: Device = field(default_factory=Device)
    camera: Camera = field(default_factory=Camera)
    sound: Sound | None = None
    motion: Motion = field(default_factory=Motion)
    privacy: Privacy = field(default_factory=Privacy)
    clips: Clips = field(default_factory=Clips)
    opinion: Opinion = field(default_factory=Opinion)
    vault: Vault = field(default_factory=Vault)
    requests: Requests = field(default_factory=Requests)
    broker: Broker | None = None
    page: Page | None = None
    alerts: Alerts | None = None
    home_assistant: HomeAssistant | None = None
    metrics: Metrics | None = None
    panel: Panel | None = None
    board: Board = field(default_factory=Board)
    log: Log = field(default_factory=Log)


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Keys that are fine each by itself and wrong together.  `key` is the path of the one to change first."""

    key: tuple[str | int, ...]
    message: str
    remedy: str


def contradictions(configuration: Configuration) -> Iterator[Contradiction]:
    """Everything in the file that cannot be true together, in the file's order."""
    yield from _camera(configuration.camera)
    sound = configuration.sound
    if sound is not None and sound.kind is SoundKind.FILE and sound.path is None:
        yield Contradiction(("sound", "path"), "sound of kind 'file' has no file.", 'Give path = "sound.wav".')
    if sound is not None and sound.kind is SoundKind.CAMERA and configuration.camera.kind is not CameraKind.RTSP:
        yield Contradiction(
            ("sound", "kind"),
            f"a camera of kind '{configuration.camera.kind.value}' has no sound of its own.",
            'Set kind = "alsa" and give the microphone\'s device.',
        )
    yield from _board(configuration)
    yield from _zones(configuration.motion)
    yield from household_contradictions(configuration)
    yield from _clips(configuration.clips, configuration.camera)
    if configuration.clips.keep is not Keep.ALL and configuration.opinion.use is OpinionUse.OFF:
        yield Contradiction(
            ("clips", "keep"),
            f"'{configuration.clips.keep.value}' wants an opinion on every event, and opinion.use is 'off'.",
            "Set opinion.use to 'auto', or keep = 'all'.",
        )
    yield from _vault(configuration)
    yield from _requests(configuration.requests)
    if configuration.panel is not None:
        for key, message, remedy in clashes(configuration.panel):
            yield Contradiction(("panel", key), message, remedy)
    if configuration.page is not None:
        yield from _page(configuration.page, configuration.device.name)
    if (
        configuration.metrics is not None
        and configuration.metrics.socket is None
        and configuration.metrics.port is None
    ):
        yield Contradiction(("metrics", "socket"), "metrics have no place to be read.", "Give socket or port.")
    if configuration.alerts is not None:
        yield from _alerts(configuration.alerts)


def household_contradictions(configuration: Configuration) -> Iterator[Contradiction]:
    """Those that what an owner sets can bring about, too."""
    for number, zone in enumerate(configuration.motion.zones):
        if zone.kind is ZoneKind.PRIVACY and configuration.camera.kind is CameraKind.RTSP:
            yield Contradiction(
                ("motion", "zones", number, "kind"),
                "a network camera's stream is kept as it comes, so no privacy mask can be burned into it.",
                "Set the mask in the camera itself, or make the zone an 'exclude' zone.",
            )
    for number, hours in enumerate(configuration.privacy.hours):
        if hours.begins == hours.ends:
            yield Contradiction(
                ("privacy", "hours", number, "ends"),
                f"private hours from {hours.begins} to {hours.ends} would be no time or all day.",
                "Let them end at another time. A whole day is two: 00:00 to 12:00, and 12:00 to 00:00.",
            )


def _camera(camera: Camera) -> Iterator[Contradiction]:
    if camera.kind is CameraKind.RTSP and camera.url is None:
        yield Contradiction(
            ("camera", "url"), "a camera of kind 'rtsp' has no address.", 'Give url = "rtsp://192.168.1.20/stream".'
        )
    if camera.kind is CameraKind.FILE and camera.path is None:
        yield Contradiction(("camera", "path"), "a camera of kind 'file' has no file.", 'Give path = "footage.mp4".')
    if camera.size[0] % 2 or camera.size[1] % 2:
        even = [side + side % 2 for side in camera.size]
        yield Contradiction(
            ("camera", "size"), f"{camera.size[0]} × {camera.size[1]} is not even.", f"H.264 wants even sides: {even}."
        )


def _board(configuration: Configuration) -> Iterator[Contradiction]:
    """What a board that is named cannot film.  A network camera's stream is kept as it comes."""
    camera, name = configuration.camera, configuration.board.profile
    if name in (BoardName.AUTO, BoardName.OTHER) or camera.kind not in (CameraKind.PI, CameraKind.USB):
        return
    (width, height), board = camera.size, board_named(name)
    if width > board.widest_px:
        yield Contradiction(
            ("camera", "size"),
            f"{width} × {height} is wider than the {board.widest_px} pixels that board '{name.value}' can film.",
            f"Give at most {[board.widest_px, board.widest_px * 9 // 16]}, or another board.profile.",
        )
    elif width * height * camera.fps > MOST_PX_PER_S:
        fps = MOST_PX_PER_S // (width * height)
        yield Contradiction(
            ("camera", "fps"),
            f"board '{name.value}' cannot encode {width} × {height} at {camera.fps} frames a second.",
            f"Give at most {fps}, or a smaller camera.size.",
        )


def _zones(motion: Motion) -> Iterator[Contradiction]:
    seen: set[str] = set()
    for number, zone in enumerate(motion.zones):
        if zone.name in seen:
            yield Contradiction(
                ("motion", "zones", number, "name"),
                f"'{zone.name}' names two zones.",
                "Names say where motion was: give each zone its own.",
            )
        seen.add(zone.name)


def _clips(clips: Clips, camera: Camera) -> Iterator[Contradiction]:
    if clips.longest_clip_s < clips.pre_roll_s + clips.segment_s:
        yield Contradiction(
            ("clips", "longest_clip_s"),
            f"{clips.longest_clip_s:g} s cannot hold {clips.pre_roll_s:g} s of pre-roll and a segment.",
            f"Give at least {clips.pre_roll_s + clips.segment_s:g}, or shorten pre_roll_s or segment_s.",
        )
    # The ring holds whole GOPs of about a second, so it needs room for one more than the pre-roll itself.
    room_bytes = round(camera.bitrate_kbps * 125 * (clips.pre_roll_s + 1))
    if room_bytes > clips.pre_roll_max_bytes:
        yield Contradiction(
            ("clips", "pre_roll_max_bytes"),
            f"{clips.pre_roll_max_bytes} bytes cannot hold {clips.pre_roll_s:g} s at {camera.bitrate_kbps} kbit/s.",
            f"Give at least {room_bytes}, or shorten pre_roll_s.",
        )


def _vault(configuration: Configuration) -> Iterator[Contradiction]:
    vault = configuration.vault
    if configuration.clips.continuous and vault.continuous_max_bytes >= vault.max_bytes:
        yield Contradiction(
            ("vault", "continuous_max_bytes"),
            f"{vault.continuous_max_bytes} bytes of continuous recording leave nothing of {vault.max_bytes} to events.",
            "Give less than vault.max_bytes, or raise that.",
        )


def _requests(requests: Requests) -> Iterator[Contradiction]:
    if requests.shortest_window_minutes > requests.longest_window_minutes:
        yield Contradiction(
            ("requests", "shortest_window_minutes"),
            "the shortest window is longer than the longest, so no request could ever be right.",
            "To hear no requests at all, opt out; otherwise lower it.",
        )
    if requests.smallest_area_m2 > requests.largest_area_m2:
        yield Contradiction(
            ("requests", "smallest_area_m2"),
            "the smallest area is larger than the largest, so no request could ever be right.",
            "To hear no requests at all, opt out; otherwise lower it.",
        )


def _page(page: Page, doorbell: str) -> Iterator[Contradiction]:
    if not page.name and dns_label(doorbell) is None:
        yield Contradiction(("page", "name"), f"'{doorbell}' makes no network name.", 'Give one: name = "front-door".')
    for key, texts in (("host", (page.host,)), ("addresses", page.addresses)):
        for text in texts:
            try:
                address = ipaddress.ip_address(text)
            except ValueError:
                yield Contradiction(("page", key), f"'{text}' is no address.", 'Write it like "192.168.1.20".')
                continue
            if not (is_local(address) or (key == "host" and address.is_unspecified)):
                yield Contradiction(
                    ("page", key),
                    f"{text} is not an address of a local network or a VPN.",
                    "From outside, reach the page through a VPN: private addresses, 100.64.0.0/10 and fc00::/7.",
                )


def _alerts(alerts: Alerts) -> Iterator[Contradiction]:
    if AlertKind.BUTTON in alerts.digest:
        yield Contradiction(
            ("alerts", "digest"), "a press of the button cannot wait for the digest.", "Take 'button' out of it."
        )
    seen: set[str] = set()
    for number, channel in enumerate(alerts.channels):
        if scheme_of(channel.url) not in SCHEMES:
            yield Contradiction(
                ("alerts", "channels", number, "url"),
                f"'{scheme_of(channel.url)}' is no kind of channel.",
                f"Use one of {', '.join(SCHEMES)}.",
            )
        if channel.name in seen:
            yield Contradiction(
                ("alerts", "channels", number, "name"),
                f"'{channel.name}' names two channels.",
                "What waits for a channel is kept by its name: give each its own.",
            )
        seen.add(channel.name)
