"""The demo, run as a newcomer runs it: what it leaves is whole, and other people's programs open its footage."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from rich.console import Console

from tests.desk.conftest import agency, data, grown, migrated  # isort: skip  # first: it sets Django up
from agent.clients.media.join import probe
from agent.media.poster import poster_of_media
from demo.evidence import steal
from demo.results import forget
from demo.telling import Teller
from desk.cases.models import Answer
from desk.people.organisations import folder_of, requester_of
from desk.people.roles import Role
from desk.receiving.answer_rows import AnswerRecorder
from desk.receiving.reconcile import reconcile
from tests.damage import with_another_end
from tests.desk.agencies import Agency
from tests.desk.export.stock_tools import open_with_age, verify_export
from tests.lengths import LONG
from tests.scenarios.street import ROOT
from tests.second_reader.age import split
from tests.second_reader.disclosure import read_disclosure
from tests.second_reader.json_once import RefusedError
from tests.second_reader.vault import begin_of, read_manifest

__all__ = ["agency", "data", "grown", "migrated"]

pytestmark = [pytest.mark.broker, pytest.mark.footage]

INTEROP = ROOT / "tests" / "interop"
WITNESSED = """
import sys, demo.story
from demo.__main__ import main
from tests.scenarios.witness import WitnessedStage
demo.story.Stage = WitnessedStage
sys.exit(main())
"""
"""The demo with a witness: when it ends, every byte that left the device is held against its ledger."""


def play(out: Path, *arguments: str) -> tuple[int, str]:
    """Exit status and what the terminal showed."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    done = subprocess.run(
        [sys.executable, "-c", WITNESSED, "--out", str(out), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        cwd=ROOT,
    )
    assert "Traceback" not in done.stdout + done.stderr
    return done.returncode, done.stdout


def summary_of(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "summary.json").read_text())
    return found


def decoded_frames(path: Path) -> int:
    with av.open(str(path), mode="r") as container:
        return sum(1 for _ in container.decode(video=0))


@LONG
def test_a_video_that_is_not_there_costs_no_results(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    kept = [tmp_path / name for name in ("summary.json", "report.html", "out/mine.txt")]
    for path in kept:
        path.write_text("the last run's")
    status, said = play(tmp_path, "--video", str(tmp_path / "nope.mp4"))
    assert status == 1
    assert "nope.mp4 cannot be opened" in said
    assert all(path.exists() for path in kept)


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory, footage: Path) -> Path:
    """The first twenty seconds of the pedestrians, as a person's own file."""
    path = tmp_path_factory.mktemp("footage") / "mine.mp4"
    with av.open(str(footage), mode="r") as source, av.open(str(path), mode="w") as target:
        stream = target.add_stream("libx264", rate=10, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 768, 576, "yuv420p"
        for number, picture in enumerate(source.decode(video=0)):
            if number == 200:
                break
            target.mux(stream.encode(picture.reformat(format="yuv420p")))
        target.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def hybrid(tmp_path_factory: pytest.TempPathFactory, short: Path) -> Path:
    out = tmp_path_factory.mktemp("hybrid")
    status, told = play(out, "--video", str(short))
    assert status == 0, told
    return out


def test_the_demo_tells_its_story_and_leaves_everything_it_names(hybrid: Path) -> None:
    summary = summary_of(hybrid)
    assert summary["ok"] is True
    assert summary["failed"] == []
    outcomes = [request["outcome"].split()[0] for request in summary["requests"]]
    assert outcomes == ["sent", "no", "untrusted:", "blocked:"]
    assert summary["requests"][0]["bytes_sent"] == sum(message["bytes"] for message in summary["published"]) > 0
    assert [request["bytes_sent"] for request in summary["requests"][1:]] == [0, 0, 0]
    accounted = (hybrid / "out" / "broker" / "accounted").read_text()
    heard = re.search(r"messages=(\d+), disclosures=1, whole_bytes=[1-9]\d*, unfinished_bytes=0", accounted)
    assert heard, accounted
    # The last message, which clears the question and is empty, may leave after the story has looked.
    assert int(heard[1]) - len(summary["published"]) in (0, 1)
    assert 0 < len(summary["approved"]) < len(summary["matched"])
    assert summary["thief"]["segments"] == len(summary["segments"]) > 0
    assert summary["thief"]["posters"] == len(summary["posters"]) > 0
    for path in [*summary["segments"], *summary["posters"], *summary["opened"], summary["report"], summary["picture"]]:
        assert Path(path).stat().st_size > 0
    assert (Path(summary["evidence"]) / "bundle" / "SHA256SUMS").is_file()
    assert sum(decoded_frames(Path(path)) for path in summary["opened"]) == decoded_frames(Path(summary["film"])) > 0


def test_what_the_report_names_lies_beside_it_where_the_demo_says_it_is(hybrid: Path) -> None:
    report = hybrid / "report.html"
    named = set(
        re.findall(r"<code>((?:bundle|segments)/(?:bundle\.json)?|[a-z]+\.(?:html|mp4))</code>", report.read_text())
    )
    assert named == {"bundle/", "bundle/bundle.json", "segments/", "certificate.html", "all.mp4"}
    assert [name for name in named if not (hybrid / name).exists()] == []
    forget(hybrid_copy := shutil.copytree(hybrid, hybrid.with_name("again"), symlinks=True))
    assert sorted(path.name for path in hybrid_copy.iterdir()) == ["out"]


def noise_as(codec: str, form: str) -> bytes:
    """A few pictures of noise."""
    drawn, pictures = np.random.default_rng(7), io.BytesIO()
    with av.open(pictures, mode="w", format=form) as target:
        stream = target.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 352, 288, "yuv420p"
        for _ in range(3):
            picture = av.VideoFrame.from_ndarray(drawn.integers(0, 255, (288, 352, 3), np.uint8), format="rgb24")
            target.mux(stream.encode(picture.reformat(format="yuv420p")))
        target.mux(stream.encode(None))
    return pictures.getvalue()


def test_the_thief_knows_every_picture_a_doorbell_writes_and_takes_no_noise_for_one(tmp_path: Path) -> None:
    film = noise_as("libx264", "mp4")
    # FFmpeg finds H.263 in noise, so in ciphertext now and then, and draws it.
    found = {"film": film, "stream": noise_as("libx264", "h264"), "still": poster_of_media(film)}
    for name, content in {**found, "noise": noise_as("h263", "h263")}.items():
        (tmp_path / f"{name}.age").write_bytes(content)
    (tmp_path / "device.key").write_text(base64.b64encode(bytes(range(48))).decode())
    loot = steal(tmp_path)
    assert set(loot.opened) == {f"{name}.age" for name in found}
    assert not loot.nothing


def test_a_bar_that_nobody_watches_leaves_no_empty_line() -> None:
    written = io.StringIO()
    with Teller(Console(file=written)).progress("Playing", 3) as bar:
        bar.advance(bar.task_ids[0])
    assert written.getvalue() == ""


@LONG
def test_npm_age_encryption_opens_a_segment_the_demo_wrote(hybrid: Path, tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None or not (INTEROP / "node_modules/age-encryption").is_dir():
        pytest.skip("npm age-encryption is not installed: run `npm ci` in tests/interop")
    summary = summary_of(hybrid)
    for identity in (summary["owner_identity"], summary["recovery_identity"]):
        opened = tmp_path / f"{Path(identity).name}.mp4"
        done = subprocess.run(
            [node, "open.mjs", _identity_file(Path(identity), tmp_path), summary["segments"][0], opened],
            cwd=INTEROP,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert decoded_frames(opened) == probe(opened).frames > 0


def test_a_second_reader_verifies_and_opens_what_was_disclosed(hybrid: Path) -> None:
    """Written from the documents, without a line of ours."""
    summary = summary_of(hybrid)
    folder = hybrid / "out" / "rijnstad-police" / "disclosures" / summary["disclosure"]
    request = json.loads((folder / "request.dsse").read_text())
    reply = hybrid / "out" / "rijnstad-police" / "requests" / summary["requests"][0]["id"] / "reply.identity"
    parts = [path.read_bytes() for path in sorted(folder.glob("*.age"), key=lambda path: int(path.stem))]
    identity, asked = reply.read_text().split()[-1], base64.b64decode(request["payload"])
    opened = read_disclosure(parts, identity, asked)
    assert [name for kind, name, _ in opened if kind == "segment"] == summary["approved"]
    with pytest.raises(RefusedError):
        read_disclosure([*parts[:-1], with_another_end(parts[-1])], identity, asked)
    ours = [probe(Path(path)).frames for path in summary["opened"]]
    for (_, _, media), frames in zip(opened, ours, strict=True):
        with av.open(io.BytesIO(media), mode="r") as container:
            assert sum(1 for _ in container.decode(video=0)) == frames > 0

    device = base64.urlsafe_b64decode(summary["device"]["key"].removeprefix("ed25519:") + "=")
    records = list(read_manifest({0: (hybrid / "out" / "device" / "vault" / "manifest.0").read_bytes()}, device))
    assert [each["id"] for each in records if each["kind"] == "segment"] == summary["matched"]
    for path in summary["segments"]:
        assert begin_of(split(Path(path).read_bytes())[1])["segment"] == Path(path).stem


@pytest.mark.interop
@LONG
def test_a_desk_exports_the_answer_of_a_real_doorbell_and_the_tools_of_others_verify_it(
    hybrid: Path, agency: Agency, tmp_path: Path
) -> None:
    """The demo's requester becomes an organisation of a desk. No hand touches the answer on its way into the ZIP."""
    organisation = agency.organisation
    folder = folder_of(organisation)
    shutil.rmtree(folder)
    shutil.copytree(hybrid / "out" / "rijnstad-police", folder, ignore=shutil.ignore_patterns("*.lock"))
    requester = requester_of(organisation)
    reconcile(organisation, requester, AnswerRecorder(organisation, requester))
    case = Answer.objects.get().case
    form = {"language": "en", "with_keys": "on"}
    sent = agency.client(Role.EVIDENCE_OFFICER).post(f"/cases/{case.pk}/export", form)
    with zipfile.ZipFile(io.BytesIO(b"".join(sent))) as archive:
        archive.extractall(tmp_path / "export")
    (top,) = (tmp_path / "export").iterdir()
    assert verify_export(top) == [summary_of(hybrid)["disclosure"]]
    open_with_age(top, tmp_path / "opened")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The demo without any footage, of an owner who chose x25519, and what it told."""
    out = tmp_path_factory.mktemp("drawn")
    program = "import demo.__main__ as d; d._VTEST, d._DRAWN_S = (), 8.0; raise SystemExit(d.main())"
    command = [sys.executable, "-c", program, "--out", str(out), "--owner", "x25519"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return out, done.stdout


@LONG
def test_stock_age_opens_a_segment_of_an_owner_who_chose_x25519(drawn: tuple[Path, str], tmp_path: Path) -> None:
    age = shutil.which("age")
    if age is None:
        pytest.skip("stock age is not installed: apt-get install age")
    summary = summary_of(drawn[0])
    opened = tmp_path / "opened.mp4"
    subprocess.run([age, "-d", "-i", summary["owner_identity"], "-o", opened, summary["segments"][0]], check=True)
    assert decoded_frames(opened) == probe(opened).frames > 0


def test_a_demo_on_something_that_is_no_video_says_so_and_what_to_do(tmp_path: Path) -> None:
    text = tmp_path / "holiday.mp4"
    text.write_text("this is no video")
    status, told = play(tmp_path / "demo", "--video", str(text))
    assert status == 1
    assert "is not a video" in told
    assert "make demo VIDEO=" in told


@LONG
def test_a_video_of_a_second_that_is_cut_short_in_a_folder_with_a_quote_plays_the_whole_story(
    footage: Path, tmp_path: Path
) -> None:
    cut = tmp_path / 'my "odd" film.avi'
    cut.write_bytes(footage.read_bytes()[:300_000])
    out = tmp_path / 'the "demo"'
    status, told = play(out, "--video", str(cut))
    assert status == 0, told
    assert "The video ended early" in told
    assert summary_of(out)["ok"] is True
    by_hand = next(line.strip() for line in told.splitlines() if "owner open" in line)
    command = [sys.executable, "-m", "agent.cli", *shlex.split(by_hand)[1:]]
    opened = subprocess.run(command, cwd=ROOT, text=True, capture_output=True)
    assert opened.returncode == 0, opened.stderr
    assert " s, 1 segment\n" in opened.stdout


@LONG
def test_without_any_footage_the_demo_plays_on_a_scene_it_draws(drawn: tuple[Path, str]) -> None:
    out, told = drawn
    assert "a porch, drawn by the project" in told
    assert summary_of(out)["ok"] is True


@LONG
def test_a_single_picture_is_too_little_and_the_demo_says_so_and_leaves_no_results_of_another(
    footage: Path, tmp_path: Path
) -> None:
    picture = tmp_path / "picture.avi"
    with av.open(str(footage), mode="r") as source, av.open(str(picture), mode="w") as target:
        stream = target.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 768, 576, "yuv420p"
        target.mux(stream.encode(next(source.decode(video=0)).reformat(format="yuv420p")))
        target.mux(stream.encode(None))
    out = tmp_path / "demo"
    out.mkdir()
    results = [out / name for name in ("summary.json", "report.html", "shared.mp4", "contact-sheet.png")]
    for result in results:
        result.write_text("of yesterday")
    status, told = play(out, "--video", str(picture))
    assert status == 1
    assert "stored nothing of this footage" in told
    assert "at least one second" in told
    assert [result for result in results if result.exists()] == []


def _identity_file(path: Path, folder: Path) -> Path:
    """The key alone: a recovery kit is a page for people with the key as its last line."""
    key = next(line for line in reversed(path.read_text().split()) if line.startswith("AGE-SECRET-KEY-"))
    plain = folder / f"{path.stem}.key"
    plain.write_text(f"{key}\n")
    return plain
