"""Each change of an evidence folder is noticed by at least one validator, also if a forger has the requester's keys."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent.clients.media.confined import ConfinedMedia
from agent.clients.requester import content_credentials
from agent.clients.requester.clips import clips_of
from agent.clients.requester.content_credentials import CredentialedClip, write_credentials
from agent.clients.requester.identity import Requester
from agent.clients.requester.verification import examine
from agent.core.media import Gop
from agent.wire.identities import public_key_of
from tests.clients.requester.evidence_changes import (
    C2PA_RS,
    FLIPS,
    FORGER,
    KINDS,
    MANIPULATIONS,
    PAGE,
    RESULT,
    STATEMENTS,
    Files,
    Forger,
    Laboratory,
    bit_changes,
    encoded_again,
    manipulations,
    tables,
)
from tests.clients.requester.evidence_folder import stranger_who_followed
from tests.lengths import one_in

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed"),
]
SLICES = 200


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory: pytest.TempPathFactory, gops: list[Gop]) -> Laboratory:
    return Laboratory(*stranger_who_followed(tmp_path_factory, gops))


@pytest.mark.parametrize("part", one_in(SLICES, range(SLICES)))
def test_each_single_bit_is_noticed(laboratory: Laboratory, part: int) -> None:
    changes = list(bit_changes(laboratory.whole, FLIPS, 2))[part::SLICES]
    assert [files for _, files in changes if not laboratory.noticed_by(files)] == []


@pytest.mark.parametrize("part", one_in(SLICES, range(SLICES)))
def test_each_manipulation_by_one_who_has_the_keys_of_the_requester_is_noticed(
    laboratory: Laboratory, part: int
) -> None:
    changes = list(manipulations(laboratory, MANIPULATIONS, 2))[part::SLICES]
    assert [kind for kind, files in changes if not laboratory.noticed_by(files)] == []


def test_a_film_and_its_still_cannot_change_places_although_one_record_has_both_hashes(laboratory: Laboratory) -> None:
    exchanged = Forger(laboratory, random.Random(1)).a_film_and_its_still_exchanged()
    assert STATEMENTS in laboratory.noticed_by(exchanged)


def test_the_tables_of_the_page_are_the_kept_result_and_nothing_stayed_unnoticed() -> None:
    result = json.loads(RESULT.read_text(encoding="utf-8"))
    page = PAGE.read_text(encoding="utf-8")
    assert f"<!-- tables -->\n{tables(result)}<!-- end -->" in page
    for name, count in (("bits", FLIPS), ("manipulations", MANIPULATIONS)):
        rows = result[name].values()
        assert sum(row["tried"] for row in rows) == sum(row["noticed"] for row in rows) == count
    assert set(result["manipulations"]) == {kind.__name__.replace("_", " ") for kind in KINDS}


def test_a_change_that_only_the_list_of_hashes_could_notice_stays_unnoticed_if_the_forger_writes_it_again(
    laboratory: Laboratory,
) -> None:
    """The limit that docs/evidence.md states, and that the tables would otherwise hide."""
    whole = laboratory.whole
    changes: list[Files] = [
        {"bundle.json": (whole["bundle.json"] or b"").replace(b'"ok": true', b'"ok": True')},
        {"../clips/clip-02.mp4": whole["../clips/clip-03.mp4"]},
        {"../pictures/clip-01.jpg": whole["../pictures/clip-03.jpg"]},
    ]
    if "../c2pa/clip-02.mp4" in whole:
        changes.append({"../c2pa/clip-02.mp4": whole["../c2pa/clip-03.mp4"]})
    for change in changes:
        assert laboratory.noticed_by(change)
        assert not laboratory.noticed_by(laboratory.forged(change)), [*change]


def test_a_changed_copy_that_says_in_its_credentials_that_it_is_valid_is_noticed_by_its_command(
    laboratory: Laboratory, tmp_path: Path
) -> None:
    """Anyone can write an assertion, and c2patool prints it in the same report as its verdict."""
    pytest.importorskip("c2pa", reason="not installed: c2pa-python")
    from agent.clients.media.credentials_writer import sign_copy

    name, source = "../c2pa/segment-003.mp4", tmp_path / "segment-003.mp4"
    source.write_bytes(laboratory.whole["../segments/segment-003.mp4"] or b"")
    stranger: Any = SimpleNamespace(id="rijnstad-police", key=public_key_of(FORGER), sign_certificate=FORGER.sign)
    said = [{"label": "org.example.said", "data": {"validation_state": "Valid"}}]
    actions = {"label": "c2pa.actions.v2", "data": {"actions": [content_credentials._composed()]}}
    manifest = {"title": source.name, "format": "video/mp4", "assertions": [actions, *said]}
    sign_copy(source, tmp_path / "copy.mp4", manifest, (), content_credentials._credential(stranger))
    copy = (tmp_path / "copy.mp4").read_bytes()
    place = copy.rindex(b"mdat") + 40
    changed = copy[:place] + bytes([copy[place] ^ 1]) + copy[place + 1 :]
    (command,) = [each for each in laboratory.commands if each.startswith(f"c2patool {name} ")]
    stranger_s = laboratory.stranger
    path = stranger_s.bundle / name
    whole = path.read_bytes()
    try:
        path.write_bytes(copy)
        assert stranger_s.holds(command), "a stranger's key makes valid credentials, too: docs/evidence.md says so"
        path.write_bytes(changed)
        assert b'"validation_state": "Valid"' in stranger_s.run(f"c2patool {name}").stdout
        assert not stranger_s.holds(command)
    finally:
        path.write_bytes(whole)


def test_a_holder_of_the_requester_s_key_can_give_another_film_valid_credentials_and_only_the_evidence_tells(
    laboratory: Laboratory, tmp_path: Path
) -> None:
    """Content Credentials are the requester's word: docs/evidence.md says that they add no proof."""
    pytest.importorskip("c2pa", reason="not installed: c2pa-python")
    its = Requester.open(laboratory.evidence / "requester")
    (answer,) = its.answers.beginning_with("")
    verification = examine(its, answer.disclosure)
    clip = clips_of(verification)[1]
    film = tmp_path / "segment-003.mp4"
    film.write_bytes(encoded_again(laboratory.whole["../segments/segment-003.mp4"] or b"", 30))
    with ConfinedMedia() as media:
        write_credentials(tmp_path / "c2pa", its, verification, [CredentialedClip(clip, [film], None)], media)
    forged = {f"../c2pa/{film.name}": (tmp_path / "c2pa" / film.name).read_bytes()}
    assert C2PA_RS not in laboratory.noticed_by(forged)
    assert not laboratory.noticed_by(laboratory.forged(forged))
    # The same film in the place of the evidence itself is noticed.
    assert laboratory.noticed_by(laboratory.forged({"../segments/segment-003.mp4": film.read_bytes()}))
