"""Changes of an evidence folder: single bits by chance, and manipulations by a person who holds the requester's keys.

`python -m tests.clients.requester.evidence_changes ONVIF` tries all of them with the commands of VERIFY.txt and with
ONVIF's implementation (ONVIF: a checkout, see tests/interop/onvif.py), keeps the counts in evidence_changes.json, and
writes the tables of docs/evidence.md.

After a manipulation the forger writes each list of hashes again and signs it, and can seal anything to the key of the
request. Only what the doorbell, the owners or a time-stamper signed stands against that.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
import random
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.clients.opening import open_bytes, parse_identity
from agent.clients.requester.keys import load_key
from agent.clients.requester.time_files import AFTER
from agent.core.media import VideoCodec
from agent.core.vault.age.recipients import parse_recipient
from agent.core.vault.age.sealing import seal_bytes
from agent.errors import FormatError
from agent.media.capture_signature import Verifies, verify_capture
from agent.media.fmp4 import film_units
from agent.recorder.capture.camera_scripted import ScriptedCamera, Visit
from agent.wire.capture_certificate import capture_verifier, root_certificate
from agent.wire.envelope import pae
from agent.wire.identities import PublicKey, public_key_of
from tests.cameras import gops_of, play
from tests.capture_films import DEVICE, ROOT, STRANGER, STRANGER_KEY, signed_film
from tests.clients.requester.credentials_readers import credentials_are_valid, read_with_c2pa_ts, versions
from tests.clients.requester.evidence_folder import AUTHORITY, KEY, LATER, OTHER, Stranger, flipped, make_evidence
from tests.interop.onvif_validator import OnvifValidator, build

HERE = Path(__file__).parent
RESULT = HERE / "evidence_changes.json"
PAGE = HERE.parents[2] / "docs" / "evidence.md"
FLIPS, MANIPULATIONS = 1000, 200
FORGER = Ed25519PrivateKey.from_private_bytes(b"f" * 32)
Files = dict[str, bytes | None]
"""Paths from the bundle, and what is there after a change. None: nothing."""

SUMS, SIGNED_SUMS, STATEMENTS, AGE, FILM, ONVIF, TIME, C2PA_RS, C2PA_TS = (
    "list of hashes", "its signature", "OpenSSL: statements", "age", "signature in the film", "ONVIF's program",
    "openssl ts", "c2pa-rs", "c2pa-ts",
)  # fmt: skip
VALIDATORS = (SUMS, SIGNED_SUMS, STATEMENTS, AGE, FILM, ONVIF, TIME, C2PA_RS, C2PA_TS)
GROUPS = (
    (r"by-hand/.*\.pem", "public keys"),
    (
        r"by-hand/(record|request|manifest|approval|co_approval|receipt|enrolment|checkpoint).*",
        "statements, signatures",
    ),
    (r"by-hand/ledger.*", "the ledger's proof"),
    (r".*\.dsse|records\.jsonl|ledger-.*", "statements for programs"),
    (r"parts/.*", "sealed files"),
    (r"\.\./(segments|sounds|pictures)/.*", "films, sounds, stills"),
    (r"\.\./(clips/.*|all\.mp4)", "joined films"),
    (r"\.\./c2pa/.*", "copies with credentials"),
    (r"redactions.*", "lists of covers"),
    (r"capture-.*", "certificates of films"),
    (r"time/.*", "stamps of time"),
    (r"SHA256SUMS.*|FILES\.sha256", "lists of hashes"),
    (r".*", "words of the program"),
)


def validator_of(command: str) -> str:
    """The column of a command of VERIFY.txt."""
    if command.startswith("sha256sum"):
        return SUMS
    if "SHA256SUMS" in command:
        return SIGNED_SUMS
    if command.startswith("openssl ts"):
        return TIME
    if command.startswith("c2patool"):
        return C2PA_RS
    return AGE if "opened-" in command else STATEMENTS


def group_of(name: str) -> str:
    return next(group for pattern, group in GROUPS if re.fullmatch(pattern, name))


@dataclass(frozen=True)
class Layout:
    """The films of a folder. `segments`: those as they were captured, by the number of the sealed file."""

    segments: Mapping[int, str]
    covered: tuple[int, str]
    signed: Sequence[str]
    """Films with a capture signature by `device` for each picture."""
    device: PublicKey
    joined: str = ""
    """One of `signed` that was joined."""

    def proves(self, units: Sequence[bytes]) -> bool:
        def trusted(chain: bytes) -> Verifies | None:
            try:
                return capture_verifier(self.device, chain)
            except FormatError:
                return None

        return verify_capture(units, VideoCodec.H264, trusted).is_whole


_SEGMENTS = {3: "../segments/segment-002.mp4", 4: "../segments/segment-003.mp4",
             6: "../segments/segment-004.mp4", 7: "../segments/segment-005.mp4"}  # fmt: skip
_JOINED = "../clips/clip-03.mp4"
MADE = Layout(
    _SEGMENTS,
    (1, "../segments/segment-001.mp4"),
    (*_SEGMENTS.values(), "../clips/clip-02.mp4", _JOINED),
    DEVICE,
    _JOINED,
)
"""The folder of `make_evidence`."""


class Laboratory:
    """A stranger's copy, changed and restored. `onvif`: without it, its column is empty, and that of c2pa-ts too."""

    def __init__(
        self, stranger: Stranger, evidence: Path, onvif: OnvifValidator | None = None, layout: Layout = MADE
    ) -> None:
        self.stranger = stranger
        self.layout = layout
        self.evidence = evidence
        self.onvif = onvif
        self.commands = stranger.commands
        self.requester_key = load_key(evidence / "requester" / "signing.key")
        if not stranger.said:
            stranger.follow()
        assert [command for command in self.commands if stranger.said[command].returncode] == []
        top = stranger.bundle.parent
        found = {self._name(path): path.read_bytes() for path in sorted(top.rglob("*")) if path.is_file()}
        self.whole = {name: data for name, data in found.items() if not name.startswith("opened-")}
        self._named = {command: set(stranger.names(command)) for command in self.commands}

    def noticed_by(self, changes: Mapping[str, bytes | None]) -> frozenset[str]:
        """The validators that notice these changes. The copy is whole again at the end."""
        for name, data in changes.items():
            path = self.stranger.bundle / name
            path.unlink(missing_ok=True)
            if data is not None:
                path.write_bytes(data)
        try:
            return frozenset({*self._commands(changes), *self._films(changes), *self._copies(changes)})
        finally:
            for name in changes:
                (self.stranger.bundle / name).unlink(missing_ok=True)
                if name in self.whole:
                    (self.stranger.bundle / name).write_bytes(self.whole[name])

    def forged(self, changes: Mapping[str, bytes | None]) -> Files:
        """The same changes, with each list of hashes written and signed again by a person who holds the key."""
        after: dict[str, bytes | None] = {**self.whole, **changes}
        beside = {name for name in self.whole if name.startswith("../")} | {n for n in changes if n.startswith("../")}
        files = _sums(after, beside)
        after["FILES.sha256"] = files
        own = {n for n in after if not n.startswith(("../", "SHA256SUMS")) and n not in (KEY, AUTHORITY)}
        sums = _sums(after, own)
        lists = {"FILES.sha256": files, "SHA256SUMS": sums, "SHA256SUMS.signature": self.requester_key.sign(sums)}
        return {**changes, **lists}

    def _commands(self, changes: Mapping[str, bytes | None]) -> Iterator[str]:
        stale = set(changes)
        for command in self.commands:
            if not (command.startswith("sha256sum") or self._named[command] & stale):
                continue
            if command.startswith("age "):
                stale.add(command.split()[5])  # what comes of it is compared again
            if not self.stranger.holds(command):
                yield validator_of(command)
        for command in self.commands:  # opened files as they were, for the next change
            if command.startswith("age ") and command.split()[5] in stale and command.split()[6] in changes:
                opened = command.split()[5]
                data = self.whole[command.split()[6]]
                (self.stranger.bundle / opened).write_bytes(self.opened(data))

    def opened(self, sealed: bytes | None) -> bytes:
        assert sealed is not None
        key = (self.whole[KEY] or b"").decode().strip()
        return open_bytes(sealed, [parse_identity(key)])

    def resealed(self, plaintext: bytes) -> bytes:
        """A file sealed to the key of the request, which is public."""
        request = self.whole["by-hand/request.signed"] or b""
        reply = json.loads(request[request.index(b"{") :])["reply"]
        return seal_bytes(plaintext, [parse_recipient(reply)], file_key=b"k" * 16, nonce=b"n" * 16)

    def _films(self, changes: Mapping[str, bytes | None]) -> Iterator[str]:
        for name, data in changes.items():
            if name not in self.layout.signed or data is None:
                continue
            try:
                units = film_units_of(data)
            except (FormatError, av.FFmpegError, ValueError):
                yield FILM
                yield ONVIF
                continue
            if not self.layout.proves(units):
                yield FILM
            if self.onvif is not None and not self.onvif.validate(units, VideoCodec.H264, ROOT).is_ok:
                yield ONVIF

    def _copies(self, changes: Mapping[str, bytes | None]) -> Iterator[str]:
        for name, data in changes.items():
            if not name.startswith(COPIES) or data is None:
                continue
            path = self.stranger.bundle / name
            if not credentials_are_valid(path):
                yield C2PA_RS
            if self.onvif is not None and not read_with_c2pa_ts([path])[0]["valid"]:
                yield C2PA_TS

    def _name(self, path: Path) -> str:
        bundle = self.stranger.bundle
        return str(path.relative_to(bundle)) if bundle in path.parents else f"../{path.relative_to(bundle.parent)}"


COPIES = "../c2pa/"
_CREDENTIALS = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
"""The type of the box of an MP4 that holds its credentials (C2PA 2.2, A.5)."""


def film_units_of(film: bytes) -> list[bytes]:
    """The NAL units of a film of our writer, or of a joined MP4. Raises for damaged ones."""
    if b"moof" in film:
        return list(film_units(film))
    found = []
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        file.write(film)
        file.flush()
        with av.open(file.name) as container:
            for packet in container.demux(container.streams.video[0]):
                data, at = bytes(packet), 0
                while at < len(data):
                    size = int.from_bytes(data[at : at + 4])
                    found.append(data[at + 4 : at + 4 + size])
                    at += 4 + size
    return found


def _sums(files: Mapping[str, bytes | None], names: set[str]) -> bytes:
    there = [(name, files[name]) for name in sorted(names)]
    return b"".join(b"%s  %s\n" % (sha256(data).encode(), name.encode()) for name, data in there if data is not None)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# -- single bits -------------------------------------------------------------------------------------------------------


def bit_changes(whole: Mapping[str, bytes | None], count: int, seed: int) -> Iterator[tuple[str, Files]]:
    """That many single bits: each in a file drawn by chance, so that small files have their share."""
    chance = random.Random(seed)
    names = sorted(name for name in whole if name not in (KEY, AUTHORITY))
    for _ in range(count):
        name = chance.choice(names)
        data = whole[name] or b""
        yield group_of(name), {name: flipped(data, chance.randrange(8 * len(data)))}


# -- manipulations -----------------------------------------------------------------------------------------------------


class Forger:
    """Each method is a manipulation. `chance` draws its place."""

    def __init__(self, laboratory: Laboratory, chance: random.Random) -> None:
        self.lab, self.chance, self.whole = laboratory, chance, laboratory.whole
        self.segments, self.covered = laboratory.layout.segments, laboratory.layout.covered
        self.records = sum(bool(re.fullmatch(r"by-hand/record-\d+\.signed", name)) for name in self.whole)

    def of(self, name: str) -> bytes:
        data = self.whole[name]
        assert data is not None
        return data

    def some(self, pattern: str, but: Sequence[str] = ()) -> str:
        return self.chance.choice([name for name in self.whole if re.fullmatch(pattern, name) and name not in but])

    def two(self, pattern: str) -> tuple[str, str]:
        one, other = self.chance.sample([name for name in self.whole if re.fullmatch(pattern, name)], 2)
        return one, other

    def edited(self, name: str, pattern: bytes, number: int = 0) -> Files:
        """A number behind `pattern` in a statement changed, also in the file for programs."""
        signed = self.of(f"by-hand/{name}.signed")
        found = re.search(pattern + rb"(\d+)", signed)
        assert found is not None
        other = str(int(found[1]) + (number or self.chance.randrange(1, 9_000_000))).encode()
        start = signed.index(b"{")
        payload = (signed[: found.start(1)] + other + signed[found.end(1) :])[start:]
        kind = signed.split(b" ")[2].decode()
        changed: Files = {f"by-hand/{name}.signed": pae(kind, payload)}
        for file in (f"{name.replace('_', '-')}.dsse", "records.jsonl"):
            if file in self.whole and base64.b64encode(signed[start:]) in self.of(file):
                old, new = base64.b64encode(signed[start:]), base64.b64encode(payload)
                changed[file] = self.of(file).replace(old, new)
        return changed

    def signed_again(self, name: str, key: Ed25519PrivateKey, pattern: bytes) -> Files:
        """The same, signed by the forger."""
        changed = self.edited(name, pattern)
        signature = key.sign(changed[f"by-hand/{name}.signed"] or b"")
        old = base64.b64encode(self.of(f"by-hand/{name}.signature"))
        file = f"{name.replace('_', '-')}.dsse"
        changed[f"by-hand/{name}.signature"] = signature
        if file in self.whole:
            changed[file] = (changed.get(file) or self.of(file)).replace(old, base64.b64encode(signature))
        return changed

    # dropped

    def a_sealed_file_dropped(self) -> Files:
        return {self.some(r"parts/\d+\.age"): None}

    def a_film_or_still_dropped(self) -> Files:
        return {self.some(r"\.\./(segments/.*|sounds/.*|pictures/clip-02.*)"): None}

    def a_record_dropped(self) -> Files:
        number = self.chance.randrange(1, self.records + 1)
        lines = self.of("records.jsonl").splitlines(keepends=True)
        del lines[number - 1]
        name = f"by-hand/record-{number:03}"
        return {"records.jsonl": b"".join(lines), f"{name}.signed": None, f"{name}.signature": None}

    def a_list_of_owners_dropped(self) -> Files:
        name = f"enrolment-{self.chance.randrange(1, 3):03}"
        return {f"by-hand/{name}.{end}": None for end in ("signed", "signature", "pem")} | {f"{name}.dsse": None}

    def the_second_owner_dropped(self) -> Files:
        names = ("co_approval.signed", "co_approval.signature", "second-owner.pem")
        return {"co-approval.dsse": None} | {f"by-hand/{name}": None for name in names}

    # reordered

    def two_sealed_files_exchanged(self) -> Files:
        one, other = self.two(r"parts/[1-9]\.age")
        return {one: self.of(other), other: self.of(one)}

    def a_film_and_its_still_exchanged(self) -> Files:
        """Both are in the same record."""
        return {"parts/4.age": self.of("parts/5.age"), "parts/5.age": self.of("parts/4.age")}

    def two_films_exchanged(self) -> Files:
        one, other = self.two(r"\.\./segments/.*")
        return {one: self.of(other), other: self.of(one)}

    def two_records_exchanged(self) -> Files:
        one, other = self.chance.sample(range(1, self.records + 1), 2)
        changed: Files = {}
        for end in ("signed", "signature"):
            names = [f"by-hand/record-{number:03}.{end}" for number in (one, other)]
            changed |= {names[0]: self.of(names[1]), names[1]: self.of(names[0])}
        return changed

    def the_owners_lists_exchanged(self) -> Files:
        changed: Files = {}
        for end in ("by-hand/enrolment-00{}.signed", "by-hand/enrolment-00{}.signature", "enrolment-00{}.dsse"):
            one, other = end.format(1), end.format(2)
            changed |= {one: self.of(other), other: self.of(one)}
        return changed

    def two_pictures_of_a_film_exchanged(self) -> Files:
        return self.film_with(lambda parts: parts.insert(1, parts.pop(2)))

    # spliced

    def a_film_of_another_doorbell(self) -> Files:
        name = self.chance.choice([*self.segments.values()])
        return {name: self.chance.choice(signed_film(capture=STRANGER).segments)}

    def a_sealed_film_of_another_doorbell(self) -> Files:
        film = self.chance.choice(signed_film(capture=STRANGER).segments)
        number, name = self.chance.choice([*self.segments.items()])
        return self.sealed_film(number, name, film)

    def half_of_another_film(self) -> Files:
        name, other = self.chance.sample([*self.segments.values()], 2)
        one, two = fragments(self.of(name)), fragments(self.of(other))
        return {name: b"".join((*one[:2], *two[2:]))}

    def a_sealed_film_with_the_end_of_another(self) -> Files:
        one, other = self.chance.sample([*self.segments], 2)
        head = self.of(f"parts/{one}.age")
        return {f"parts/{one}.age": head[: len(head) // 2] + self.of(f"parts/{other}.age")[len(head) // 2 :]}

    # of another true answer, where each signature is right

    def of_another_answer(self, *patterns: str) -> Files:
        bundle = self.lab.evidence / OTHER / "bundle"
        found = [path for pattern in patterns for path in bundle.glob(pattern)]
        return {str(path.relative_to(bundle)): path.read_bytes() for path in found}

    def a_statement_of_another_answer(self) -> Files:
        name = self.chance.choice(("request", "approval", "co_approval", "manifest", "receipt"))
        return self.of_another_answer(f"by-hand/{name}.*", f"{name.replace('_', '-')}.dsse")

    def a_record_of_another_answer(self) -> Files:
        return self.of_another_answer("by-hand/record-001.*", "records.jsonl")

    def the_ledger_of_another_answer(self) -> Files:
        return self.of_another_answer("by-hand/ledger-*", "by-hand/checkpoint.*", "ledger-*")

    def a_sealed_file_of_another_answer(self) -> Files:
        return self.of_another_answer(self.chance.choice(("parts/0.age", "parts/1.age")))

    # encoded again

    def a_film_encoded_again(self) -> Files:
        name = self.some(r"\.\./segments/.*")
        return {name: encoded_again(self.of(name), self.chance.randrange(20, 40))}

    def a_film_encoded_and_sealed_again(self) -> Files:
        number, name = self.chance.choice([*self.segments.items()])
        return self.sealed_film(number, name, encoded_again(self.of(name), self.chance.randrange(20, 40)))

    def the_covered_film_encoded_and_sealed_again(self) -> Files:
        number, name = self.covered
        return self.sealed_film(number, name, encoded_again(self.of(name), self.chance.randrange(20, 40)))

    # given another time

    def a_record_of_another_time(self) -> Files:
        return self.edited(f"record-{self.chance.randrange(1, self.records + 1):03}", rb'"utc_ms":')

    def a_record_of_another_time_signed_by_the_forger(self) -> Files:
        return self.signed_again(f"record-{self.chance.randrange(1, self.records + 1):03}", FORGER, rb'"utc_ms":')

    def a_yes_of_another_time(self) -> Files:
        return self.edited("approval", rb'"owner_time_ms":')

    def a_yes_signed_by_the_forger(self) -> Files:
        changed = self.signed_again("approval", FORGER, rb'"owner_time_ms":')
        return {**changed, "by-hand/owner.pem": pem(FORGER)}

    def another_window_of_the_request_signed_by_the_requester(self) -> Files:
        return self.signed_again("request", self.lab.requester_key, self.chance.choice((rb'"from":', rb'"to":')))

    def an_entry_of_the_ledger_of_another_time(self) -> Files:
        entry = self.of("by-hand/ledger-entry")
        found = re.search(rb'"utc_ms":(\d+)', entry)
        assert found is not None
        later = str(int(found[1]) + self.chance.randrange(1, 10**7)).encode()
        return {"by-hand/ledger-entry": entry.replace(found[1], later)}

    def a_stamp_of_another_time(self) -> Files:
        data = self.of("time/after/tsa.tsr")
        at = data.index(b"20", data.index(b"\x18\x0f")) + self.chance.randrange(2, 14)
        digit = bytes([data[at] ^ 1])
        return {"time/after/tsa.tsr": data[:at] + digit + data[at + 1 :]}

    def a_stamp_of_a_later_head(self) -> Files:
        """Both are true, and the answer would seem to be younger than it is."""
        later = self.lab.evidence / LATER / AFTER
        return {f"{AFTER}/{path.name}": path.read_bytes() for path in later.iterdir()}

    def a_ledger_of_another_size_below_a_stamp(self) -> Files:
        ledger = self.of("time/before/ledger")
        _, size, _ = ledger.split(b"\n", 2)
        other = b"%d" % (int(size) + self.chance.randrange(1, 9))
        return {"time/before/ledger": ledger.replace(b"\n%b\n" % size, b"\n%b\n" % other, 1)}

    def a_film_with_other_times(self) -> Files:
        name = self.some(r"\.\./segments/.*")
        data = bytearray(self.of(name))
        at = data.index(b"tfdt") + 11
        data[at] ^= self.chance.randrange(1, 255)
        return {name: bytes(data)}

    # sound

    def another_sound(self) -> Files:
        sound = self.of("../sounds/segment-001-sound.mp4")
        place = self.chance.randrange(len(sound) // 2, len(sound) - 64)
        return {"../sounds/segment-001-sound.mp4": sound[:place] + bytes(64) + sound[place + 64 :]}

    def another_sound_sealed_again(self) -> Files:
        ((name, sound),) = self.another_sound().items()
        return self.sealed_film(2, name, sound or b"")

    # the list of covers

    def a_wrong_list_of_covers(self) -> Files:
        name = self.some(r"redactions-\d+\.json")
        if self.chance.random() < 0.5:
            return {name: b"[]"}
        until = str(self.chance.randrange(201, 1800)).encode()
        return {name: re.sub(rb'"until_ms":\d+', b'"until_ms":' + until, self.of(name)).replace(b"face", b"area")}

    def a_part_of_the_list_of_covers(self) -> Files:
        name = self.some(r"redactions-\d+\.json")
        whole = self.of(name)
        return {name: self.chance.choice((whole[1:-1], whole[: len(whole) // 2], b""))}

    def another_list_of_covers_below_an_empty_line(self) -> Files:
        """A search for the lines of this file finds the empty one in each film."""
        name = self.some(r"redactions-\d+\.json")
        return {name: self.of(name).replace(b"face", b"area").replace(b"voice", b"area") + b"\n\n"}

    def a_wrong_list_of_covers_sealed_again(self) -> Files:
        number = self.covered[0]
        opened = self.lab.opened(self.whole[f"parts/{number}.age"])
        later = re.sub(rb'"until_ms":\d{4}', b'"until_ms":%d' % self.chance.randrange(1000, 1800), opened)
        listed = re.search(rb'"redactions":(\[.*\]),"s', later[-2000:])
        assert listed is not None
        return {f"parts/{number}.age": self.lab.resealed(later), f"redactions-{number:03}.json": listed[1]}

    # certificates

    def a_second_certificate_beside_the_true_one(self) -> Files:
        """A program that trusts each certificate of the file would trust the forger's films."""
        root = root_certificate(public_key_of(STRANGER_KEY), STRANGER.certificate())
        key = self.chance.choice((STRANGER.certificate(), STRANGER.certificate() + self.of("capture-key.pem")))
        return {"capture-root.pem": self.of("capture-root.pem") + root, "capture-key.pem": key}

    # copies with credentials

    def a_copy_without_its_credentials(self) -> Files:
        name = self.some(r"\.\./(segments|sounds|clips)/.*|\.\./all\.mp4")
        return {COPIES + Path(name).name: self.of(name)}

    def the_credentials_of_two_copies_exchanged(self) -> Files:
        one, other = self.two(r"\.\./c2pa/(segment|clip).*\.mp4")
        boxes = {name: credentials_in(self.of(name)) for name in (one, other)}
        return {here: self.of(here).replace(boxes[here], boxes[there]) for here, there in ((one, other), (other, one))}

    def another_list_of_covers_in_the_credentials(self) -> Files:
        name = COPIES + self.chance.choice((Path(self.covered[1]).name, "clip-01.mp4", "all.mp4"))
        return {name: self.of(name).replace(b"face", b"area")}

    def a_record_of_another_time_in_the_credentials(self) -> Files:
        name = self.some(r"\.\./c2pa/.*")
        lines = map(json.loads, self.of("records.jsonl").splitlines())
        payload = self.chance.choice([line["payload"] for line in lines if line["payload"].encode() in self.of(name)])
        record = base64.b64decode(payload)
        found = re.search(rb'"utc_ms":\d+', record)
        assert found is not None
        place = found.end() - self.chance.randrange(1, 8)
        other = record[:place] + bytes([record[place] ^ 1]) + record[place + 1 :]
        return {name: self.of(name).replace(payload.encode(), base64.b64encode(other))}

    def another_picture_in_a_copy(self) -> Files:
        name = self.some(r"\.\./c2pa/(segment-00\d|clip.*|all)\.mp4")
        copy = self.of(name)
        place = copy.rindex(b"mdat") + self.chance.randrange(8, 600)
        return {name: copy[:place] + bytes([copy[place] ^ self.chance.randrange(1, 256)]) + copy[place + 1 :]}

    def another_still_in_a_copy(self) -> Files:
        name = self.some(r"\.\./c2pa/.*\.jpg")
        copy = self.of(name)
        place = len(copy) - self.chance.randrange(40, 1000)
        return {name: copy[:place] + bytes([copy[place] ^ self.chance.randrange(1, 256)]) + copy[place + 1 :]}

    # helpers

    def sealed_film(self, number: int, name: str, film: bytes) -> Files:
        """A film in place of another one, in the folder and in the sealed file, with the context of that one."""
        opened = self.lab.opened(self.whole[f"parts/{number}.age"])
        context = opened[len(self.of(name)) :]
        return {name: film, f"parts/{number}.age": self.lab.resealed(film + context)}

    def film_with(self, change: Callable[[list[bytes]], None]) -> Files:
        name = self.chance.choice([*self.segments.values()])
        parts = fragments(self.of(name))
        change(parts)
        return {name: b"".join(parts)}

    def a_gop_dropped_from_a_film(self) -> Files:
        return self.film_with(lambda parts: parts.pop(1))

    def a_gop_twice_in_a_film(self) -> Files:
        return self.film_with(lambda parts: parts.insert(1, parts[2]))

    def a_joined_film_in_the_wrong_order(self) -> Files:
        joined = self.lab.layout.joined
        film = self.of(joined)
        at = [found.start() for found in re.finditer(re.escape(b"\x00\x5b\xc9\x3f\x2d\x71"), film)]
        one = other = 0
        while film[one : one + 40] == film[other : other + 40]:  # the authority's certificate is the same in each
            one, other = sorted(self.chance.sample(at, 2))
        return {joined: film[:one] + film[other : other + 40] + film[one + 40 :]}


KINDS: tuple[Callable[[Forger], Files], ...] = tuple(
    value
    for name, value in vars(Forger).items()
    if callable(value) and name.startswith(("a_", "an_", "two_", "the_", "half_", "another_"))
)

OF_COPIES = {name for name in vars(Forger) if "copy" in name or "credentials" in name}
"""Kinds that need copies with credentials."""


def manipulations(laboratory: Laboratory, count: int, seed: int) -> Iterator[tuple[str, Files]]:
    """That many, each kind in turn."""
    chance = random.Random(seed)
    has_copies = any(name.startswith(COPIES) for name in laboratory.whole)
    kinds = [kind for kind in KINDS if has_copies or kind.__name__ not in OF_COPIES]
    for number in range(count):
        kind = kinds[number % len(kinds)]
        changes = kind(Forger(laboratory, chance))
        assert any(laboratory.whole.get(name) != data for name, data in changes.items()), f"{kind.__name__} is none"
        yield kind.__name__.replace("_", " "), laboratory.forged(changes)


def credentials_in(film: bytes) -> bytes:
    """The box with the credentials of an MP4."""
    at = film.index(b"uuid" + _CREDENTIALS) - 4
    return film[at : at + int.from_bytes(film[at : at + 4])]


def fragments(film: bytes) -> list[bytes]:
    """The header of a film, each fragment (moof and mdat), and nothing else."""
    starts = [found.start() - 4 for found in re.finditer(b"moof", film)]
    return [film[: starts[0]], *(film[one:other] for one, other in zip(starts, [*starts[1:], len(film)], strict=True))]


def encoded_again(film: bytes, crf: int) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.mp4", Path(folder) / "out.mp4"
        source.write_bytes(film)
        with av.open(str(source)) as old, av.open(str(target), "w") as new:
            stream = new.add_stream("libx264", rate=10, options={"crf": str(crf), "preset": "ultrafast"})
            stream.width, stream.height = old.streams.video[0].width, old.streams.video[0].height
            for frame in old.decode(video=0):
                new.mux(stream.encode(av.VideoFrame.from_ndarray(frame.to_ndarray(format="yuv420p"), format="yuv420p")))
            new.mux(stream.encode())
        return target.read_bytes()


def pem(key: Ed25519PrivateKey) -> bytes:
    der = bytes.fromhex("302a300506032b6570032100") + key.public_key().public_bytes_raw()
    return b"-----BEGIN PUBLIC KEY-----\n" + base64.b64encode(der) + b"\n-----END PUBLIC KEY-----\n"


# -- the whole ---------------------------------------------------------------------------------------------------------


def tried(changes: Iterator[tuple[str, Files]], laboratory: Laboratory) -> dict[str, dict[str, int]]:
    """For each kind of change: how many, how many were noticed, and by which validator."""
    counts: dict[str, Counter[str]] = {}
    for kind, files in changes:
        found = laboratory.noticed_by(files)
        counts.setdefault(kind, Counter()).update(["tried", *(["noticed"] if found else []), *found])
    return {kind: dict(counted) for kind, counted in counts.items()}


def main(arguments: Sequence[str]) -> int:
    (source,) = map(Path, arguments)
    commit = subprocess.run(["git", "-C", source, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        camera = ScriptedCamera([Visit(0.5), Visit(7.0)], duration_s=12, size_px=(320, 180))
        make_evidence(folder / "evidence", gops_of(play(camera)[1]))
        (folder / "stranger").mkdir()
        stranger = Stranger.with_copy(folder / "evidence", folder / "stranger")
        onvif = OnvifValidator(build(source, folder / "validator.so"))
        laboratory = Laboratory(stranger, folder / "evidence", onvif)
        result: dict[str, Any] = {
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "openssl": subprocess.run(
                ["openssl", "version"], capture_output=True, text=True, check=True
            ).stdout.strip(),
            "age": stranger.age,
            "onvif": f"{onvif.version}, commit {commit.stdout.strip()[:12]}",
            "c2pa": versions(),
            "bits": tried(bit_changes(laboratory.whole, FLIPS, 1), laboratory),
            "manipulations": tried(manipulations(laboratory, MANIPULATIONS, 1), laboratory),
        }
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    head, _, rest = PAGE.read_text(encoding="utf-8").partition("<!-- tables -->\n")
    PAGE.write_text(f"{head}<!-- tables -->\n{tables(result)}<!-- end -->{rest.partition('<!-- end -->')[2]}")
    return 0


def tables(result: Mapping[str, Any]) -> str:
    """Both tables, as they stand in docs/evidence.md."""
    openssl, age, onvif = (result[name] for name in ("openssl", "age", "onvif"))
    openssl = " ".join(openssl.split()[:2])
    said = (
        f"Tried on {result['date']} with {openssl}, {age}, ONVIF's media-signing-framework {onvif}, {result['c2pa']}."
    )
    return "\n".join(
        [said, "", *_table("One bit of", result["bits"]), "", *_table("Manipulation", result["manipulations"]), ""]
    )


def _table(first: str, counts: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    columns = ("tried", "noticed", *VALIDATORS)
    yield f"| {first} | {' | '.join(columns)} |"
    yield "|---|" + "---:|" * len(columns)
    rows = {**counts, "**all**": {each: sum(row.get(each, 0) for row in counts.values()) for each in columns}}
    for name, row in rows.items():
        yield f"| {name} | {' | '.join(str(row.get(each, 0) or '') for each in columns)} |"


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
