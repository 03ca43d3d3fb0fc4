"""Content of `tests/vectors/wire` and `tests/vectors/ledger`, from fixed seeds: PROTOCOL.md and LEDGER.md in bytes.

`python -m tests.wire.vectors` writes the files again after a deliberate change of a format; a test holds them to this.
"""

from __future__ import annotations

import base64
import hashlib
import importlib
import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from agent import wire
from agent.core import ledger
from agent.core.ledger import checkpoint, cosignature, merkle, time_log
from agent.core.ledger.entries import FIELDS, encode_entry, entry
from agent.core.timebase import BootNs, ClockQuality, ClockReading, UtcNs
from agent.errors import FormatError
from agent.wire import broker_directory, cell_digest, envelope, strictjson, topics, trust_package
from agent.wire.area import E7, Area, Circle
from agent.wire.disclosures import DisclosureManifest
from agent.wire.identities import MldsaPublicKey, approval_mldsa_key, dump_private_key, public_key_of
from agent.wire.statements import Enrolment, NamedKey, read_statement
from agent.wire.topics import (
    BrokersTopic,
    BulletinTopic,
    ChunkVerb,
    DigestTopic,
    ReceiptTopic,
    RequestTopic,
    TrustIndexTopic,
    TrustTopic,
    UploadTopic,
    UploadVerb,
)
from tests import time_services
from tests.web import page_types
from tests.wire import enrolment_vectors, package_vectors, request_vectors, samples
from tests.wire.link import vectors as link_vectors

FOLDER = Path(__file__).resolve().parents[1] / "vectors"
SIGNERS = {
    "trust-bundle": "root",
    "trust-root": "root",
    "trust-timestamp": "root",
    "footage-request": "requester",
    "withdrawal": "requester",
    "bulletin": "requester",
    "deletion": "requester",
    "receipt": "requester",
    "disclosure-manifest": "device",
    "health-report": "device",
}
"""By payload type; everything else is an owner's."""


def files() -> dict[str, str]:
    """By path below `tests/vectors`."""
    made = {
        "wire/keys.json": keys(),
        "wire/mldsa.json": mldsa(),
        "wire/topics.json": topic_table(),
        "wire/areas.json": area_table(),
        "wire/trust.json": trust(),
        "wire/packages.json": package_vectors.vectors(),
        "wire/bounds.json": bounds(),
        "wire/digests.json": digests(),
        "wire/indexes.json": indexes(),
        "wire/directories.json": directories(),
        "wire/broker-enrolment.json": enrolment_vectors.vectors(),
        "wire/late.json": late(),
        "wire/known_doors.json": known_doors(),
        "ledger/entries.json": entries(),
        "ledger/merkle.json": trees(),
        "ledger/checkpoint.json": checkpoints(),
        "ledger/time.json": times(),
    }
    made |= link_vectors.files()
    made |= {f"wire/messages/{name}.json": message(name) for name in samples.EVERY_MESSAGE}
    made |= {f"wire/schemas/{name}.json": schema for name, schema in schemas().items()}
    made |= {f"wire/requests/{name}.json": vector for name, vector in request_vectors.vectors().items()}
    texts = {path: json.dumps(value, ensure_ascii=False, indent=1) + "\n" for path, value in made.items()}
    return texts | _signatures_apart(texts)


def _signatures_apart(texts: dict[str, str]) -> dict[str, str]:
    """The signatures of roots that the vectors have, once each, and the packages with the names of theirs instead."""
    packages, whole = texts["wire/packages.json"], "".join(texts.values())
    found = {name: each for name, each in sorted(samples.root_signatures().items()) if each in whole}
    for name, each in found.items():
        packages = packages.replace(each, f"<{name}>")
    return {
        "wire/packages.json": packages,
        "wire/trust_signatures.json": json.dumps(found, ensure_ascii=False, indent=1) + "\n",
    }


def keys() -> Any:
    return [
        {
            "name": name,
            "seed": hashlib.sha256(name.encode()).hexdigest(),
            "public": public_key_of(samples.private_key(name)).text,
            "key_id": public_key_of(samples.private_key(name)).id,
            "private_pem": dump_private_key(samples.private_key(name)),
        }
        for name in ("root", "requester", "device", "owner")
    ]


def mldsa() -> Any:
    """The second keys of the device and the owner of `keys.json`. The owner's is derived from the seed there."""
    found = {"device": samples.MLDSA, "owner": approval_mldsa_key(samples.OWNER)}
    return [
        {
            "name": name,
            "seed": key.private_bytes_raw().hex(),
            "public": MldsaPublicKey.of(key).text,
            "sha256": MldsaPublicKey.of(key).sha256,
            "key_id": MldsaPublicKey.of(key).id,
        }
        for name, key in found.items()
    ]


def schemas() -> dict[str, Any]:
    """JSON Schema of each kind of message: what of PROTOCOL.md's tables a machine can check (keys, types, bounds).

    Patterns are ECMA-262's there, in which `$` is the end and `\\Z` is a letter (JSON Schema, 6.4).
    """

    def written(schema: Any) -> Any:
        """Until Python 3.13 docstrings keep the indentation of their source."""
        if isinstance(schema, dict):
            return {
                name: inspect.cleandoc(value) if name == "description" and isinstance(value, str) else written(value)
                for name, value in schema.items()
            }
        return [written(each) for each in schema] if isinstance(schema, list) else schema

    return {
        "-".join(re.findall("[A-Z][a-z]+", kind.__name__)).lower(): json.loads(
            json.dumps(written(msgspec.json.schema(kind))).replace("\\\\Z", "$")
        )
        for kind in sorted({type(value) for value in samples.EVERY_MESSAGE.values()}, key=lambda kind: kind.__name__)
    }


def bounds() -> Any:
    """Every number that a module of the wire or of the ledger names."""
    found = {}
    for package in (wire, ledger):
        for path in sorted(Path(package.__path__[0]).glob("*.py")):
            module = importlib.import_module(f"{package.__name__}.{path.stem}".removesuffix(".__init__"))
            names = sorted(name for name, value in vars(module).items() if isinstance(value, int | float))
            numbers = {name: getattr(module, name) for name in names if name.isupper()}
            if numbers and module is not package:
                found[module.__name__] = numbers
    return found


def late() -> Any:
    """Limits of time as an owner's client judges them, who was not there when the request came."""
    now, day = samples.NOW_S, 86_400
    oldest = now - 45 * day
    rows: list[tuple[str | None, int, int, int, dict[str, int]]] = [
        (None, now - 7200, now - 3600, now, {}),
        (None, now - 7200, now - 3600, now + 30 * day, {}),
        ("expires too late", now - 7200, now - 3600, now + 30 * day + 1, {}),
        (None, now - 3600, now + 300, now + day, {}),
        ("window in the future", now - 3600, now + 301, now + day, {}),
        (None, oldest, oldest + 3600, now + 30 * day, {}),
        ("look-back too far", oldest - 1, oldest + 3600, now + 30 * day, {}),
        # Asked 30 days ago about what was 45 days back then, and answered on its last day.
        (None, oldest - 30 * day, oldest - 30 * day + 3600, now, {}),
        ("look-back too far", oldest - 30 * day - 1, oldest - 30 * day + 3600, now, {}),
        # Long over: anyone who looks at it again is shown it.
        (None, now - 400 * day, now - 400 * day + 3600, now - 380 * day, {}),
        ("look-back too far", now - 730 * day, now - 730 * day + 3600, now + day, {}),
        (None, now - 7200, now - 3600, now + day, {"life_max_s": day}),
        ("expires too late", now - 7200, now - 3600, now + day + 1, {"life_max_s": day}),
        (None, now - 2 * day, now - 2 * day + 3600, now, {"life_max_s": day, "look_back_max_s": day}),
        ("look-back too far", now - 2 * day - 1, now - day, now, {"life_max_s": day, "look_back_max_s": day}),
        (None, oldest, oldest + 3600, now + 30 * day, {"life_max_s": 60 * day, "look_back_max_s": 60 * day}),
    ]
    return [
        {"from": begins, "to": ends, "not_after": over, "limits": tighter, "now": now, "over": word}
        for word, begins, ends, over, tighter in rows
    ]


def known_doors() -> Any:
    """Which answers a requester takes from a known device, by the lists of owners and the time of the approval."""
    ten_minutes_ms = 600_000
    chain = _chain("owner-1")
    other = _chain("a thief")
    dated = [_read_unverified(each)["owner_time_ms"] for each in chain]
    rows: list[tuple[int, list[str], int, bool]] = [
        (2, chain[:2], dated[1] + 10 * ten_minutes_ms, True),
        (2, chain, dated[2], True),
        (1, chain, dated[2], True),
        # An earlier stretch: approved at most ten minutes later than the list that followed, by the owners' clocks.
        (3, chain[:1], dated[1] - 1, True),
        (3, chain[:1], dated[1] + ten_minutes_ms, True),
        (3, chain[:1], dated[1] + ten_minutes_ms + 1, False),
        (3, chain[:2], dated[1] + ten_minutes_ms + 1, True),
        (3, chain[:2], dated[2] + ten_minutes_ms, True),
        (3, chain[:2], dated[2] + ten_minutes_ms + 1, False),
        (3, chain[:2], dated[2] + 86_400_000, False),
        (1, other[:1], dated[0], False),
        (3, other, dated[2], False),
        (2, [chain[0], other[1]], dated[1], False),
    ]
    return {
        "device": samples.DEVICE_KEY.text,
        "chain": chain,
        "rows": [
            {"known": known, "enrolments": shown, "owner_time_ms": at_ms, "accepted": accepted}
            for known, shown, at_ms, accepted in rows
        ],
    }


def _chain(name: str) -> list[str]:
    """Three lists of the owners of one device, an hour apart, each signed by the one owner."""
    key, made, previous = samples.private_key(name), list[str](), None
    for epoch in (1, 2, 3):
        payload = strictjson.encode(
            samples.enrolment(
                epoch=epoch,
                previous=previous,
                owner_time_ms=samples.NOW_S * 1000 + epoch * 3_600_000,
                approvers=(NamedKey.of("owner-1", key),),
            )
        )
        previous = hashlib.sha256(payload).hexdigest()
        made.append(samples.sign_kept(Enrolment.PAYLOAD_TYPE, payload, key).decode())
    return made


def _read_unverified(text: str) -> Any:
    return json.loads(read_statement(text.encode()).payload)


def message(name: str) -> Any:
    value = samples.EVERY_MESSAGE[name]
    payload = strictjson.encode(value)
    written = {"payload": payload.decode(), "payload_sha256": hashlib.sha256(payload).hexdigest()}
    kind = getattr(value, "PAYLOAD_TYPE", None)
    if kind is None:
        return written
    signer = SIGNERS.get(kind.removeprefix("application/vnd.doorward.").removesuffix("+json"), "owner")
    return {
        "payload_type": kind,
        "signed_by": signer,
        **written,
        "pae_sha256": hashlib.sha256(envelope.pae(kind, payload)).hexdigest(),
        "envelope": _signed(kind, payload, signer).decode(),
    }


def _signed(kind: str, payload: bytes, signer: str) -> bytes:
    if signer == "owner":
        return samples.sign_kept(kind, payload, samples.OWNER)
    if kind == DisclosureManifest.PAYLOAD_TYPE:
        return samples.sign_kept(kind, payload, samples.DEVICE, samples.MLDSA)
    if signer == "root":
        return samples.signed_by_roots(kind, payload, samples.ROOT)
    return envelope.sign(kind, payload, samples.private_key(signer))


def trust() -> Any:
    """The bundle that `wire/requests` is judged by."""
    bundle = samples.bundle(requesters=(samples.requester(limits=samples.EntryLimits()),))
    return {
        "now_s": samples.NOW_S,
        "root": samples.ROOT_KEY.text,
        "envelope": samples.several(bundle, samples.ROOT).decode(),
    }


def digests() -> Any:
    """Pages of a cell's digest with their verdicts."""
    request, bulletin = "requests/harbour-police/63", "bulletins/h/15"
    page = cell_digest.write_page(2, [(request, b"{a\n"), (bulletin, b"\xff" * 12_288)])
    made = {
        "two messages": page,
        "empty": b"1\n",
        "9999 pages": b"9999\n",
        "largest": b"1\n" + cell_digest.item(request, b"." * (cell_digest.MAX_PAGE_BYTES - 35)),
        "too large": b"1\n" + cell_digest.item(request, b"." * (cell_digest.MAX_PAGE_BYTES - 34)),
        "no page": b"",
        "no number of pages": b"\n",
        "no page at all": b"0\n",
        "number with a zero in front": b"01\n",
        "10000 pages": b"10000\n",
        "cut": page[:-1],
        "one byte more": page + b".",
        "slot 64": b"1\nrequests/h/64 1\n.",
        "bulletin slot 16": b"1\nbulletins/h/16 1\n.",
        "slot with a zero in front": b"1\nrequests/h/01 1\n.",
        "another kind": b"1\ndigest/h/0 1\n.",
        "requester with a dot": b"1\nrequests/h.d/0 1\n.",
        "length 0": b"1\nrequests/h/0 0\n",
        "length with a sign": b"1\nrequests/h/0 +1\n.",
        "no length": b"1\nrequests/h/0\n.",
    }
    return [
        {"name": name, "page": base64.b64encode(data).decode(), **_read_digest(data)} for name, data in made.items()
    ]


def _read_digest(data: bytes) -> dict[str, Any]:
    try:
        read = cell_digest.read_page(data)
    except FormatError:
        return {"verdict": "malformed"}
    messages = [[path, hashlib.sha256(message).hexdigest()] for path, message in read.messages]
    return {"verdict": "accepted", "pages": read.pages, "messages": messages}


def indexes() -> Any:
    """Published packages with their chunks and index, and indexes with their verdicts."""
    package = b'{"bundle":"' + b"b" * 70 + b'","roots":["r"],"sections":["s"],"timestamp":"t","v":1}'
    without = b'{"bundle":"b","roots":["r"],"timestamp":"t","v":1}'
    good = trust_package.index_of(package)
    (first, *lines), sha256 = good.splitlines(keepends=True), samples.SHA.encode()
    made = {
        "three pieces": good,
        "one piece": first + lines[0],
        "twelve pieces": first + lines[0] * trust_package.TRUST_SLOTS,
        "thirteen pieces": first + lines[0] * (trust_package.TRUST_SLOTS + 1),
        "the largest piece": first + sha256 + b" 15360\n",
        "a piece too large": first + sha256 + b" 15361\n",
        "a piece of six digits": first + sha256 + b" 100000\n",
        "an empty piece": first + sha256 + b" 0\n",
        "a length with a zero in front": first + sha256 + b" 01\n",
        "a length with a sign": first + sha256 + b" +1\n",
        "two spaces": first + sha256 + b"  1\n",
        "no length": first + sha256 + b"\n",
        "no piece": first,
        "nothing": b"",
        "cut": good[:-1],
        "one line more": good + b"\n",
        "a hash with a capital": first.upper() + lines[0],
        "a short hash": first[1:] + lines[0],
        "carriage returns": good.replace(b"\n", b"\r\n"),
    }
    return {
        "published": [
            {
                "package": each.decode(),
                "chunks": [chunk.decode() for chunk in trust_package.split_package(each)],
                "index": trust_package.index_of(each).decode(),
            }
            for each in (package, without)
        ],
        "verdicts": {name: {"index": data.decode(), **_read_index(data)} for name, data in made.items()},
    }


def _read_index(data: bytes) -> dict[str, Any]:
    try:
        read = trust_package.read_index(data)
    except FormatError:
        return {"verdict": "malformed"}
    return {"verdict": "accepted", "pieces": [[each.sha256, each.size_bytes] for each in read.pieces]}


def directories() -> Any:
    """A broker directory with what it says of cells, and changed ones with their verdicts."""
    good = strictjson.encode(samples.directory())
    cells = ("287-379", "287-378", "286-379", "280-370", "279-370", "359-719", "0-0")
    return {
        "root": samples.ROOT_KEY.id,
        "directory": good.decode(),
        "sha256": broker_directory.directory_sha256(good),
        "cells": {cell: [str(each) for each in samples.directory().brokers_of(cell)] for cell in cells},
        "verdicts": {name: _read_directory(data) for name, data in _changed_directories(json.loads(good)).items()},
        "published": {name: _publication(*each) for name, each in _publications(good).items()},
    }


def _publications(good: bytes) -> dict[str, tuple[list[tuple[int, bytes]], str]]:
    """Messages under `brokers`, by slot, and what comes of them: the directory, or nothing."""

    def cut(data: bytes, parts: int) -> list[tuple[int, bytes]]:
        length, sha256 = -(-len(data) // parts), broker_directory.directory_sha256(data)
        head = f"{sha256} {parts}\n".encode()
        return [(slot, head + data[slot * length : (slot + 1) * length]) for slot in range(parts)]

    one, two, nine, other = cut(good, 1), cut(good, 2), cut(good, 9), cut(good + b" ", 2)
    return {
        "one chunk": (one, "whole"),
        "two chunks": (two, "whole"),
        "nine chunks, the last one first": (nine[::-1], "whole"),
        "two publications, mixed": ([two[0], other[0], two[1], other[1]], "whole"),
        "a chunk twice": ([two[0], two[0], two[1]], "whole"),
        "a chunk is missing": (nine[:8], "nothing"),
        "chunks of two publications": ([two[0], other[1]], "nothing"),
        "the wrong slots": ([(1, two[0][1]), (0, two[1][1])], "nothing"),
        "a slot beyond the number": ([(1, one[0][1])], "nothing"),
        "ten chunks": (cut(good, 10), "nothing"),
        "an empty chunk": ([two[0], (1, two[1][1].partition(b"\n")[0] + b"\n")], "nothing"),
        "no chunk": ([(0, good)], "nothing"),
        "an altered byte": ([(0, one[0][1][:-1] + b" ")], "nothing"),
        "a head with a capital": ([(0, one[0][1][:64].upper() + one[0][1][64:])], "nothing"),
    }


def _publication(messages: list[tuple[int, bytes]], verdict: str) -> dict[str, Any]:
    return {"messages": [[slot, data.decode()] for slot, data in messages], "verdict": verdict}


def _changed_directories(good: dict[str, Any]) -> dict[str, bytes]:
    def changed(**changes: Any) -> bytes:
        return json.dumps({**good, **changes}, sort_keys=True, separators=(",", ":")).encode()

    def with_broker(**changes: Any) -> bytes:
        return changed(brokers=[{**good["brokers"][0], **changes}])

    def with_cells(south_west: str, north_east: str) -> bytes:
        return with_broker(cells=[{"south_west": south_west, "north_east": north_east}])

    return {
        "one cell": with_cells("0-0", "0-0"),
        "all cells": with_cells("0-0", "359-719"),
        "an IPv4 address": with_broker(host="192.0.2.7"),
        "another root": changed(root="0" * 16),
        "no broker": changed(brokers=[]),
        "a broker twice": changed(brokers=[good["brokers"][0], good["brokers"][0]]),
        "a broker without cells": with_broker(cells=[]),
        "port 0": with_broker(port=0),
        "port 65536": with_broker(port=65_536),
        "a host with a capital": with_broker(host="Harbour.example"),
        "a host with a hyphen in front": with_broker(host="-harbour.example"),
        "a host with a slash": with_broker(host="harbour.example/x"),
        "an empty host": with_broker(host=""),
        "a row too far": with_cells("360-0", "360-0"),
        "a column too far": with_cells("0-720", "0-720"),
        "a cell with a zero in front": with_cells("01-0", "2-0"),
        "corners that are exchanged": with_cells("5-5", "4-6"),
        "another key": changed(more=1),
    }


def _read_directory(data: bytes) -> dict[str, str]:
    try:
        broker_directory.open_directory(data, samples.ROOT_KEY.id, broker_directory.directory_sha256(data))
    except FormatError:
        return {"directory": data.decode(), "verdict": "malformed"}
    return {"directory": data.decode(), "verdict": "accepted"}


def topic_table() -> Any:
    requester, device, disclosure = "harbour-police", samples.DEVICE_KEY.id, samples.receipt().disclosure
    verbs = (UploadVerb.INIT, ChunkVerb(65536, samples.SHA), UploadVerb.FIN, UploadVerb.ABORT)
    places = [(-90.0, -180.0), (90.0, 180.0), (0.0, 0.0), (-1e-7, -1e-7), (53.4999999, 9.9999999), (53.5, 10.0)]
    return {
        "request": str(RequestTopic("287-379", requester, 0)),
        "upload": [str(UploadTopic(requester, device, disclosure, number, verb)) for number, verb in enumerate(verbs)],
        "receipt": str(ReceiptTopic(device, disclosure)),
        "bulletin": str(BulletinTopic("287-379", requester, 0)),
        "trust": str(TrustTopic(samples.ROOT_KEY.id, 0)),
        "trust_index": str(TrustIndexTopic(samples.ROOT_KEY.id)),
        "digest": str(DigestTopic("287-379", 0)),
        "filter": topics.cell_filter("287-379"),
        "brokers": str(BrokersTopic(samples.ROOT_KEY.id, 0)),
        "trust_filter": topics.TRUST_FILTER,
        "requester_filters": [topics.trust_filter(samples.ROOT_KEY.id), topics.brokers_filter(samples.ROOT_KEY.id)],
        "slots": {
            "requests": topics.REQUEST_SLOTS,
            "bulletins": topics.BULLETIN_SLOTS,
            "trust": trust_package.TRUST_SLOTS,
            "brokers": trust_package.DIRECTORY_SLOTS,
        },
        "cells": [{"lat": lat, "lon": lon, "cell": topics.cell_of(lat, lon)} for lat, lon in places],
        "certificates": [{"common_name": name, "requester": _requester_of(name)} for name in CERTIFICATES],
    }


CERTIFICATES = (
    "harbour-police", "harbour-police.desk-2", "h.d", f"{'h' * 32}.{'d' * 31}", f"{'h' * 32}.{'d' * 32}", f"{'h' * 33}",
    "harbour-police.", ".desk-2", "harbour-police..desk", "harbour-police.desk.2", "harbour-police.desk-", "harbour.-d",
    "Harbour-Police", "harbour-police.Desk", "harbour-police.+", "harbour-police/desk", "0123456789abcdef",
    "0123456789abcdef.desk-2", "harbour-police.0123456789abcdef", "harbour-police.desk-2\n", "",
)  # fmt: skip


def _requester_of(common_name: str) -> str | None:
    try:
        return topics.requester_of(common_name)
    except FormatError:
        return None


def area_table() -> Any:
    areas: list[Area] = [
        samples.HARBOUR,
        samples.CIRCLE,
        samples.square(0.0, 0.0),
        samples.square(-45.0, 170.0, 400.0),
        Circle(lat=53.5, lon=10.0, radius_m=642),
        Circle(lat=53.5, lon=10.0, radius_m=60),
        Circle(lat=53.5, lon=10.0, radius_m=59),
        *samples.NARROW.values(),
    ]
    return [
        {
            "area": msgspec.to_builtins(area),
            "size_m2": round(area.size_m2, 2),
            "opened_m2": round(area.opened_m2, 2),
            "cells": topics.cells_of(area),
            "contains": [{"lat": lat, "lon": lon, "inside": area.contains(lat, lon)} for lat, lon in _places(area)],
        }
        for area in areas
    ]


def _places(area: Area) -> list[tuple[float, float]]:
    """In the middle, along the rims, at corners, and the last places that count: a rim to a ten-millionth."""
    bounds = area.bounds
    south, west, north, east = bounds.south, bounds.west, bounds.north, bounds.east
    middle = ((south + north) / 2, (west + east) / 2)
    found = [(middle[0], west + 1e-5), (south + 1e-5, west + 1e-5), (south - 1e-5, west), middle]
    found += [(south + part * (north - south), west + part * (east - west)) for part in (0.02, 0.1, 0.3, 0.6, 0.97)]
    found += [(south + part * (north - south), east - part * (east - west)) for part in (0.02, 0.1, 0.3, 0.6, 0.97)]
    found += [*_rim(area, middle)]
    return [(round(lat, 7), round(lon, 7)) for lat, lon in found]


def _rim(area: Area, middle: tuple[float, float]) -> Iterator[tuple[float, float]]:
    """From the middle to the north-east: the last place that counts, and the next one that does not."""
    if not area.contains(*middle):
        return
    lat, lon = (round(each * E7) for each in middle)
    near, far = 0, E7
    while far - near > 1:
        step = (near + far) // 2
        if area.contains((lat + step) / E7, (lon + step // 3) / E7):
            near = step
        else:
            far = step
    for step in (near, far):
        yield (lat + step) / E7, (lon + step // 3) / E7


def entries() -> Any:
    """One entry of each kind with what it must have, and one with all that it may."""
    moment = ClockReading(BootNs(61_000_000_000), UtcNs(samples.NOW_S * 10**9), ClockQuality.HELD)
    values: dict[str, Any] = {
        "request": samples.request().id, "requester": "harbour-police", "disclosure": samples.receipt().disclosure,
        "subject": samples.SHA, "segments": 12, "size_bytes": 5_000_000, "version": 3, "reason": "window too long",
    }  # fmt: skip
    made = [
        entry(kind, "5eed" * 8, moment, **{name: values[name] for name in names})
        for kind, (must, may) in FIELDS.items()
        for names in ([must, must | may] if may else [must])
    ]
    return [
        {"leaf": encode_entry(value).decode(), "leaf_hash": merkle.leaf_hash(encode_entry(value)).hex()}
        for value in made
    ]


def trees() -> Any:
    """Every proof of a log of seven one-byte leaves."""
    hashes = [merkle.leaf_hash(bytes([number])) for number in range(7)]
    return {
        "leaves": [f"{number:02x}" for number in range(7)],
        "roots": [merkle.root_of(hashes[:size]).hex() for size in range(8)],
        "inclusion": [[node.hex() for node in merkle.inclusion_proof(hashes, index)] for index in range(7)],
        "consistency": [[node.hex() for node in merkle.consistency_proof(hashes, size)] for size in range(8)],
    }


def checkpoints() -> Any:
    frontier = merkle.Frontier()
    notes = []
    for number in range(3):
        note = checkpoint.sign_checkpoint(frontier, samples.DEVICE, samples.MLDSA).decode()
        notes.append(samples.kept_note(note, samples.MLDSA_KEY))
        frontier = frontier.append(merkle.leaf_hash(bytes([number])))
    keys = samples.DEVICE_KEYS
    return {
        "verifier_key": checkpoint.verifier_key(keys.ed25519),
        "mldsa_verifier_key": checkpoint.mldsa_verifier_key(keys),
        "notes": notes,
    }


def times() -> Any:
    """A log of two beats over the trees of `trees`, confirmed by a witness, and the opening of the second one."""
    hashes = [merkle.leaf_hash(bytes([number])) for number in range(7)]
    ledgers = [
        checkpoint.Checkpoint(checkpoint.origin_of(samples.DEVICE_KEY), n, merkle.root_of(hashes[:n])) for n in (3, 7)
    ]
    beats = time_services.Beats(samples.DEVICE, samples.MLDSA)
    for each in ledgers:
        beats.add(each)
    witness = time_services.LocalWitness()
    proof = beats.proof(1, [witness])
    proof = msgspec.structs.replace(proof, checkpoint=samples.kept_note(proof.checkpoint, samples.MLDSA_KEY))
    opening = beats.opening(1, 5, proof, merkle.consistency_proof(hashes, 5))
    nonce = bytes(range(0xF0, 0xF8))
    return {
        "witness": witness.verifier_key,
        "time_s": witness.time_s,
        "leaves": [leaf.hex() for leaf in beats.leaves()],
        "opening": json.loads(strictjson.encode(opening)),
        "nonce": nonce.hex(),
        "stamp_request": time_log.stamp_request(proof.checkpoint.encode(), nonce).hex(),
        "add_checkpoint": cosignature.add_checkpoint_body(
            1, merkle.consistency_proof(beats.leaves(), 1), proof.checkpoint.encode()
        ).decode(),
    }


def write() -> None:
    for path, content in files().items():
        target = FOLDER / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content, encoding="utf-8")
    # The page's types come from the same messages.
    page_types.write()


if __name__ == "__main__":
    write()
