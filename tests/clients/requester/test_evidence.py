"""A bundle of evidence holds the request, each statement and each file, and names them in one document."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from agent.clients.requester.disclosure_folder import AnswerFolder
from agent.clients.requester.evidence import BUNDLE_FILE, write_bundle
from agent.clients.requester.identity import Requester, SentRequest
from agent.wire.disclosures import PartKind
from tests.clients.requester.conftest import NOW_S
from tests.clients.requester.house import House
from tests.clients.requester.test_verification import verified


def test_a_bundle_has_the_request_as_it_was_signed_and_a_sum_of_every_file(
    requester: Requester, asked: SentRequest, house: House, tmp_path: Path
) -> None:
    answer = house.disclose(asked)
    verification = verified(requester, asked, answer)
    AnswerFolder(requester.folder, answer.id).adopt(asked.envelope)
    folder = write_bundle(tmp_path / "bundle", requester, verification, NOW_S)
    assert (folder / "request.dsse").read_bytes() == asked.envelope
    sums = dict(reversed(line.split("  ")) for line in (folder / "SHA256SUMS").read_text().splitlines())
    there = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    assert set(sums) == set(there) - {"SHA256SUMS"}
    assert all(hashlib.sha256(there[name].read_bytes()).hexdigest() == said for name, said in sums.items())


def test_the_document_names_each_clip_with_its_poster_and_its_films(
    requester: Requester, asked: SentRequest, house: House, tmp_path: Path
) -> None:
    verification = verified(requester, asked, house.disclose(asked))
    folder = write_bundle(tmp_path / "bundle", requester, verification, NOW_S)
    clips = json.loads((folder / BUNDLE_FILE).read_text())["clips"]
    posters = [each.id for each in house.stored if each.kind is PartKind.POSTER]
    assert [clip["poster"]["id"] for clip in clips] == posters
    assert [clip["mp4"] for clip in clips] == ["clips/clip-01.mp4", "clips/clip-02.mp4"]
    assert [segment["mp4"] for clip in clips for segment in clip["segments"]] == [
        f"segments/segment-{number:03}.mp4" for number in (1, 2, 3)
    ]
