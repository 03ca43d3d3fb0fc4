"""An evidence folder with everything that one can hold, and a stranger who follows its own text.

    part   clip   what it is
    1      a      a film, redacted by its owner
    2      a      its sound, redacted
    3      a      a film after one that stayed with the owner
    4      e      a film with its still
    5      e      that still
    6, 7   i      two films

The recorder's code signed each film at capture (ONVIF Media Signing). Two owners approved it, by the second list of
owners, and a time-stamper confirmed the time. The folder has copies with Content Credentials if c2pa-python is there.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import pickle
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from agent.clients.requester import messages
from agent.clients.requester.disclosure_folder import AnswerFolder
from agent.clients.requester.identity import Requester, SentRequest
from agent.clients.requester.opened_disclosure import open_disclosure
from agent.clients.requester.time_files import write_time
from agent.clients.requester.verification import examine
from agent.core.ledger.checkpoint import Checkpoint, origin_of
from agent.core.ledger.entries import EntryKind, encode_entry, entry
from agent.core.ledger.merkle import Frontier, consistency_proof, leaf_hash, root_of
from agent.core.media import Gop
from agent.core.timebase import BootNs, ClockQuality, ClockReading, UtcNs
from agent.recorder.capture_signing import CaptureSigner
from agent.wire import strictjson
from agent.wire.disclosures import DisclosureManifest, Receipt, ReceiptState
from agent.wire.fields import Kind
from agent.wire.statements import ClipClaim
from tests.capture_films import CAPTURE, DEVICE, DEVICE_KEY, written
from tests.clients.requester.conftest import DESCRIPTION, NOW_S, ROOT_ID, question
from tests.clients.requester.full_answer import FACE, VOICE
from tests.clients.requester.house import Changes, Disclosure, House, Stored
from tests.clients.requester.test_two_owners import seconded, two_owners
from tests.clients.requester.test_verification import lay_down
from tests.once import made_once
from tests.sounds import track
from tests.time_services import Beats, TimeStamper
from tests.wire import samples

INTEROP = Path(__file__).parents[2] / "interop"
KEY, AUTHORITY = "KEY.identity", "AUTHORITY.pem"
OTHER = "other"
"""A folder beside the evidence: another true answer of the same doorbell to the same requester."""
LATER = "later"
"""A folder beside the evidence: a later beat of the same doorbell, which the same time-stamper stamped."""
_COMMAND = re.compile(r"^ {4}(\S.*)$", re.MULTILINE)
_NAME = re.compile(r"[\w./-]+")
_BY_NODE = """#!/bin/sh
# Stands for age 1.3, where Debian has an older one: the same arguments, by npm age-encryption.
[ "$1 $2 $4" = "-d -i -o" ] && here="$PWD" && cd {interop} && exec node open.mjs "$here/$3" "$here/$6" "$here/$5"
"""

_BY_PYTHON = """#!{python}
# Stands for c2patool: the same library, c2pa-rs, by its Python package. It prints the same report.
import sys
import c2pa
print(c2pa.Reader(sys.argv[1]).json())
"""


def make_evidence(folder: Path, gops: Sequence[Gop]) -> None:
    """Writes the folder as `doorward requester open` does, and the two files that a stranger gets from others."""
    requester = Requester.create(folder / "requester", "rijnstad-police", Kind.POLICE, ROOT_ID)
    asked = requester.sent_request(messages.make_request(requester, question(), now_s=NOW_S).id)
    stamper = TimeStamper()
    house = House((NOW_S - 6000) * 1000, epoch=2)
    house.device = DEVICE_KEY
    beats = Beats(house.device, house.mldsa)
    beats.add(Checkpoint(origin_of(beats.key), 0, Frontier().root))
    proof = beats.proof(0, (), {"tsa": stamper})

    def answered(manifest: DisclosureManifest) -> DisclosureManifest:
        return msgspec.structs.replace(seconded()(manifest), time=proof)

    house.changes = Changes(enrolment=two_owners, manifest=answered)
    signer = CaptureSigner(CAPTURE, DEVICE.id)

    def recorded(first: int, end: int, event: str, *, poster: bool = False, sound: bytes | None = None) -> list[Stored]:
        (signed,) = written(DESCRIPTION, gops[first:end], signer, in_segment=end - first)
        house.changes.media = lambda _unsigned: signed
        return house.record(DESCRIPTION, gops[first:end], event=event * 26, poster=poster, sound=sound)

    film, sound = recorded(0, 2, "a", sound=track(2.0))
    recorded(2, 3, "a")
    (third,) = recorded(3, 5, "a")
    fourth, still = recorded(5, 7, "e", poster=True)
    shared = [film, sound, third, fourth, still, *recorded(7, 9, "i"), *recorded(9, 11, "i")]
    told = ClipClaim(from_ms=film.record.record.span.start_ms, to_ms=third.record.record.span.end_ms, segments=3)
    redactions = {(film.kind, film.id): (FACE,), (sound.kind, sound.id): (VOICE,)}
    sent = house.disclose(asked, shared, told=(told,), redactions=redactions)
    answer = keep_receipt(requester, asked, sent)
    answer.add_time_opening(opening_of(beats, sent.id, requester, stamper))
    credentials = importlib.util.find_spec("c2pa") is not None
    opened = open_disclosure(requester, sent.id, now_s=NOW_S, out=folder / "opened", credentials=credentials)
    assert opened.verification.ok, opened.verification.failed
    again = Requester.open(Path(shutil.copytree(folder / "requester", folder / "requester-again")))
    another = again.sent_request(messages.make_request(again, question(), now_s=NOW_S).id)
    after = house.disclose(another, recorded(9, 11, "m"))
    keep_receipt(again, another, after)
    assert open_disclosure(again, after.id, now_s=NOW_S, out=folder / OTHER).verification.ok
    (opened.bundle / KEY).write_text(asked.reply_identity().secret_text())
    shutil.copy(stamper.authority, opened.bundle / AUTHORITY)
    later = beats.proof(beats.add(Checkpoint(origin_of(beats.key), 99, bytes(32))), (), {"tsa": stamper})
    write_time(folder / LATER, beats.keys, Checkpoint(origin_of(beats.key), 0, Frontier().root), later, ())
    stamper.close()


def keep_receipt(requester: Requester, asked: SentRequest, sent: Disclosure) -> AnswerFolder:
    """The answer as it arrived, and the requester's receipt of all of it."""
    answer = lay_down(requester, asked, sent)
    receipt = samples.receipt(
        disclosure=sent.id, request=asked.request.id, requester=requester.id, state=ReceiptState.COMPLETE,
        manifest=sent.sizes[0].sha256, incomplete=(), retention_days=90, time_s=NOW_S - 1,
    )  # fmt: skip
    answer.keep_receipt(requester.sign(Receipt.PAYLOAD_TYPE, receipt))
    return answer


def opening_of(beats: Beats, disclosure: str, requester: Requester, stamper: TimeStamper) -> bytes:
    """The owner's file: a stamped beat that holds the ledger of the answer and three more entries."""
    verified = examine(requester, disclosure).disclosed
    assert verified is not None
    proof = verified.manifest.ledger
    before = entry(EntryKind.BOOT, "1" * 32, ClockReading(BootNs(1), UtcNs(NOW_S * 10**9), ClockQuality.SYNCED))
    leaves = [leaf_hash(encode_entry(before))] * proof.index + [leaf_hash(proof.entry.encode())]
    grown = [*leaves, *(leaf_hash(bytes([number])) for number in range(3))]
    beat = beats.add(Checkpoint(origin_of(beats.key), len(grown), root_of(grown)))
    stamped = beats.proof(beat, (), {"tsa": stamper})
    return strictjson.encode(beats.opening(beat, len(leaves), stamped, consistency_proof(grown, len(leaves))))


@functools.cache
def has_openssl_with_mldsa() -> bool:
    """OpenSSL 3.5 and newer have ML-DSA."""
    openssl = shutil.which("openssl")
    if openssl is None:
        return False
    done = subprocess.run([openssl, "list", "-signature-algorithms"], capture_output=True, text=True, check=False)
    return "ML-DSA-44" in done.stdout


def commands_in(text: str) -> list[str]:
    """The commands of a text, as a stranger finds them: the lines that begin with four spaces."""
    return _COMMAND.findall(text)


@dataclass
class Stranger:
    """A person with a copy of the folder, stock tools and no program of ours. `bundle`: where VERIFY.txt is."""

    bundle: Path
    tools: Path
    age: str = ""
    """Name and version of the program that opens files."""
    said: Mapping[str, subprocess.CompletedProcess[bytes]] = field(default_factory=dict)
    """The answer of each command of VERIFY.txt, if they were followed."""

    @classmethod
    def with_copy(cls, evidence: Path, place: Path) -> Stranger:
        """`evidence`: made by `make_evidence`. `place`: a folder without anything in it."""
        shutil.copytree(evidence / "opened", place / "copy")
        tools = place / "tools"
        tools.mkdir()
        who = cls(place / "copy" / "bundle", tools)
        who._find_age()
        if shutil.which("c2patool") is None:
            (tools / "c2patool").write_text(_BY_PYTHON.format(python=sys.executable))
            (tools / "c2patool").chmod(0o755)
        return who

    def follow(self) -> None:
        """Runs each command of VERIFY.txt, which also leaves the opened files."""
        self.said = {command: self.run(command) for command in self.commands}

    @property
    def commands(self) -> list[str]:
        """Without those that need a newer OpenSSL or the C2PA reader, if this machine has none."""
        found = commands_in((self.bundle / "VERIFY.txt").read_text(encoding="utf-8"))
        if importlib.util.find_spec("c2pa") is None:
            found = [each for each in found if not each.startswith("c2patool")]
        return [each for each in found if "mldsa" not in each or has_openssl_with_mldsa()]

    def holds(self, command: str) -> bool:
        return self.run(command).returncode == 0

    def run(self, command: str) -> subprocess.CompletedProcess[bytes]:
        env = {"PATH": f"{self.tools}:{os.environ['PATH']}", "LC_ALL": "C"}
        return subprocess.run(["sh", "-c", command], cwd=self.bundle, capture_output=True, env=env, check=False)

    def names(self, command: str) -> list[str]:
        """The files that a command names, in its order."""
        found = dict.fromkeys(name for name in _NAME.findall(command) if (self.bundle / name).is_file())
        return list(found)

    def _find_age(self) -> None:
        age = shutil.which("age")
        said = subprocess.run([age, "--version"], capture_output=True, text=True).stdout if age else ""
        if tuple(map(int, re.findall(r"\d+", said)[:2])) >= (1, 3):
            self.age = f"age {said.strip()}"
            return
        if shutil.which("node") is None:
            pytest.skip("node is not installed: apt-get install nodejs npm")
        if not (INTEROP / "node_modules/age-encryption").is_dir():
            pytest.skip("npm age-encryption is not installed: run `npm ci` in tests/interop")
        self.age = "npm age-encryption in the place of age 1.3"
        (self.tools / "age").write_text(_BY_NODE.format(interop=INTEROP))
        (self.tools / "age").chmod(0o755)


def stranger_who_followed(factory: pytest.TempPathFactory, gops: list[Gop]) -> tuple[Stranger, Path]:
    """Returns a stranger with a separate copy, and the folder of `make_evidence`.

    One worker of a run follows the text for all, because its commands start a hundred processes.
    """

    def evidence(at: Path) -> None:
        at.mkdir()
        make_evidence(at, gops)

    def followed(at: Path) -> None:
        at.mkdir()
        first = Stranger.with_copy(made, at)
        first.follow()
        (at / "first").write_bytes(pickle.dumps((first.age, first.said)))

    made = made_once(factory, "evidence", evidence)
    once = made_once(factory, "followed", followed)
    place = factory.mktemp("stranger")
    shutil.copytree(once / "copy", place / "copy")
    age, said = pickle.loads((once / "first").read_bytes())
    return Stranger(place / "copy" / "bundle", once / "tools", age, said), made


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def sorted_files(folder: Path, but: Iterable[str] = ()) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in but)
