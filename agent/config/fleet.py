"""A fleet file: many doorbells described once, and the bundle that each of them takes on its first boot.

Rules: a fleet file and a bundle are data about doorbells. Commands and owners' keys have no place in them, and their
only paths are those of an installation. The doorbell generates its secret keys. Passwords of a network camera, of alert
channels and of Home Assistant's broker may be in them, so such a bundle is private, and a doorbell removes its bundle
after taking it. The password of a doorbell at a broker comes from a file beside the fleet file, is in that doorbell's
bundle alone and in no configuration (decisions 88 and 93). The code that checks a configuration also checks a bundle's
settings. The same file gives the same bundles, byte for byte.

A bundle's trust roots are proposals. An owner sees them in the trust report and on the page, and a root takes effect
after an owner has signed it.
"""

from __future__ import annotations

import enum
import hashlib
import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct, field

from agent.config.places import KeyPath, Places
from agent.config.reading import convert, explain_refusal, holds_secret, not_utf8, parse, placed, read_text
from agent.config.settings import (
    SECRET,
    AlertsConfig,
    BrokerLink,
    CameraKind,
    CameraNumber,
    ClipsConfig,
    Configuration,
    CrossFieldError,
    FrameSize,
    FramesPerSecond,
    HomeAssistantConfig,
    InstallerConfig,
    MetricsConfig,
    PageConfig,
    PersonHeight,
    PositionConfig,
    RootOffer,
    Section,
    Sensitivity,
    SoundConfig,
    TimeZone,
    Url,
    UserName,
    Zones,
    root_offer_errors,
)
from agent.errors import ConfigurationError
from firmware_bridge.boards import BoardName
from firmware_bridge.lines import Input, Output
from firmware_bridge.settings import Backend, PanelPins

__all__ = [
    "DeviceBundle",
    "Fleet",
    "FleetCamera",
    "bundle_bytes",
    "bundles",
    "is_private",
    "load_fleet",
    "parse_bundle",
    "trust_report",
]

_LAST_PIN: Final = 27
TLS: Final = "/etc/doorward/tls"
BRIDGE_SOCKET: Final = "/run/doorward/bridge/bridge.sock"
_AUTHORITY: Final = {"ca": f"{TLS}/ca.pem"}
_FILES: Final = _AUTHORITY | {"certificate": f"{TLS}/device.pem", "key": f"{TLS}/device.key"}
_PASSWORD_FILES: Final = _AUTHORITY | {"password_file": f"{TLS}/broker.password"}
_PATHS: Final[dict[KeyPath, str]] = {
    ("device", "state_dir"): "/var/lib/doorward",
    ("camera", "device"): r"/dev/video\d{1,3}",
    **{("broker", name): re.escape(path) for name, path in (_FILES | _PASSWORD_FILES).items()},
    ("panel", "socket"): re.escape(BRIDGE_SOCKET),
    ("panel", "chip"): "/dev/gpiochip0",
}
"""The only paths that a bundle may name, as patterns."""
_MOST_BUNDLE_BYTES: Final = 256 << 10
_SECRETS: Final = re.compile(r"AGE-SECRET-KEY|PRIVATE KEY", re.IGNORECASE)
_STEP: Final = re.compile(r"([^.\[\]]+)(?:\[(\d+)\])?")
_JSON_KEY: Final = re.compile(r'(?:^|[{,])\s*"(\w+)"\s*:', re.MULTILINE)
_FileName = Annotated[
    str,
    Meta(
        min_length=1, max_length=100, pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]*\Z", description="a file's name, no folder"
    ),
]


class FleetBroker(BrokerLink, frozen=True, kw_only=True):
    """`[broker]`: the same for all doorbells; `ca` is a file beside the fleet file."""

    ca: _FileName


class FleetSignIn(Section, frozen=True, kw_only=True):
    """`[cameras.broker]`: the doorbell's user name and password at a broker that takes no certificates."""

    password_file: _FileName
    """A file beside the fleet file, with one line. It may be missing where no bundles are made."""
    user: UserName = ""
    """Empty: the doorbell's name. Its id is made at its first start."""


class FleetSection(enum.Enum):
    """A section that a fleet file gives to all doorbells, and a doorbell may replace or leave out."""

    ALERTS = "alerts"
    SOUND = "sound"
    HOME_ASSISTANT = "home_assistant"
    METRICS = "metrics"


_SHARED: Final = tuple(each.value for each in FleetSection)
_GIVEN: Final = frozenset({
    "device", "camera", "motion", "clips", "board", "broker", "panel", "page", "installer", "roots", "updates",
    *_SHARED,
})  # fmt: skip
"""The sections that a fleet file gives (`_tables`)."""


class FleetUpdates(Section, frozen=True, kw_only=True):
    """`[updates]`: a copy of the update repository for each wave of doorbells (`doorward fleet update`)."""

    source: Annotated[
        str,
        Meta(
            max_length=480,
            pattern=r"^https?://[^\x00-\x20\x7f]+\Z",
            description="an https:// address above the waves, in quotes",
        ),
    ]


class FleetPanel(PanelPins, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`panel = {…}`: pins by their BCM number. If it is absent, there are no wires."""

    backend: Backend = Backend.GPIOD


class FleetCamera(Section, frozen=True, kw_only=True):
    """`[[cameras]]`: one doorbell."""

    name: Annotated[
        str,
        Meta(
            max_length=40,
            pattern=r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?\Z",
            description="up to 40 lowercase letters, digits and inner hyphens, in quotes",
        ),
    ]
    position: PositionConfig | None = None
    kind: CameraKind = CameraKind.PI
    number: CameraNumber = 0
    """Which Pi camera, or which /dev/videoN."""
    url: Url | None = None
    size: FrameSize = (1280, 720)
    fps: FramesPerSecond = 15
    rotate: bool = False
    sensitivity: Sensitivity = 1.0
    smallest_person: PersonHeight = 0.0
    zones: Zones = ()
    """Masks are zones of kind "privacy"."""
    panel: FleetPanel | None = None
    board: BoardName = BoardName.AUTO
    page: bool = True
    wave: Annotated[int, Meta(ge=1, le=9)] = 1
    """Its turn in a staged update."""
    alerts: AlertsConfig | None = None
    sound: SoundConfig | None = None
    home_assistant: HomeAssistantConfig | None = None
    metrics: MetricsConfig | None = None
    broker: FleetSignIn | None = None
    without: Annotated[tuple[FleetSection, ...], Meta(max_length=4)] = ()
    """Sections of the whole fleet that this doorbell does not get."""


class Fleet(Section, frozen=True, kw_only=True):
    """The whole file."""

    version: Annotated[int, Meta(ge=1, le=1)]
    cameras: Annotated[tuple[FleetCamera, ...], Meta(min_length=1, max_length=1000)]
    time_zone: TimeZone = ""
    """That of all doorbells. If empty, each has its system's."""
    broker: FleetBroker | None = None
    roots: Annotated[tuple[RootOffer, ...], Meta(max_length=16)] = ()
    clips: ClipsConfig = field(default_factory=ClipsConfig)
    alerts: AlertsConfig | None = None
    sound: SoundConfig | None = None
    home_assistant: HomeAssistantConfig | None = None
    metrics: MetricsConfig | None = None
    installer: InstallerConfig | None = None
    updates: FleetUpdates | None = None


class DeviceBundle(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The file `doorward.bundle` on the boot partition, JSON: a configuration with proposals, an authority, and the
    password for the broker if the configuration names its file."""

    v: Annotated[int, Meta(ge=1, le=1)]
    name: Annotated[str, Meta(max_length=40, pattern=r"^[a-z0-9-]+\Z")]
    configuration: Annotated[str, Meta(max_length=128 << 10)]
    authority: Annotated[str, Meta(max_length=32 << 10)] | None
    broker_password: (
        Annotated[
            str,
            Meta(min_length=1, max_length=16 << 10, pattern=r"^[^\x00\r\n]+\Z", description="one line", extra=SECRET),
        ]
        | None
    ) = None


def load_fleet(path: Path) -> tuple[Fleet, str | None]:
    """The fleet and its broker's authority.  Raises `ConfigurationError` that names file, line and key."""
    text = read_text(path, "Give the path of a fleet file: copy config/fleet.example.toml, which documents every key.")
    fleet = convert(text, path, Fleet, _cross_field_errors)
    if fleet.broker is None:
        return fleet, None
    try:
        authority = read_text(path.parent / fleet.broker.ca)
    except ConfigurationError as error:
        raise _about_authority(path, text, error.message) from error
    # An installer may name the file with the authority's key, and each card would then carry it.
    if not authority.lstrip().startswith("-----BEGIN CERTIFICATE-----") or _SECRETS.search(authority):
        raise _about_authority(path, text, f"{fleet.broker.ca} must be one certificate and nothing else.")
    return fleet, authority


def _about_authority(path: Path, text: str, message: str) -> ConfigurationError:
    key = ("broker", "ca")
    return placed(path, Places(text).line(key), key, message, "Put the authority's .pem beside the fleet file.")


def _cross_field_errors(fleet: Fleet) -> Iterator[CrossFieldError]:
    yield from root_offer_errors(fleet.roots)
    seen: set[str] = set()
    for number, camera in enumerate(fleet.cameras):
        if camera.name in seen:
            yield CrossFieldError(
                ("cameras", number, "name"),
                f"'{camera.name}' names two doorbells.",
                "Give each doorbell a different name.",
            )
        seen.add(camera.name)
        if camera.kind is CameraKind.FILE:
            yield CrossFieldError(
                ("cameras", number, "kind"), "a fleet's camera cannot be a file.", 'Use "pi", "usb" or "rtsp".'
            )
        yield from _sign_in(number, camera, fleet)
        yield from _wires(number, camera)
        yield from _left_out(number, camera)
        try:
            # As the doorbell will read it, so an error shows here and not at a door.
            configuration = parse(_toml(_tables(fleet, camera)), Path("/etc/doorward/doorward.toml"))
        except ConfigurationError as error:
            place, _, said = error.message.partition(": ")
            key = _cause(number, camera, _keys(place.rpartition(", ")[2]))
            yield CrossFieldError(key, f"'{camera.name}' would not run: {said}", error.remedy)
            continue
        for inner, message in _liberties(configuration):
            remedy = "Leave it out, and set it on the doorbell if you need it."
            yield CrossFieldError(_cause(number, camera, inner), f"'{camera.name}' cannot have this: {message}", remedy)


def _left_out(number: int, camera: FleetCamera) -> Iterator[CrossFieldError]:
    """Finds a section that a doorbell both has and leaves out."""
    for at, section in enumerate(camera.without):
        if getattr(camera, section.value) is not None:
            yield CrossFieldError(
                ("cameras", number, "without", at),
                f"'{camera.name}' has [cameras.{section.value}] and leaves it out.",
                "Keep one of the two.",
            )


def _sign_in(number: int, camera: FleetCamera, fleet: Fleet) -> Iterator[CrossFieldError]:
    """Finds a password without a broker, one file for two doorbells, and a doorbell that was forgotten."""
    if camera.broker is None:
        if any(each.broker is not None for each in fleet.cameras):
            yield CrossFieldError(
                ("cameras", number, "name"),
                f"'{camera.name}' has no password for the broker, and others have one.",
                "Give it [cameras.broker] too. All doorbells of a fleet file sign in alike.",
            )
        return
    if fleet.broker is None:
        yield CrossFieldError(
            ("cameras", number, "broker"), f"'{camera.name}' has a password, and there is no broker.", "Add [broker]."
        )
    others = fleet.cameras[:number]
    remedy = "Give each doorbell its own. Otherwise a thief of one card could be the other doorbell, too."
    if any(each.broker.password_file == camera.broker.password_file for each in others if each.broker is not None):
        key: KeyPath = ("cameras", number, "broker", "password_file")
        yield CrossFieldError(key, f"'{camera.name}' has the password of another doorbell.", remedy)
    if any(_user(each) == _user(camera) for each in others if each.broker is not None):
        key = ("cameras", number, "broker", "user")
        yield CrossFieldError(key, f"'{camera.name}' has the user name of another doorbell.", remedy)


def _user(camera: FleetCamera) -> str:
    """Returns the doorbell's user name at the broker."""
    return (camera.broker.user if camera.broker is not None else "") or camera.name


def _wires(number: int, camera: FleetCamera) -> Iterator[CrossFieldError]:
    """Finds pins that no Pi has, before the installer is at the door."""
    for wire in (*Input, *Output) if camera.panel is not None and camera.board is not BoardName.OTHER else ():
        pin = getattr(camera.panel, wire.value)
        if pin is not None and pin > _LAST_PIN:
            message = f"a Raspberry Pi's header has no pin {pin}."
            remedy = f'Give a BCM number from 0 to {_LAST_PIN}, or say board = "other".'
            yield CrossFieldError(("cameras", number, "panel", wire.value), message, remedy)


def _keys(dotted: str) -> KeyPath:
    """`alerts.channels[2].url`, as an error names it → ("alerts", "channels", 1, "url")."""
    return tuple(step for name, at in _STEP.findall(dotted) for step in (name, *([int(at) - 1] if at else [])))


def _cause(number: int, camera: FleetCamera, key: KeyPath) -> KeyPath:
    """Returns the key of a fleet file that becomes `key` in the configuration of its camera `number`."""
    section, inner = str(key[0]) if key else "", key[1:]
    own = ("cameras", number)
    if section in _SHARED:
        return (*own, *key) if getattr(camera, section) is not None else key
    if section in ("broker", "clips", "installer", "roots", "updates"):
        return key
    if section == "panel":
        return (*own, "panel", *inner)
    return (*own, *inner) if inner[:1] and inner[0] in FleetCamera.__struct_fields__ else (*own, "name")


def bundles(fleet: Fleet, authority: str | None, passwords: Mapping[str, str] | None = None) -> Iterator[DeviceBundle]:
    """One for each doorbell, in the file's order. `passwords`: by the doorbell's name. Each is in its bundle alone.

    Without `passwords`, bundles of doorbells that have one are for a look at their configurations only: `parse_bundle`
    refuses them.
    """
    for camera in fleet.cameras:
        yield DeviceBundle(
            v=1,
            name=camera.name,
            configuration=_toml(_tables(fleet, camera)),
            authority=authority,
            broker_password=(passwords or {}).get(camera.name),
        )


def bundle_bytes(bundle: DeviceBundle) -> bytes:
    # Sorted, so that the same file gives the same bytes, and an installer can compare two bundles.
    return json.dumps(msgspec.to_builtins(bundle), indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def parse_bundle(data: bytes, source: Path) -> tuple[DeviceBundle, Configuration]:
    """Reads a bundle and its configuration, and checks that both stay within a bundle's limits.

    Raises `ConfigurationError` with file, line and key; for an error inside `configuration`, also with its line and
    key.
    """
    bundle, line_of = _read_bundle(data, source)
    text = bundle.configuration
    places = Places(text)

    def inside(line: int, key: KeyPath, message: str) -> ConfigurationError:
        remedy = "A bundle cannot contain this. Make it with doorward provision."
        return _inside(placed(source, line, key, message, remedy), source, line_of("configuration"))

    # A card can be read by each computer that it is put into.
    if secret := _SECRETS.search(text):
        line = text.count("\n", 0, secret.start()) + 1
        raise inside(line, places.key(line), "it contains a private key.")
    if _SECRETS.search(bundle.authority or ""):
        remedy = "Give only the authority's certificate to doorward provision."
        raise placed(source, line_of("authority"), ("authority",), "it contains a private key.", remedy)
    try:
        configuration = parse(text, source)
    except ConfigurationError as error:
        raise _inside(error, source, line_of("configuration")) from error
    by_password = configuration.broker is not None and configuration.broker.password_file is not None
    if by_password is not (bundle.broker_password is not None):
        message = "the password is missing." if by_password else "the configuration names no file for a password."
        remedy = "Make it again: doorward provision FLEET.toml"
        raise placed(source, line_of("broker_password"), ("broker_password",), message, remedy)
    for key, message in _liberties(configuration):
        raise inside(places.line(key), key, message)
    return bundle, configuration


def _read_bundle(data: bytes, source: Path) -> tuple[DeviceBundle, Callable[[str], int]]:
    """The JSON of it, and in which line each of its keys stands."""
    # A card is written by anyone who holds it, and root reads this at the first boot.
    if len(data) > _MOST_BUNDLE_BYTES:
        raise _no_bundle(source, data[:_MOST_BUNDLE_BYTES], f"here it passes {_MOST_BUNDLE_BYTES >> 10} KiB")
    try:
        text = data.decode()
        tables = json.loads(text)
        bundle = msgspec.convert(tables, DeviceBundle)
    except msgspec.ValidationError as error:
        key, message, remedy = explain_refusal(str(error), tables, DeviceBundle)
        raise placed(source, _json_line(text, key), key, message, remedy) from error
    except json.JSONDecodeError as error:
        raise _no_bundle(source, error.doc[: error.pos].encode(), error.msg) from error
    except UnicodeDecodeError as error:
        raise not_utf8(source, *_json_place(data[: error.start])) from error
    except (ValueError, RecursionError) as error:  # Python's own limits on numbers and nesting, which give no position
        reason = "its brackets are nested too deep" if isinstance(error, RecursionError) else str(error)
        raise _no_bundle(source, data, reason) from error
    return bundle, lambda key: _json_line(text, (key,))


def _no_bundle(source: Path, before: bytes, reason: str) -> ConfigurationError:
    remedy = "Make it again: doorward provision FLEET.toml"
    return placed(source, *_json_place(before), f"this is not a bundle: {reason}.", remedy)


def _json_place(before: bytes) -> tuple[int, KeyPath]:
    """The line at the end of what comes before a fault, and the last key in it."""
    text = before.decode(errors="replace")
    return text.count("\n") + 1, tuple(_JSON_KEY.findall(text)[-1:])


def _json_line(text: str, key: KeyPath) -> int:
    """Returns the line of a key of a `DeviceBundle`, in which only one array holds flat objects; if the key is missing,
    the line of the object around it."""
    at = 0
    for step in key:
        found = re.compile(rf'"{re.escape(step)}"\s*:' if isinstance(step, str) else r"\{").finditer(text, at)
        match = next(itertools.islice(found, step if isinstance(step, int) else 0, None), None)
        if match is None:
            break
        at = match.end()
    return text.count("\n", 0, at) + 1


def _inside(error: ConfigurationError, source: Path, line: int) -> ConfigurationError:
    rest = error.message.removeprefix(f"{source}, ")
    return ConfigurationError(f"{source}, line {line}, configuration, its {rest}", remedy=error.remedy)


def _liberties(configuration: Configuration) -> Iterator[tuple[KeyPath, str]]:
    """Finds settings that an operator may use, but a bundle from elsewhere may not."""
    for key, path in _paths(configuration):
        if not re.fullmatch(_PATHS.get(key, r"(?!)"), str(path)):
            yield key, "a bundle can only name files that every installation has."
    if configuration.panel is not None and configuration.panel.start:
        yield ("panel", "start"), "the installation starts the bridge."
    # The trust report tells the owner what a fleet file can give. A bundle that was written by hand must hide no more:
    # for example a relay of the preparer's, to which the owner's page would be allowed to connect.
    plain = Configuration()
    for name in Configuration.__struct_fields__:
        if name not in _GIVEN and getattr(configuration, name) != getattr(plain, name):
            yield (name,), "no fleet file gives this section, so the trust report would not tell it."
    if configuration.page not in (None, PageConfig()):
        yield ("page",), "a bundle can switch the page on, and change nothing of it."


def _paths(section: Struct, above: KeyPath = ()) -> Iterator[tuple[KeyPath, Path]]:
    """Yields every path in it, by its key. It relies on the types, so new keys are included."""
    for name in section.__struct_fields__:
        value = getattr(section, name)
        for at, each in enumerate(value) if isinstance(value, tuple) else [(None, value)]:
            key = (*above, name) if at is None else (*above, name, at)
            if isinstance(each, Struct):
                yield from _paths(each, key)
            elif isinstance(each, Path):
                yield key, each


def is_private(configuration: Configuration) -> bool:
    """Returns True if a bundle with this configuration holds a password, of a camera, an alert channel or a broker."""
    broker = configuration.broker
    return holds_secret(configuration) or (broker is not None and broker.password_file is not None)


def trust_report(bundle: DeviceBundle, configuration: Configuration) -> str:
    """Returns a text for the owner that lists everything in a bundle that they would have to trust."""
    lines = [f"Settings that the preparer gave to '{bundle.name}'", ""]
    broker = configuration.broker
    if broker is None:
        lines.append("Broker     none: it uses no network.")
    else:
        lines.append(
            f"Broker     {broker.host}:{broker.port}.  It sees times and sizes of your uploads, never their content."
        )
        digest = hashlib.sha256((bundle.authority or "").encode()).hexdigest()
        lines.append(f"           its authority's file has the SHA-256 {digest}")
        if broker.password_file is not None:
            lines += [
                f"Password   signs it in there as '{broker.user}'.  The preparer and the broker's operator know it:",
                "           they can take over its connection, and can open nothing.",
            ]
    if configuration.installer is not None:
        lines.append(
            f"Installer  {configuration.installer.name} reads the doorbell's health: version, settings' hash, camera, "
            "disk, clock.  Never footage, requests or your decisions."
        )
    if configuration.updates is not None:
        lines.append(
            f"Updates    are looked for at {_host_in(configuration.updates.source)}, signed by Doorward's makers."
            "  You choose when."
        )
    lines += _told(configuration)
    lines.append("Recipients none.  Only the keys you enrol yourself can open your footage.")
    if configuration.roots:
        lines.append(
            "Roots      proposed; without effect until you choose them on your page, which ticks none, or sign them"
        )
        lines.append("           (doorward owner trust add-root KEY):")
        lines += [f"           {root.name}: {root.key}  {root.means}" for root in configuration.roots]
    else:
        lines.append("Roots      none: no requester can ask you for footage.")
    place = configuration.device.position
    lines.append(
        "Position   none: no request can match."
        if place is None
        else f"Position   {place.latitude}, {place.longitude}.  It stays on the doorbell.  Check it."
    )
    masks = sum(zone.kind.value == "privacy" for zone in configuration.motion.zones)
    parts = "1 part of the picture is" if masks == 1 else f"{masks} parts of the picture are"
    lines.append(f"Masks      {parts} never recorded.")
    return "\n".join(lines) + "\n"


def _told(configuration: Configuration) -> Iterator[str]:
    """Yields the third parties that receive data or get access, and what is recorded beside the pictures."""
    if configuration.sound is not None:
        yield "Sound      is recorded, in separate files.  Check that the law allows it where you live."
    home = configuration.home_assistant
    if home is not None:
        yield f"Home       {home.host}:{home.port}, a home's broker, receives motion and the button."
    for channel in configuration.alerts.channels if configuration.alerts is not None else ():
        yield f"Alerts     '{channel.name}' receives the events at the door: {_host_in(channel.url)}"
    if configuration.alerts is not None and configuration.alerts.link:
        yield f"Link       of each alert: {configuration.alerts.link}, in place of your doorbell's page."
    for url in filter(None, (configuration.camera.url, configuration.camera.luma_url)):
        yield f"Camera     records the stream of {_host_in(url)}."
    if configuration.metrics is not None:
        yield f"Metrics    are shown to every program on the doorbell, at 127.0.0.1:{configuration.metrics.port}."


def _host_in(url: str) -> str:
    """Returns the host without the password or token that the address may contain."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return "an address that cannot be read"
    return f"{parts.scheme}://{host}"


def _tables(fleet: Fleet, camera: FleetCamera) -> dict[str, Any]:
    """The doorbell's configuration as plain tables."""
    given = msgspec.to_builtins(camera, enc_hook=str)
    zone = {"time_zone": fleet.time_zone} if fleet.time_zone else {}
    tables: dict[str, Any] = {
        "device": {"name": camera.name} | zone | ({"position": given["position"]} if camera.position else {}),
        "camera": {"kind": given["kind"], "size": given["size"], "fps": camera.fps},
        "motion": {"sensitivity": camera.sensitivity, "smallest_person": camera.smallest_person},
        "clips": msgspec.to_builtins(fleet.clips),
        "board": {"profile": given["board"]},
    }
    if camera.kind is CameraKind.PI:
        tables["camera"] |= {"number": camera.number, "rotate": camera.rotate}
    if camera.kind is CameraKind.USB:
        tables["camera"]["device"] = f"/dev/video{camera.number}"
    if camera.url is not None:
        tables["camera"]["url"] = camera.url
    if camera.zones:
        tables["motion"]["zones"] = given["zones"]
    if fleet.broker is not None:
        broker = msgspec.to_builtins(fleet.broker)
        own = {"user": _user(camera)} if camera.broker is not None else {}
        tables["broker"] = broker | own | (_PASSWORD_FILES if own else _FILES)
    if camera.panel is not None:
        wires = {name: value for name, value in given["panel"].items() if value is not None}
        fixed = {"socket": BRIDGE_SOCKET, "start": False, "agent_user": "doorward-recorder"}
        tables["panel"] = wires | fixed
    if camera.page:
        tables["page"] = {}
    if fleet.installer is not None:
        tables["installer"] = _given(fleet.installer)
    if fleet.roots:
        tables["roots"] = msgspec.to_builtins(fleet.roots)
    if fleet.updates is not None:
        tables["updates"] = {"source": f"{fleet.updates.source.rstrip('/')}/wave-{camera.wave}"}
    for name in _SHARED:
        section = getattr(camera, name) or getattr(fleet, name)
        if section is not None and FleetSection(name) not in camera.without:
            tables[name] = _given(section)
    return tables


def _given(section: Struct) -> dict[str, Any]:
    """Returns the table of a section, without the keys that have no value. Paths are those of the fleet's computer."""
    table = msgspec.to_builtins(section, enc_hook=str)
    return {
        name: [{key: each for key, each in row.items() if each is not None} for row in value]
        if _is_tables(value)
        else value
        for name, value in table.items()
        if value is not None
    }


def _toml(tables: dict[str, Any]) -> str:
    """TOML of tables one or two levels deep, as `doorward.toml` has them."""
    lines: list[str] = []
    for name, table in tables.items():
        if _is_tables(table):
            lines += _rows(name, table)
            continue
        inner = {key: rows for key, rows in table.items() if _is_tables(rows)}
        lines += ["", f"[{name}]", *(f"{key} = {_value(value)}" for key, value in table.items() if key not in inner)]
        for key, rows in inner.items():
            lines += _rows(f"{name}.{key}", rows)
    return "\n".join(lines).lstrip() + "\n"


def _rows(name: str, rows: Any) -> Iterator[str]:
    for row in rows:
        yield from ("", f"[[{name}]]", *(f"{each} = {_value(value)}" for each, value in row.items()))


def _is_tables(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and isinstance(value[0], dict)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # JSON leaves DEL as it is, and a TOML string must not hold it.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_value(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(inner) for inner in value) + "]"
    return repr(value)
