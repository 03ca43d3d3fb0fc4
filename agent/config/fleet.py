"""A fleet file: many doorbells described once, and the bundle that each of them takes on its first boot.

Rules: a fleet file and a bundle are data about doorbells.  They can name no command, no path but those an installation
has, no key of an owner and no secret at all: what a doorbell needs to keep, it makes itself.  A doorbell's settings are
checked by the same code as its own configuration.  The same file gives the same bundles, byte for byte.

A bundle's trust roots are proposals: an owner sees them in the trust report, and none counts before an owner signs it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct, field

from agent.config.reading import convert, parse, read_text
from agent.config.settings import (
    CameraKind,
    Clips,
    Configuration,
    Contradiction,
    Name,
    Position,
    Section,
    Url,
    Zone,
)
from agent.errors import ConfigurationError
from firmware_bridge.boards import BoardName
from firmware_bridge.settings import Backend, Pin, TimeOfDay, Wire

__all__ = ["Bundle", "Fleet", "FleetCamera", "bundle_bytes", "bundles", "load_fleet", "parse_bundle", "trust_report"]

TLS: Final = "/etc/doorward/tls"
BRIDGE_SOCKET: Final = "/run/doorward/bridge/bridge.sock"
_MOST_BUNDLE_BYTES: Final = 256 << 10
_SECRETS: Final = re.compile(r"AGE-SECRET-KEY|PRIVATE KEY", re.IGNORECASE)
_FileName = Annotated[
    str,
    Meta(
        min_length=1, max_length=100, pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$", description="a file's name, no folder"
    ),
]


class Root(Section, frozen=True, kw_only=True):
    """`[[roots]]`: a trust root to propose to the owner."""

    name: Name
    key: Annotated[str, Meta(pattern=r"^ed25519:[A-Za-z0-9_-]{43}$", description='a public key in quotes, "ed25519:…"')]


class FleetBroker(Section, frozen=True, kw_only=True):
    """`[broker]`: the same for all of them; `ca` lies beside the fleet file."""

    host: Annotated[
        str,
        Meta(
            min_length=1, max_length=253, pattern=r"^[A-Za-z0-9.:_-]+$", description="a host name or address in quotes"
        ),
    ]
    ca: _FileName
    port: Annotated[int, Meta(ge=1, le=65_535)] = 8883
    keepalive_s: Annotated[int, Meta(ge=10, le=300)] = 60
    chunk_bytes: Annotated[int, Meta(ge=16_384, le=131_072)] = 65_536


class FleetPanel(Section, frozen=True, kw_only=True):
    """`panel = {…}`: pins by their BCM number; without it there are no wires."""

    backend: Backend = Backend.GPIOD
    button: Pin | None = 17
    pir: Pin | None = None
    tamper: Pin | None = None
    privacy: Pin | None = None
    recording_led: Pin = 24
    status_led: Pin | None = None
    chime: Pin | None = None
    ir_led: Pin | None = None
    ir_cut_day: Pin | None = None
    ir_cut_night: Pin | None = None
    active_low: Annotated[tuple[Wire, ...], Meta(max_length=10)] = ("button",)
    chime_quiet: tuple[TimeOfDay, TimeOfDay] | None = None


class FleetCamera(Section, frozen=True, kw_only=True):
    """`[[cameras]]`: one doorbell."""

    name: Annotated[
        str,
        Meta(
            max_length=40,
            pattern=r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$",
            description="up to 40 lowercase letters, digits and inner hyphens, in quotes",
        ),
    ]
    position: Position | None = None
    kind: CameraKind = CameraKind.PI
    number: Annotated[int, Meta(ge=0, le=7)] = 0
    """Which Pi camera, or which /dev/videoN."""
    url: Url | None = None
    size: tuple[Annotated[int, Meta(ge=160, le=3840)], Annotated[int, Meta(ge=120, le=2160)]] = (1280, 720)
    fps: Annotated[int, Meta(ge=1, le=60)] = 15
    rotate: bool = False
    sensitivity: Annotated[float, Meta(ge=0.1, le=10)] = 1.0
    zones: Annotated[tuple[Zone, ...], Meta(max_length=32)] = ()
    """Masks are zones of kind "privacy"."""
    panel: FleetPanel | None = None
    board: BoardName = BoardName.AUTO
    page: bool = True


class Fleet(Section, frozen=True, kw_only=True):
    """The whole file."""

    version: Annotated[int, Meta(ge=1, le=1)]
    cameras: Annotated[tuple[FleetCamera, ...], Meta(min_length=1, max_length=1000)]
    broker: FleetBroker | None = None
    roots: Annotated[tuple[Root, ...], Meta(max_length=16)] = ()
    clips: Clips = field(default_factory=Clips)


class Bundle(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What lies on the boot partition as `doorward.bundle`, JSON: a configuration, an authority, proposals."""

    v: Annotated[int, Meta(ge=1, le=1)]
    name: Annotated[str, Meta(max_length=40, pattern=r"^[a-z0-9-]+$")]
    configuration: Annotated[str, Meta(max_length=128 << 10)]
    authority: Annotated[str, Meta(max_length=32 << 10)] | None
    roots: Annotated[tuple[Root, ...], Meta(max_length=16)]


def load_fleet(path: Path) -> tuple[Fleet, str | None]:
    """The fleet and its broker's authority.  Raises `ConfigurationError` that names file, line and key."""
    text = read_text(path)
    fleet = convert(text, path, Fleet, _contradictions)
    if fleet.broker is None:
        return fleet, None
    authority = read_text(path.parent / fleet.broker.ca)
    if not authority.lstrip().startswith("-----BEGIN CERTIFICATE-----") or _SECRETS.search(authority):
        raise ConfigurationError(
            f"{path}, broker.ca: {fleet.broker.ca} is no certificate alone.", remedy="Give the authority's .pem."
        )
    return fleet, authority


def _contradictions(fleet: Fleet) -> Iterator[Contradiction]:
    seen: set[str] = set()
    for number, camera in enumerate(fleet.cameras):
        if camera.name in seen:
            yield Contradiction(
                ("cameras", number, "name"), f"'{camera.name}' names two doorbells.", "Give each its own."
            )
        seen.add(camera.name)
        if camera.kind is CameraKind.FILE:
            yield Contradiction(
                ("cameras", number, "kind"), "a fleet's camera is no file.", 'Give "pi", "usb" or "rtsp".'
            )
        try:
            parse(_toml(_tables(fleet, camera)), Path("/etc/doorward/doorward.toml"))
        except ConfigurationError as error:
            said = error.message.partition(": ")[2] or error.message
            yield Contradiction(("cameras", number, "name"), f"'{camera.name}' would not run: {said}", error.remedy)


def bundles(fleet: Fleet, authority: str | None) -> Iterator[Bundle]:
    """One for each doorbell, in the file's order."""
    for camera in fleet.cameras:
        yield Bundle(
            v=1,
            name=camera.name,
            configuration=_toml(_tables(fleet, camera)),
            authority=authority,
            roots=fleet.roots,
        )


def bundle_bytes(bundle: Bundle) -> bytes:
    return json.dumps(msgspec.to_builtins(bundle), indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def parse_bundle(data: bytes, source: Path) -> tuple[Bundle, Configuration]:
    """A bundle and what its configuration says, once it says nothing a bundle may not.  Raises `ConfigurationError`."""
    if len(data) > _MOST_BUNDLE_BYTES:
        raise ConfigurationError(f"{source} is over {_MOST_BUNDLE_BYTES >> 10} KiB.", remedy="Is it the right file?")
    try:
        bundle = msgspec.json.decode(data, type=Bundle)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigurationError(
            f"{source}, line 1, the bundle: {error}.", remedy="Make it again: doorward provision FLEET.toml"
        ) from error
    configuration = parse(bundle.configuration, source)
    for key, message in _liberties(bundle, configuration):
        raise ConfigurationError(
            f"{source}, {key}: {message}", remedy="A bundle may not say that: make it with doorward provision."
        )
    return bundle, configuration


def _liberties(bundle: Bundle, configuration: Configuration) -> Iterator[tuple[str, str]]:
    """What the configuration of a machine may say, and a bundle from elsewhere may not."""
    line = _line_of(bundle.configuration)
    if configuration.device.state_dir != Path("/var/lib/doorward"):
        yield line("state_dir"), "the state directory is the installation's."
    camera = configuration.camera
    if camera.path is not None or not re.fullmatch(r"/dev/video\d{1,3}", str(camera.device)):
        yield line("path" if camera.path else "device"), "a bundle's camera is /dev/videoN or no file at all."
    broker = configuration.broker
    if broker is not None and {str(broker.ca), str(broker.certificate), str(broker.key)} != {
        f"{TLS}/ca.pem",
        f"{TLS}/device.pem",
        f"{TLS}/device.key",
    }:
        yield line("ca"), f"the broker's files lie in {TLS}."
    panel = configuration.panel
    if panel is not None and (str(panel.socket) != BRIDGE_SOCKET or str(panel.chip) != "/dev/gpiochip0" or panel.start):
        yield line("socket"), "the panel's socket and chip are the installation's."
    if configuration.board.watchdog is not None:
        yield line("watchdog"), "the watchdog's device is the installation's."
    if _SECRETS.search(bundle.configuration) or _SECRETS.search(bundle.authority or ""):
        yield "line 1, the bundle", "there is a private key in it."


def _line_of(text: str) -> Any:
    def place(key: str) -> str:
        lines = text.split("\n")
        number = next((n for n, line in enumerate(lines, start=1) if line.lstrip().startswith(key)), 1)
        return f"line {number}, {key}"

    return place


def trust_report(bundle: Bundle, configuration: Configuration) -> str:
    """Everything in a bundle that somebody would have to trust, in words for the owner."""
    lines = [f"What '{bundle.name}' was given by whoever prepared it", ""]
    broker = configuration.broker
    if broker is None:
        lines.append("Broker     none: it touches no network.")
    else:
        lines.append(
            f"Broker     {broker.host}:{broker.port}.  It sees that you upload, when and how much; never what."
        )
        digest = hashlib.sha256((bundle.authority or "").encode()).hexdigest()
        lines.append(f"           its authority's file has the SHA-256 {digest}")
    lines.append("Recipients none.  Only the keys you enrol yourself can open your footage.")
    if bundle.roots:
        lines.append("Roots      proposed, and worth nothing until you sign them (doorward owner trust-root KEY):")
        lines += [f"           {root.name}: {root.key}" for root in bundle.roots]
    else:
        lines.append("Roots      none: nobody can ask you for anything.")
    place = configuration.device.position
    lines.append(
        "Position   none: no request can match."
        if place is None
        else f"Position   {place.latitude}, {place.longitude}.  It stays on the doorbell.  Is it yours?"
    )
    masks = sum(zone.kind.value == "privacy" for zone in configuration.motion.zones)
    lines.append(f"Masks      {masks} parts of the picture are never recorded.")
    return "\n".join(lines) + "\n"


def _tables(fleet: Fleet, camera: FleetCamera) -> dict[str, Any]:
    """The doorbell's configuration as plain tables."""
    given = msgspec.to_builtins(camera)
    tables: dict[str, Any] = {
        "device": {"name": camera.name} | ({"position": given["position"]} if camera.position else {}),
        "camera": {"kind": given["kind"], "size": given["size"], "fps": camera.fps},
        "motion": {"sensitivity": camera.sensitivity},
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
        files = {"ca": f"{TLS}/ca.pem", "certificate": f"{TLS}/device.pem", "key": f"{TLS}/device.key"}
        tables["broker"] = broker | files
    if camera.panel is not None:
        wires = {name: value for name, value in given["panel"].items() if value is not None}
        fixed = {"socket": BRIDGE_SOCKET, "start": False, "agent_user": "doorward-recorder"}
        tables["panel"] = wires | fixed
    if camera.page:
        tables["page"] = {}
    return tables


def _toml(tables: dict[str, Any]) -> str:
    """TOML of tables one or two levels deep, as `doorward.toml` has them."""
    lines: list[str] = []
    for name, table in tables.items():
        inner = {key: rows for key, rows in table.items() if _is_tables(rows)}
        lines += ["", f"[{name}]", *(f"{key} = {_value(value)}" for key, value in table.items() if key not in inner)]
        for key, rows in inner.items():
            for row in rows:
                lines += ["", f"[[{name}.{key}]]", *(f"{each} = {_value(value)}" for each, value in row.items())]
    return "\n".join(lines).lstrip() + "\n"


def _is_tables(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and isinstance(value[0], dict)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_value(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(inner) for inner in value) + "]"
    return repr(value)
