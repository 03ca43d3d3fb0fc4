"""Copies of films, sounds and stills with Content Credentials are valid in two readers, and the originals stay."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import os
import shutil
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest
from msgspec.structs import replace

from agent import __version__
from agent.clients.media import confined_worker, credentials_writer
from agent.clients.media.confined import ConfinedMedia
from agent.clients.requester import content_credentials, opened_disclosure
from agent.clients.requester.clips import clips_of
from agent.clients.requester.content_credentials import CredentialedClip, write_credentials
from agent.clients.requester.identity import Requester, SentRequest
from agent.clients.requester.verification import examine
from agent.core.media import Gop
from agent.core.vault.records import SegmentRecord
from agent.errors import ConfigurationError, FormatError, StorageError
from agent.wire.statements import ClipClaim
from tests.clients.requester.conftest import DESCRIPTION, NOW_S
from tests.clients.requester.credentials_readers import read_with_c2pa_rs, read_with_c2pa_ts
from tests.clients.requester.evidence_changes import credentials_in
from tests.clients.requester.evidence_folder import make_evidence
from tests.clients.requester.house import Changes, House, Stored
from tests.clients.requester.test_verification import verified
from tests.once import made_once

FOLDERS = ("segments", "sounds", "clips", "pictures")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, gops: list[Gop]) -> Path:
    """The opened answer, with credentials, in its requester's folder."""
    pytest.importorskip("c2pa", reason="not installed: c2pa-python")

    def make(at: Path) -> None:
        at.mkdir()
        make_evidence(at, gops)

    evidence = made_once(tmp_path_factory, "evidence", make)
    copy = tmp_path_factory.mktemp("credentials") / "requester"
    shutil.copytree(evidence / "requester", copy)
    (answer,) = Requester.open(copy).answers.beginning_with("")
    return Path(shutil.copytree(evidence / "opened", copy / "opened" / answer.disclosure))


def active(film: Path) -> dict[str, Any]:
    store = read_with_c2pa_rs(film)
    found: dict[str, Any] = store["manifests"][store["active_manifest"]]
    return found


def actions(film: Path) -> list[str]:
    said = next(each["data"] for each in active(film)["assertions"] if each["label"].startswith("c2pa.actions"))
    return [each["action"] for each in said["actions"]]


def test_each_film_sound_and_still_has_a_copy_that_is_valid_in_c2pa_rs_by_a_signer_whom_no_list_knows(
    folder: Path,
) -> None:
    films = sorted((folder / "c2pa").iterdir())
    opened = [path.name for name in FOLDERS for path in (folder / name).iterdir()]
    assert [film.name for film in films] == sorted(["all.mp4", *opened])
    for film in films:
        store = read_with_c2pa_rs(film)
        assert store["state"] == "Valid", film.name  # "Trusted" would need a trust list
        faults = {each["code"] for each in store.get("validation_status", [])}
        assert faults == {"signingCredential.untrusted"}, film.name


def test_capture_cover_join_and_trim_are_told_as_actions_and_ingredients(folder: Path) -> None:
    films = folder / "c2pa"
    assert actions(films / "segment-002.mp4") == ["c2pa.created"]
    assert actions(films / "segment-001.mp4") == ["c2pa.created", "c2pa.edited"]
    assert actions(films / "segment-001-sound.mp4") == ["c2pa.created", "c2pa.edited"]
    assert actions(films / "clip-01.mp4") == ["c2pa.created", *["c2pa.placed"] * 3, "c2pa.trimmed"]
    assert actions(films / "clip-03.mp4") == ["c2pa.created", "c2pa.placed", "c2pa.placed"]
    parts = active(films / "clip-01.mp4")["ingredients"]
    assert [(each["title"], each["relationship"]) for each in parts] == [
        ("segment-001.mp4", "componentOf"),
        ("segment-002.mp4", "componentOf"),
        ("segment-001-sound.mp4", "componentOf"),
    ]
    assert all(each["active_manifest"] in read_with_c2pa_rs(films / "clip-01.mp4")["manifests"] for each in parts)


def test_the_film_of_all_clips_names_each_film_and_sound_and_says_that_something_is_missing(folder: Path) -> None:
    films = folder / "c2pa"
    parts = [each["title"] for each in active(films / "all.mp4")["ingredients"]]
    assert sorted(parts) == sorted(path.name for name in FOLDERS[:2] for path in (folder / name).iterdir())
    assert actions(films / "all.mp4") == ["c2pa.created", *["c2pa.placed"] * len(parts), "c2pa.trimmed"]


def test_a_still_is_captured_or_the_first_picture_of_a_film(folder: Path) -> None:
    films = folder / "c2pa"
    assert actions(films / "clip-02.jpg") == ["c2pa.created"]
    still = proof_of(films / "clip-02.jpg")["files"]
    assert [each["sha256_opened"] for each in still] == [sha256(folder / "pictures/clip-02.jpg")]
    assert actions(films / "clip-01.jpg") == ["c2pa.opened", "c2pa.converted"]
    (film,) = active(films / "clip-01.jpg")["ingredients"]
    assert (film["title"], film["relationship"]) == ("segment-001.mp4", "parentOf")


def test_a_copy_names_the_program_and_its_version_that_made_it(folder: Path) -> None:
    (maker, *_) = active(folder / "c2pa/clip-01.jpg")["claim_generator_info"]
    assert (maker["name"], maker["version"]) == ("Doorward", __version__)


def test_no_copy_holds_a_second_picture(folder: Path) -> None:
    """If an editor later covers a place in a copy, a thumbnail would still show it."""
    for copy in (folder / "c2pa").iterdir():
        for manifest in read_with_c2pa_rs(copy)["manifests"].values():
            assert "thumbnail" not in manifest, copy.name
            assert not any("thumbnail" in each for each in manifest.get("ingredients", [])), copy.name


def proof_of(copy: Path) -> dict[str, Any]:
    found: dict[str, Any] = next(
        each["data"] for each in active(copy)["assertions"] if each["label"] == "org.doorward.disclosure"
    )
    return found


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_assertion_leads_to_the_records_and_films_of_the_answer(folder: Path) -> None:
    proof = proof_of(folder / "c2pa/clip-03.mp4")
    lines = (folder / "bundle/records.jsonl").read_text().splitlines()
    for told, name in zip(proof["files"], ("segment-004.mp4", "segment-005.mp4"), strict=True):
        assert told["record"] in lines
        assert told["sha256_opened"] == sha256(folder / "segments" / name)
    assert proof["answer_sha256"] == sha256(folder / "bundle/manifest.dsse")


def test_the_originals_are_as_without_credentials_and_the_evidence_lists_the_copies(folder: Path) -> None:
    listed = (folder / "bundle/FILES.sha256").read_text()
    document = json.loads((folder / "bundle/bundle.json").read_text())
    for clip in document["clips"]:
        for segment in clip["segments"]:
            data = (folder / segment["mp4"]).read_bytes()
            assert hashlib.sha256(data).hexdigest() == segment["sha256_opened"]
            assert f"  ../c2pa/{Path(segment['mp4']).name}\n" in listed


CASES = {
    "whole": ([0, 1, 2], [], None, False),
    "told and whole": ([0, 1, 2], [], 3, False),
    "only the first two, and nothing told": ([0, 1], [], None, False),  # no signature can tell what came later
    "only the first two of three that were told": ([0, 1], [], 3, True),
    "only the first of three that were told": ([0], [], 3, True),
    "the first was left out": ([1, 2], [], None, True),
    "the middle was left out": ([0, 2], [], None, True),
    "the first does not open": ([0, 1, 2], [0], None, True),
    "the middle does not open": ([0, 1, 2], [1], None, True),
    "the last does not open": ([0, 1, 2], [2], None, True),
    "the last of those told does not open": ([0, 1, 2], [2], 3, True),
    "another clip does not open": ([0, 1, 2], [3], None, False),
}


@pytest.mark.parametrize("case", CASES)
def test_a_joined_film_says_trimmed_if_a_segment_is_known_that_it_does_not_show(
    case: str,
    requester: Requester,
    asked: SentRequest,
    gops: list[Gop],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Another clip follows, which the owner named with a segment that stays hidden."""
    monkeypatch.setattr(content_credentials, "has_c2pa", lambda: True)
    shared, spoilt, told, is_trimmed = CASES[case]
    films = iter(range(4))
    changes = Changes(media=lambda film: b"\0\0\0\x08free" if next(films) in spoilt else film)
    house = House((NOW_S - 6000) * 1000, changes=changes)
    ours = [house.record(DESCRIPTION, gops[n : n + 1], event="a" * 26, poster=False)[0] for n in range(3)]
    (other,) = house.record(DESCRIPTION, gops[4:5], event="e" * 26, poster=False)
    first, last = claim_of(ours[0]), claim_of(ours[2])
    claims = [replace(claim_of(other), segments=2)]
    if told is not None:
        claims.append(ClipClaim(from_ms=first.from_ms, to_ms=last.to_ms, segments=told))
    sent = house.disclose(asked, [*(ours[number] for number in shared), other], told=tuple(claims))
    verification = verified(requester, asked, sent)
    assert verification.ok, verification.failed
    clip = clips_of(verification)[0]
    media = _NoMedia()
    shown = CredentialedClip(clip, [Path(f"{each.number}.mp4") for each in clip.segments], Path("clip.mp4"))
    write_credentials(
        tmp_path / "c2pa", requester, verification, [shown], cast("ConfinedMedia", media), Path("all.mp4")
    )
    placed = ["c2pa.created", *["c2pa.placed"] * len(clip.segments)]
    assert media.actions["clip.mp4"] == [*placed, *["c2pa.trimmed"] * is_trimmed]
    assert media.actions["all.mp4"] == [*placed, *["c2pa.trimmed"] * (is_trimmed or bool(spoilt))]


def claim_of(stored: Stored) -> ClipClaim:
    record = stored.record.record
    assert isinstance(record, SegmentRecord)
    return ClipClaim(from_ms=record.span.start_ms, to_ms=record.span.end_ms, segments=1)


class _NoMedia:
    """Notes the actions of each copy."""

    def __init__(self) -> None:
        self.actions: dict[str, list[str]] = {}

    def sign_copy(self, path: Path, _copy: Path, manifest: dict[str, Any], *_more: object) -> None:
        said = next(each["data"] for each in manifest["assertions"] if each["label"].startswith("c2pa.actions"))
        self.actions[path.name] = [each["action"] for each in said["actions"]]


class _Asked(BaseHTTPRequestHandler):
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_error(404)

    def log_message(self, *_arguments: object) -> None:
        """Keeps the tests' output free of it."""


def film_that_names(film: bytes, address: str) -> bytes:
    """A film that a hostile doorbell could send: its XMP names an address for its credentials."""
    described = f'<rdf:Description xmlns:dcterms="http://purl.org/dc/terms/" dcterms:provenance="{address}"/>'
    rdf = f'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">{described}</rdf:RDF>'
    content = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
    content += f'<x:xmpmeta xmlns:x="adobe:ns:meta/">{rdf}</x:xmpmeta>'.encode()
    size = int.from_bytes(film[:4])
    return film[:size] + (len(content) + 8).to_bytes(4) + b"uuid" + content + film[size:]


def test_a_film_that_names_an_address_makes_no_request(folder: Path, tmp_path: Path) -> None:
    import c2pa

    its = Requester.open(folder.parents[1])
    verification = examine(its, folder.name)
    (clip,) = [each for each in clips_of(verification) if len(each.segments) == 1]
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Asked)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        film = tmp_path / "segment-003.mp4"
        address = f"http://127.0.0.1:{server.server_address[1]}/m.c2pa"
        film.write_bytes(film_that_names((folder / "segments" / film.name).read_bytes(), address))
        joined = shutil.copy(film, tmp_path / "clip-02.mp4")
        with ConfinedMedia() as media:
            write_credentials(tmp_path / "c2pa", its, verification, [CredentialedClip(clip, [film], joined)], media)
            # c2pa-rs asks for a part that has an address and no credentials. Each of our parts has some.
            part = {"path": str(film), "format": "video/mp4", "relationship": "componentOf", "label": "part-1"}
            manifest = content_credentials._manifest(
                "x", "video/mp4", content_credentials._joined(verification, clip, 1), {}
            )
            media.sign_copy(film, tmp_path / "x.mp4", manifest, [part], content_credentials._credential(its))
        assert _Asked.asked == []
        with film.open("rb") as file, pytest.raises(c2pa.C2paError):
            c2pa.Reader("video/mp4", file)  # as the package is without our settings
        assert _Asked.asked == ["/m.c2pa"]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_film_that_takes_no_credentials_is_named_and_left_out_with_what_was_made_of_it(
    folder: Path, tmp_path: Path
) -> None:
    """A hostile doorbell records a film with the credentials of two strangers in it."""
    its = Requester.open(folder.parents[1])
    verification = examine(its, folder.name)
    clips = clips_of(verification)
    strange = tmp_path / "segment-003.mp4"
    strange.write_bytes(film_with_credentials_twice(folder / "c2pa" / strange.name))
    shown = [
        CredentialedClip(clips[1], [strange], folder / "clips/clip-02.mp4", picture=folder / "pictures/clip-02.jpg"),
        CredentialedClip(
            clips[2], sorted((folder / "segments").iterdir())[3:], folder / "clips/clip-03.mp4",
            picture=folder / "pictures/clip-03.jpg",
        ),
    ]  # fmt: skip
    with ConfinedMedia() as media:
        copies = write_credentials(tmp_path / "c2pa", its, verification, shown, media, folder / "all.mp4")
    assert sorted(path.name for path in copies) == [
        "clip-02.jpg", "clip-03.jpg", "clip-03.mp4", "segment-004.mp4", "segment-005.mp4",
    ]  # fmt: skip
    assert {path.name for path in (tmp_path / "c2pa").iterdir()} == {"LEFT-OUT.txt", *(path.name for path in copies)}
    lines = (tmp_path / "c2pa/LEFT-OUT.txt").read_text().splitlines()
    assert [line.partition(": ")[0] for line in lines] == ["segment-003.mp4", "clip-02.mp4", "all.mp4"]
    assert "more than one manifest" in lines[0]
    assert all(read_with_c2pa_rs(path)["state"] == "Valid" for path in copies)


def test_the_reason_of_a_file_without_a_copy_is_one_line_of_text(tmp_path: Path) -> None:
    """A taken decoder could name other files as left out, or end the export with half of a character."""
    writer = content_credentials._Writer(tmp_path, cast("Any", None), ("", ""), cast("Any", None))
    writer.left_out["segment-001.mp4"] = "no\nall.mp4: no \ud800\x1b[2J"
    writer.name_the_left_out()
    assert (tmp_path / "LEFT-OUT.txt").read_bytes() == b"segment-001.mp4: no all.mp4: no [2J\n"


def film_with_credentials_twice(copy: Path) -> bytes:
    film = copy.read_bytes()
    begin = int.from_bytes(film[:4])
    return film[:begin] + credentials_in(film) + film[begin:]


def work(source: Path, copy: Path, its: Requester) -> dict[str, Any]:
    chain, key = content_credentials._credential(its)
    manifest = content_credentials._manifest("x", "video/mp4", [content_credentials._composed()], {})
    return {"source": str(source), "out": str(copy), "manifest": manifest, "parts": [], "chain": chain, "key": key}


def test_a_full_disk_is_no_fault_of_a_film(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """c2pa-rs says of it "UntrackedPointer". The film would be left out as one that takes no credentials."""
    import c2pa

    monkeypatch.setenv("TMPDIR", str(tmp_path))  # set back after the test: the worker sets it for its process
    its = Requester.open(folder.parents[1])
    film = folder / "segments/segment-003.mp4"

    class Full(io.FileIO):
        """Has room again when the file is closed."""

        was_full = False

        def write(self, data: Any) -> int:
            if not Full.was_full:
                Full.was_full = True
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().write(data)

    with monkeypatch.context() as patch:
        patch.setattr(io, "FileIO", Full)
        with pytest.raises(StorageError, match="No space left"):
            confined_worker._sign_copy(work(film, tmp_path / "copy.mp4", its), b"")

    def full(*_: object) -> None:
        raise c2pa.C2paError.Io("Io: No space left on device (os error 28)")

    monkeypatch.setattr(c2pa.Builder, "sign", full)  # on the disk of a large film, while c2pa-rs works
    with pytest.raises(StorageError, match="No space left"):
        confined_worker._sign_copy(work(film, tmp_path / "copy.mp4", its), b"")

    def strange(*_: object) -> None:
        raise c2pa.C2paError.NotSupported("NotSupported: this kind of film")

    monkeypatch.setattr(c2pa.Builder, "sign", strange)
    with pytest.raises(FormatError, match="takes no Content Credentials: NotSupported"):
        confined_worker._sign_copy(work(film, tmp_path / "copy.mp4", its), b"")


def test_a_library_that_does_not_load_is_no_fault_of_a_film(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_job: dict[str, Any], _matter: bytes) -> dict[str, Any]:
        raise ImportError("libc2pa_c.so: cannot open shared object file")

    monkeypatch.setitem(confined_worker._JOBS, "sign_copy", missing)
    told = confined_worker._done({"job": "sign_copy"}, b"")
    assert told == {"library": "libc2pa_c.so: cannot open shared object file"}
    with ConfinedMedia() as media:
        monkeypatch.setattr(media, "_answer", lambda *_: told)
        with pytest.raises(StorageError, match=r"A library does not load: libc2pa_c\.so") as fault:
            media.sign_copy(tmp_path, tmp_path / "copy.mp4", {}, [], ("", ""))
    assert fault.value.remedy == "Install the packages of this program again."


def test_a_large_film_leaves_its_folder_at_no_time(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """c2pa-rs keeps a file of over 512 MB in the folder for temporary files, open, while it works."""
    its = Requester.open(folder.parents[1])
    settings = {**credentials_writer._SETTINGS, "core": {"backing_store_memory_threshold_in_mb": 0}}
    monkeypatch.setattr(credentials_writer, "_SETTINGS", settings)
    film = folder / "segments/segment-003.mp4"
    for tried in (credentials_writer_alone, confined_worker._sign_copy):
        monkeypatch.setenv("TMPDIR", str(tmp_path / "not there"))
        with contextlib.nullcontext() if tried is confined_worker._sign_copy else pytest.raises(FormatError):
            tried(work(film, tmp_path / "copy.mp4", its), b"")
    assert [path.name for path in tmp_path.iterdir()] == ["copy.mp4"]


def credentials_writer_alone(job: dict[str, Any], _matter: bytes) -> None:
    credentials_writer.sign_copy(Path(job["source"]), Path(job["out"]), job["manifest"], [], (job["chain"], job["key"]))


@pytest.mark.interop
def test_the_copies_are_valid_in_c2pa_ts_and_a_changed_one_is_not_in_either(folder: Path, tmp_path: Path) -> None:
    changed = tmp_path / "changed.mp4"
    data = bytearray((folder / "c2pa/clip-03.mp4").read_bytes())
    data[data.rindex(b"mdat") + 400] ^= 1
    changed.write_bytes(data)
    films = [*sorted((folder / "c2pa").iterdir()), changed]
    said = read_with_c2pa_ts(films)
    assert [each["valid"] for each in said] == [*[True] * (len(films) - 1), False], said
    assert "assertion.bmffHash.mismatch" in said[-1]["codes"]
    assert read_with_c2pa_rs(changed)["state"] == "Invalid"


def test_without_the_package_nothing_is_opened_and_the_remedy_is_named(
    requester: Requester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "c2pa", None)
    with pytest.raises(ConfigurationError, match="c2pa-python"):
        opened_disclosure.open_disclosure(requester, "0" * 32, now_s=NOW_S, credentials=True)
