"""An answer that the owner redacted: what its requester is shown and can prove, and each lie about it refused."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from agent.cli.app import doorward
from agent.cli.frame import run
from agent.clients.media.join import probe
from agent.clients.media.redact import cover_film, require_covered
from agent.clients.opening import HybridIdentity, open_bytes
from agent.clients.requester import messages
from agent.clients.requester.checks import CheckKind, Verification
from agent.clients.requester.identity import Requester, SentRequest
from agent.clients.requester.opened_disclosure import OpenedDisclosure
from agent.clients.requester.verification import examine
from agent.core.media import Gop
from agent.core.vault.age.header import split
from agent.core.vault.redactions import WHOLE, Place, Redaction, RedactionKind
from agent.core.vault.segment import Context
from agent.errors import OpenError
from agent.wire import strictjson
from agent.wire.disclosures import PartKind
from agent.wire.fields import Kind
from agent.wire.statements import Approval, Redacted, SealedItem
from tests.clients.requester.conftest import DESCRIPTION, NOW_S, ROOT_ID, filmed, question
from tests.clients.requester.full_answer import FACE, VOICE
from tests.clients.requester.house import Changes, Disclosure, House, Stored
from tests.clients.requester.test_opened_disclosure import opened
from tests.clients.requester.test_verification import lay_down
from tests.second_reader.disclosure import read_disclosure
from tests.second_reader.json_once import RefusedError
from tests.sounds import track


def films(house: House) -> list[Stored]:
    return [each for each in house.stored if each.kind is PartKind.SEGMENT]


def redacted(house: House, asked: SentRequest, *, chosen: list[Stored] | None = None) -> Disclosure:
    """The first film is shared with a cover, the others as captured."""
    first = films(house)[0]
    return house.disclose(
        asked, films(house) if chosen is None else chosen, redactions={(first.kind, first.id): (FACE,)}
    )


def verdict(requester: Requester, asked: SentRequest, disclosure: Disclosure) -> Verification:
    lay_down(requester, asked, disclosure)
    return examine(requester, disclosure.id)


def test_a_requester_sees_which_films_are_redacted_where_and_when_and_that_the_others_are_as_captured(
    requester: Requester, asked: SentRequest, house: House
) -> None:
    verification = verdict(requester, asked, redacted(house, asked))
    assert verification.ok
    assert [each.redactions for each in verification.items] == [(FACE,), (), ()]
    parts, footage = (
        next(each.said for each in verification.checks if each.kind is kind)
        for kind in (CheckKind.PARTS, CheckKind.FOOTAGE)
    )
    assert "1 file of them is redacted" in parts
    assert "1 redacted file opens with the key that the owner signed" in footage


def test_the_captured_film_cannot_be_opened_from_a_redacted_answer(
    requester: Requester, asked: SentRequest, house: House
) -> None:
    """No part holds its sealed bytes, and no header in the answer wraps its key, so its bytes are of no use either."""
    disclosure = redacted(house, asked)
    captured = films(house)[0]
    reply = requester.reply_identity(asked.request.id)
    assert reply is not None
    assert all(captured.payload not in part for part in disclosure.parts)
    for part in disclosure.parts:
        with pytest.raises(OpenError):
            open_bytes(part[: split(part)] + captured.payload, [reply])


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory, gops: list[Gop]) -> tuple[OpenedDisclosure, House]:
    """A redacted answer as its requester opens it."""
    requester = Requester.create(
        tmp_path_factory.mktemp("shown") / "requester", "rijnstad-police", Kind.POLICE, ROOT_ID
    )
    asked = requester.sent_request(messages.make_request(requester, question(), now_s=NOW_S).id)
    house = filmed(gops)
    return opened(requester, asked, redacted(house, asked)), house


def test_report_certificate_and_bundle_say_what_was_redacted(shown: tuple[OpenedDisclosure, House]) -> None:
    disclosure, house = shown
    report = disclosure.report.read_text()
    assert "Its owner redacted 1 of the 3 files" in report
    assert "a face" in report
    assert "40–55 % across, 20–45 % down, then 60–75 % across" in report
    assert "This is, frame for frame" not in report
    assert "redacted by the owner" in (disclosure.folder / "certificate.html").read_text()
    document = json.loads((disclosure.bundle / "bundle.json").read_text())
    segments = [each for clip in document["clips"] for each in clip["segments"]]
    assert segments[0]["redactions"] == [
        {"kind": "face", "from_ms": 200, "until_ms": 1900,
         "places": [[200, 4000, 2000, 1500, 2500], [1900, 6000, 2000, 1500, 2500]]}
    ]  # fmt: skip
    assert segments[0]["sha256_original_payload"] == films(house)[0].sealed.sha256_payload
    assert all("redactions" not in each for each in segments[1:])


def test_a_clip_with_a_redacted_film_is_still_one_film(shown: tuple[OpenedDisclosure, House]) -> None:
    disclosure, house = shown
    assert disclosure.merged is not None
    assert probe(disclosure.merged).frames == sum(probe(each.content).frames for each in films(house))
    require_covered(disclosure.mp4s[0].read_bytes(), [FACE])


def test_the_bundle_of_a_redacted_answer_verifies_by_openssl_alone(shown: tuple[OpenedDisclosure, House]) -> None:
    """Signatures of owner and device; then the hash in the owner's statement is the hash of the bytes that came."""
    disclosure, _ = shown
    by_hand = disclosure.bundle / "by-hand"
    for name, key in (("approval", "owner"), ("manifest", "device"), ("record-001", "device")):
        subprocess.run(
            ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", f"{key}.pem", "-rawin", "-in", f"{name}.signed",
             "-sigfile", f"{name}.signature"],
            cwd=by_hand, check=True, capture_output=True,
        )  # fmt: skip
    signed = (by_hand / "approval.signed").read_bytes()
    item = json.loads((disclosure.bundle / "bundle.json").read_text())["clips"][0]["segments"][0]
    assert item["sha256_payload"].encode() in signed
    assert item["sha256_original_payload"].encode() in (by_hand / "record-001.signed").read_bytes()


def test_a_muted_sound_is_said_and_checked_as_a_covered_film_is(
    requester: Requester, asked: SentRequest, gops: list[Gop]
) -> None:
    house = House(asked.request.from_s * 1000 + 60_000)
    house.record(DESCRIPTION, gops[0:2], sound=track(2.0), poster=False)
    sound = next(each for each in house.stored if each.kind is PartKind.SOUND)
    answer = house.disclose(asked, redactions={(sound.kind, sound.id): (VOICE,)})
    verification = verdict(requester, asked, answer)
    assert verification.ok
    assert [each.redactions for each in verification.items] == [(), (VOICE,)]
    house.changes.covered = lambda _muted: sound.content
    lie = house.disclose(asked, redactions={(sound.kind, sound.id): (VOICE,)})
    failed = verdict(requester, asked, lie).failed
    assert failed is not None
    assert "not silent where its list of redactions says so" in failed.said


def of_first(change: object) -> object:
    """An approval with its first item changed."""

    def changed(approval: Approval) -> Approval:
        first, *others = approval.segments
        return msgspec.structs.replace(approval, segments=(change(first), *others))  # type: ignore[operator]

    return changed


def said(item: SealedItem) -> Redacted:
    assert item.redacted is not None
    return item.redacted


@dataclass
class Lie:
    changes: Changes
    why: str


def with_list(*redactions: Redaction) -> Changes:
    def changed(context: Context) -> Context:
        return msgspec.structs.replace(context, redactions=redactions)

    return Changes(redacted=changed)


def moved(left: int) -> Redaction:
    return msgspec.structs.replace(FACE, places=tuple(msgspec.structs.replace(each, left=left) for each in FACE.places))


def silent_about_it(context: Context) -> Context:
    return msgspec.structs.replace(context, redactions=None)


LIES = {
    "a list that names another place": Lie(with_list(moved(0)), "not covered where its list"),
    "a list that names a longer time": Lie(
        with_list(msgspec.structs.replace(FACE, until_ms=2900)), "not covered where its list"
    ),
    "a list that names one cover more": Lie(with_list(FACE, moved(0)), "not covered where its list"),
    "a redacted film without a list": Lie(Changes(redacted=silent_about_it), "redacted and does not say where"),
    "an exact film with a cover that is only nearly black": Lie(
        Changes(redacted=lambda context: msgspec.structs.replace(context, exact=True)), "not covered where its list"
    ),
    "a redacted film of another segment": Lie(
        Changes(redacted=lambda context: msgspec.structs.replace(context, segment="a" * 26)), "differs from the record"
    ),
    "a redacted film of another time": Lie(
        Changes(
            redacted=lambda context: msgspec.structs.replace(
                context, span=msgspec.structs.replace(context.span, utc_ms=context.span.utc_ms + 1)
            )
        ),
        "differs from the record",
    ),
    "a key that the owner did not sign": Lie(
        Changes(
            approval=of_first(  # type: ignore[arg-type]
                lambda item: msgspec.structs.replace(item, redacted=msgspec.structs.replace(said(item), key="00" * 32))
            )
        ),
        "another key than the one the owner signed",
    ),
    "bytes that the owner did not sign": Lie(
        Changes(
            approval=of_first(  # type: ignore[arg-type]
                lambda item: msgspec.structs.replace(
                    item, redacted=msgspec.structs.replace(said(item), payload_sha256="00" * 32)
                )
            )
        ),
        "not the one the owner approved",
    ),
    "an original that the device never recorded": Lie(
        Changes(approval=of_first(lambda item: msgspec.structs.replace(item, payload_sha256="00" * 32))),  # type: ignore[arg-type]
        "not the one that was signed at capture",
    ),
    "a redaction passed off as the captured film": Lie(
        Changes(approval=of_first(lambda item: msgspec.structs.replace(item, redacted=None))),  # type: ignore[arg-type]
        "not the one the owner approved",
    ),
}


@pytest.mark.parametrize("name", LIES)
def test_a_wrong_list_of_redactions_and_each_other_lie_is_refused(
    name: str, requester: Requester, asked: SentRequest, gops: list[Gop]
) -> None:
    house = filmed(gops, LIES[name].changes)
    failed = verdict(requester, asked, redacted(house, asked, chosen=films(house)[:1])).failed
    assert failed is not None
    assert LIES[name].why in failed.said


def test_a_captured_film_that_claims_to_be_redacted_is_refused(
    requester: Requester, asked: SentRequest, gops: list[Gop]
) -> None:
    """A list in a captured film would have the owner redact what they did not."""

    def claiming(context: Context) -> Context:
        return msgspec.structs.replace(context, redactions=(FACE,))

    house = filmed(gops, Changes(context=claiming))
    failed = verdict(requester, asked, house.disclose(asked, films(house)[:1])).failed
    assert failed is not None
    assert "lists redactions, and was approved as captured" in failed.said


def test_a_reader_written_from_the_documents_alone_opens_a_redacted_answer_and_refuses_the_lies(
    requester: Requester, asked: SentRequest, gops: list[Gop]
) -> None:
    identity = asked.reply_identity().secret_text()
    house = filmed(gops)
    payload = strictjson.encode(asked.request)
    opened_by = read_disclosure(redacted(house, asked).parts, identity, payload)
    assert [kind for kind, _, _ in opened_by] == ["segment"] * 3
    require_covered(opened_by[0][2], [FACE])
    for lie in LIES.values():
        if "not covered" in lie.why:
            continue  # the second reader opens films and decodes none
        house = filmed(gops, lie.changes)
        parts = redacted(house, asked, chosen=films(house)[:1]).parts
        with pytest.raises(RefusedError):
            read_disclosure(parts, identity, payload)


def test_one_flipped_bit_of_a_redacted_part_is_noticed(requester: Requester, asked: SentRequest, house: House) -> None:
    disclosure = redacted(house, asked)
    part = bytearray(disclosure.parts[1])
    part[-100] ^= 1
    disclosure.parts[1] = bytes(part)
    assert not verdict(requester, asked, disclosure).ok


def exactly(house: House) -> House:
    """The house makes an exact film of the first one."""
    first = films(house)[0]
    length_ms = first.record.record.span.duration_us // 1000
    house.changes.covered = lambda _made: cover_film(first.content, [FACE], length_ms, exact=True)
    house.changes.redacted = lambda context: msgspec.structs.replace(context, exact=True)
    return house


def test_a_requester_can_prove_that_no_pixel_outside_of_the_covers_changed_once_the_recorded_film_is_shown(
    requester: Requester, asked: SentRequest, gops: list[Gop], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    house = exactly(filmed(gops))
    disclosure = redacted(house, asked)
    shared = opened(requester, asked, disclosure)
    verification = shared.verification
    assert [each.is_exact for each in verification.items] == [True, False, False]
    footage = next(each.said for each in verification.checks if each.kind is CheckKind.FOOTAGE)
    assert "By the owner's word, 1 film of them has the recorded pixels outside of the covers." in footage
    report = shared.report.read_text()
    assert "the film of part 1 has the recorded pixels outside of the covers, without any change" in report
    assert "the other pixels changed slightly" not in report
    assert json.loads((shared.bundle / "bundle.json").read_text())["clips"][0]["segments"][0]["exact"] is True
    opened_by = read_disclosure(
        disclosure.parts, asked.reply_identity().secret_text(), strictjson.encode(asked.request)
    )
    assert opened_by[0][2] == shared.mp4s[0].read_bytes()
    assert shared.merged is not None
    assert probe(shared.merged).frames == sum(probe(each.content).frames for each in films(house))

    recorded, covers = tmp_path / "recorded.mp4", shared.bundle / "redactions-001.json"
    recorded.write_bytes(films(house)[0].content)
    assert run(doorward, ["requester", "compare", str(recorded), str(shared.mp4s[0]), str(covers)]) == 0
    assert re.fullmatch(
        r"All \d+ values outside of the covers are as recorded, in \d+ pictures\.\n", capsys.readouterr().out
    )
    # The same answer with a film that is not exact, and one whose owner changed a thing beside the cover.
    for made in (
        cover_film(films(house)[0].content, [FACE], 2000),
        cover_film(films(house)[0].content, [FACE, moved(0)], 2000, exact=True),
    ):
        (tmp_path / "other.mp4").write_bytes(made)
        asked_of = ["requester", "compare", str(recorded), str(tmp_path / "other.mp4"), str(covers), "--json"]
        assert run(doorward, asked_of) == 1
        assert json.loads(capsys.readouterr().out)["changed"] > 0
    # The recorded film twice, or covers that leave nothing to compare, prove nothing.
    everywhere = Place(at_ms=0, left=0, top=0, width=WHOLE, height=WHOLE)
    whole = Redaction(kind=RedactionKind.AREA, from_ms=0, until_ms=3000, places=(everywhere,))
    (tmp_path / "black.mp4").write_bytes(cover_film(films(house)[0].content, [whole], 3000, exact=True))
    (tmp_path / "whole.json").write_bytes(b"[%b]" % strictjson.encode(whole))
    for covered, listed in ((recorded, covers), (tmp_path / "black.mp4", tmp_path / "whole.json")):
        assert run(doorward, ["requester", "compare", str(recorded), str(covered), str(listed)]) not in (0, 1)
    said = capsys.readouterr().err
    assert "not covered where its list of redactions says so" in said
    assert "hide all pictures, so nothing can be compared" in said
    # A list that is damaged, or that of a sound.
    for text in ("[]x", "[]", '[{"from_ms":0,"kind":"voice","until_ms":9}]'):
        covers.write_text(text)
        assert run(doorward, ["requester", "compare", str(recorded), str(shared.mp4s[0]), str(covers)]) not in (0, 1)
    assert "lists no cover of a film" in capsys.readouterr().err


def test_the_report_says_that_the_other_pixels_of_a_film_changed_slightly(
    shown: tuple[OpenedDisclosure, House],
) -> None:
    report = shown[0].report.read_text()
    assert "In each redacted film the other pixels changed slightly" in report
    assert "without any change" not in report


def test_only_the_requester_opens_a_redacted_film(requester: Requester, asked: SentRequest, house: House) -> None:
    disclosure = redacted(house, asked)
    with pytest.raises(OpenError):
        open_bytes(disclosure.parts[1], [HybridIdentity(b"s" * 32)])
    with pytest.raises(OpenError):
        open_bytes(disclosure.parts[1], [house.identity])
