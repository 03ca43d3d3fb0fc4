"""Trust bundles: a root's signed list of the requesters it vouches for, made from a TOML file that a person edits.

    version = 3                                # higher than every bundle of this root before

    [[requesters]]
    id = "rijnstad-police"
    name = "Rijnstad Police"                   # shown to owners
    kind = "police"                            # police | fire | insurer | neighbour | court | defence
    regions = [{ south = 52.27, west = 4.72, north = 52.44, east = 5.08 }]
    limits = { window_max_s = 14400 }          # optional, tighter than every device's own

    [[requesters.keys]]
    key = "ed25519:…"                          # from 'doorward requester keygen'
    from = 2026-01-01                          # a date, or a time with its offset
    until = 2026-12-31                         # a date includes its whole day, UTC
    revoked = false                            # optional

    [[brokers]]                                # optional: the brokers of the area, if it has several
    host = "north.broker.example"
    port = 8884                                # where requesters connect
    areas = [{ south = 52, west = 4, north = 53, east = 6 }]   # the cells of 0.5° that this touches

An error names file, line and key. An unknown key is an error.
"""

from __future__ import annotations

import datetime
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec

from agent.clients.requester.keys import Signer, sign_for_root, trust_key_of
from agent.clients.requester.list_sections import split_list
from agent.config.places import KeyPath, Places
from agent.errors import ConfigurationError, FormatError, StorageError
from agent.platform import files
from agent.wire import strictjson
from agent.wire.area import E7, Point, e7
from agent.wire.broker_directory import (
    MAX_BROKERS,
    MAX_RANGES,
    BrokerAddress,
    BrokerDirectory,
    CellBroker,
    CellRange,
    HostText,
    directory_sha256,
)
from agent.wire.fields import KeyText, Kind, RequesterId
from agent.wire.topics import cell_of
from agent.wire.trust import (
    BUNDLE_LIMIT_BYTES,
    EntryLimits,
    NamedSection,
    RequesterEntry,
    RequesterKey,
    TrustBundle,
    TrustRegion,
    open_alone,
)
from agent.wire.trust_keys import TrustKey

__all__ = ["RequesterList", "make_bundle", "make_directory", "read_bundle", "read_list"]

_FILE_LIMIT_BYTES: Final = 4 * 1024 * 1024
_PATH: Final = re.compile(r" - at `\$?(?P<path>[^`]*)`$")
_STEP: Final = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")

_FORMS: Final = {
    "id": "1 to 32 of a-z, 0-9 and -, with a letter or digit at both ends.",
    "key": "It is the line ed25519:… that 'doorward requester keygen' printed.",
    "host": "A name in small letters like north.broker.example, or an address.",
    "kind": f"One of {', '.join(kind.value for kind in Kind)}.",
}


_RECIPIENT_LIMIT_BYTES: Final = 8192


class _TomlTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of the tables in the file."""


class _Rectangle(_TomlTable, frozen=True, forbid_unknown_fields=True):
    south: Annotated[float, msgspec.Meta(ge=-90, le=90)]
    west: Annotated[float, msgspec.Meta(ge=-180, le=180)]
    north: Annotated[float, msgspec.Meta(ge=-90, le=90)]
    east: Annotated[float, msgspec.Meta(ge=-180, le=180)]


class _Key(_TomlTable, frozen=True, forbid_unknown_fields=True):
    key: KeyText
    from_: Any = msgspec.field(name="from")
    until: Any
    revoked: bool = False


class _Requester(_TomlTable, frozen=True, forbid_unknown_fields=True):
    id: RequesterId
    name: str
    kind: Kind
    keys: Annotated[tuple[_Key, ...], msgspec.Meta(min_length=1)]
    regions: Annotated[tuple[_Rectangle, ...], msgspec.Meta(min_length=1)]
    limits: EntryLimits = EntryLimits()
    tips: str | None = None


class _Broker(_TomlTable, frozen=True, forbid_unknown_fields=True):
    host: HostText
    port: Annotated[int, msgspec.Meta(ge=1, le=65_535)]
    areas: Annotated[tuple[_Rectangle, ...], msgspec.Meta(min_length=1, max_length=MAX_RANGES)]


class _List(_TomlTable, frozen=True, forbid_unknown_fields=True):
    version: Annotated[int, msgspec.Meta(ge=1)]
    requesters: tuple[_Requester, ...] = ()
    brokers: Annotated[tuple[_Broker, ...], msgspec.Meta(max_length=MAX_BROKERS)] = ()


@dataclass(frozen=True, slots=True)
class RequesterList:
    """Content of the file. `brokers` is empty if one broker serves all."""

    version: int
    requesters: tuple[RequesterEntry, ...]
    brokers: tuple[CellBroker, ...] = ()

    def directory(self, root: str) -> bytes | None:
        """Returns the broker directory below the root with that key id, or None without brokers."""
        return strictjson.encode(BrokerDirectory(v=1, root=root, brokers=self.brokers)) if self.brokers else None

    def bundle(self, root: str, issued_s: int) -> TrustBundle:
        """Returns the bundle with all requesters, which names the directory by its hash. Raises `FormatError`."""
        return self._bundle(root, issued_s, self.requesters, ())

    def in_sections(self, root: str, issued_s: int) -> tuple[TrustBundle, tuple[bytes, ...]]:
        """Returns the bundle of a package and its sections. A short list has none. Raises `FormatError`."""
        head, sections = split_list(self.requesters)
        bundle = self._bundle(root, issued_s, head, tuple(name for name, _ in sections))
        return bundle, tuple(data for _, data in sections)

    def _bundle(
        self, root: str, issued_s: int, requesters: tuple[RequesterEntry, ...], sections: tuple[NamedSection, ...]
    ) -> TrustBundle:
        directory = self.directory(root)
        return TrustBundle(
            v=1,
            root=root,
            version=self.version,
            issued_s=issued_s,
            requesters=requesters,
            directory_sha256=directory_sha256(directory) if directory is not None else None,
            sections=sections,
        )


def make_directory(source: Path, root: TrustKey) -> bytes | None:
    """Returns the broker directory that the file describes and its bundle names, or None. Raises as `make_bundle`."""
    return read_list(source).directory(root.id)


def make_bundle(source: Path, root: Signer, *, issued_s: int, previous: bytes | None = None) -> bytes:
    """Returns the envelope of the bundle that the file `source` describes, signed by `root`.

    `previous`: the root's last bundle, if available. A version that is not higher is then refused here, before every
    device refuses it. Raises `ConfigurationError` naming file, line and key.
    """
    listed = read_list(source)
    if previous is not None:
        last = read_bundle(previous, trust_key_of(root))
        if listed.version <= last.version:
            raise ConfigurationError(
                f"{source}: version: {listed.version} is not higher than {last.version}, the last bundle's version.",
                remedy=f"Set version = {last.version + 1}. Devices accept only newer bundles.",
            )
    try:
        return sign_for_root(root, TrustBundle.PAYLOAD_TYPE, listed.bundle(root.public_key.id, issued_s))
    except FormatError as error:
        raise ConfigurationError(f"{source}: {error.message}", remedy=error.remedy) from error


def read_bundle(data: bytes, root: TrustKey) -> TrustBundle:
    """Returns a bundle that this root signed. Raises `FormatError` or `OpenError`."""
    payload, _ = open_alone(data, {root.id: root})
    return strictjson.decode(payload, TrustBundle, limit_bytes=BUNDLE_LIMIT_BYTES)


def read_list(source: Path) -> RequesterList:
    """Returns what the file lists. Raises `ConfigurationError`."""
    try:
        text = files.read(source, _FILE_LIMIT_BYTES).decode("utf-8-sig")
        tables = tomllib.loads(text)
    except StorageError as error:
        raise ConfigurationError(error.message, remedy="Give the path of the list of requesters.") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{source} is not UTF-8 text.", remedy="Save it as UTF-8.") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(
            f"{source}: this is not TOML: {error}.", remedy="Compare it with 'doorward requester bundle --help'."
        ) from error
    places = Places(text)
    try:
        listed = msgspec.convert(tables, _List)
    except msgspec.ValidationError as error:
        key = _key_in(str(error))
        said = _PATH.sub("", str(error)).replace("`", "'")
        if "matching regex" in said:
            said = "this has the wrong form."
        raise _mistake(source, places, key, said, _FORMS.get(str(key[-1]) if key else "", "")) from error
    entries = tuple(_entry(source, places, number, each) for number, each in enumerate(listed.requesters))
    _require_distinct(source, places, entries)
    brokers = tuple(_broker(source, places, number, each) for number, each in enumerate(listed.brokers))
    _require_one_address_each(source, places, brokers)
    return RequesterList(listed.version, entries, brokers)


def _broker(source: Path, places: Places, number: int, form: _Broker) -> CellBroker:
    cells = []
    for at, area in enumerate(form.areas):
        for field, turned, remedy in (
            ("south", area.south > area.north, "South is larger than north: exchange the two."),
            ("west", area.west > area.east, "West is larger than east. Write two areas if it crosses 180 degrees."),
        ):
            if turned:
                here: KeyPath = ("brokers", number, "areas", at, field)
                raise _mistake(source, places, here, "the corners are on the wrong side.", remedy)
        last = cell_of(_inner(area.south, area.north), _inner(area.west, area.east))
        cells.append(CellRange(south_west=cell_of(area.south, area.west), north_east=last))
    return CellBroker(host=form.host, port=form.port, cells=tuple(cells))


def _inner(low: float, high: float) -> float:
    """Returns `high`, or a place just below it: an edge between two cells does not take the next one along."""
    return max(low, (e7(high) - 1) / E7)


def _require_one_address_each(source: Path, places: Places, brokers: tuple[CellBroker, ...]) -> None:
    seen: dict[BrokerAddress, int] = {}
    for number, broker in enumerate(brokers):
        if seen.setdefault(broker.address, number) != number:
            said = f"{broker.address} is in entry {seen[broker.address] + 1}, too."
            raise _mistake(
                source, places, ("brokers", number, "host"), said, "Give all areas of a broker in one entry."
            )


def _entry(source: Path, places: Places, number: int, form: _Requester) -> RequesterEntry:
    here: KeyPath = ("requesters", number)
    keys = tuple(_key(source, places, (*here, "keys", at), key) for at, key in enumerate(form.keys))
    try:
        regions = tuple(
            TrustRegion(south_west=_point(each.south, each.west), north_east=_point(each.north, each.east))
            for each in form.regions
        )
        entry = RequesterEntry(
            id=form.id,
            name=form.name,
            kind=form.kind,
            keys=keys,
            regions=regions,
            limits=form.limits,
            tips=_tips_recipient(source, places, (*here, "tips"), form.tips),
        )
        # Encode and decode it as a device will, so that devices accept each entry that passes here.
        strictjson.encode(entry)
    except FormatError as error:
        place, said = _place_of(error)
        raise _mistake(source, places, (*here, *place), said, error.remedy) from error
    return entry


def _place_of(error: FormatError) -> tuple[KeyPath, str]:
    """Returns the key of the entry that the error names, and what is wrong with it.

    An error of the reader names the kind of message first, and then the key.
    """
    parts = error.message.split(": ")
    for number, part in enumerate(parts[:-1]):
        steps = part.removeprefix("requesters.").split(".")
        if steps[0] in RequesterEntry.__struct_fields__:
            path = tuple(int(step) - 1 if step.isdecimal() else step for step in steps)
            return path, ": ".join(parts[number + 1 :])
    return (), error.message


def _tips_recipient(source: Path, places: Places, here: KeyPath, text: str | None) -> str | None:
    """Returns a recipient, given as text or as the name of its file, because its two thousand characters are hard to
    copy."""
    if text is None or text.startswith("age1"):
        return text
    try:
        return files.read(source.parent / text, _RECIPIENT_LIMIT_BYTES).decode("ascii", "replace").strip()
    except StorageError as error:
        raise _mistake(source, places, here, error.message, "Name the requester's tips.recipient.") from error


def _key(source: Path, places: Places, here: KeyPath, form: _Key) -> RequesterKey:
    from_s = _seconds(source, places, (*here, "from"), form.from_, end_of_day=False)
    until_s = _seconds(source, places, (*here, "until"), form.until, end_of_day=True)
    try:
        return RequesterKey(key=form.key, from_s=from_s, until_s=until_s, revoked=form.revoked)
    except FormatError as error:
        field = "until" if from_s > until_s else "key"
        raise _mistake(source, places, (*here, field), error.message, error.remedy) from error


def _seconds(source: Path, places: Places, key: KeyPath, value: Any, *, end_of_day: bool) -> int:
    match value:
        # A time without an offset would depend on the zone of the machine that reads the file.
        case datetime.datetime() if value.tzinfo is not None:
            return int(value.timestamp())
        # Python's datetime is a date, too.
        case datetime.date() if not isinstance(value, datetime.datetime):
            day = datetime.datetime.combine(value, datetime.time(), datetime.UTC)
            return int(day.timestamp()) + (86_399 if end_of_day else 0)
    raise _mistake(source, places, key, "not a date.", "Write 2026-01-31, or 2026-01-31T18:00:00+01:00; no quotes.")


def _point(lat: float, lon: float) -> Point:
    return Point(lat=e7(lat) / E7, lon=e7(lon) / E7)


def _require_distinct(source: Path, places: Places, entries: tuple[RequesterEntry, ...]) -> None:
    """Raises if a value that must be unique in the bundle occurs twice. The error names the line of the second one."""
    seen: dict[tuple[str, str], int] = {}
    for number, entry in enumerate(entries):
        # Owners read the name, and two names that differ in capitals only look alike.
        marks = [("id", entry.id), ("name", entry.name.casefold()), *(("keys", key.key) for key in entry.keys)]
        for field, value in marks:
            if seen.setdefault((field, value), number) != number or marks.count((field, value)) > 1:
                said = f"this is in entry {seen[field, value] + 1}, too."
                raise _mistake(source, places, ("requesters", number, field), said, "Each is unique.")


def _key_in(said: str) -> KeyPath:
    where = _PATH.search(said)
    steps = _STEP.findall(where["path"]) if where else []
    return tuple(int(index) if index else name for name, index in steps)


def _mistake(source: Path, places: Places, key: KeyPath, said: str, remedy: str) -> ConfigurationError:
    dotted = "".join(f"[{step + 1}]" if isinstance(step, int) else f".{step}" for step in key).lstrip(".")
    where = f"{source}, line {places.line(key)}" + (f", {dotted}" if dotted else "")
    return ConfigurationError(
        f"{where}: {said}", remedy=remedy or "'doorward requester bundle --help' shows a correct list."
    )
