"""The vault's test vectors: the good ones are made again byte by byte, each bad one is refused for its defect."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.core.object_detection.labels import ObjectLabel
from agent.core.vault.manifest import RawLine, chapter_start, follow, read_chain, split_lines, verify_chain
from agent.core.vault.segment import split_media, split_poster
from agent.errors import FormatError
from agent.wire.identities import parse_public_key
from tests.core.vault.make_vault_vectors import MLDSA, PLACE, RECORDS, vectors

BAD = sorted(path.name for path in (PLACE / "bad").iterdir())


def test_the_vectors_are_made_again_byte_by_byte() -> None:
    made = vectors()
    assert {name: (PLACE / name).read_bytes() for name in made} == made
    assert sorted(name for name in made if name.startswith("bad/")) == [f"bad/{name}" for name in BAD]


def test_the_good_ones_are_good() -> None:
    device = parse_public_key((PLACE / "device.pub").read_text().strip())
    lines = (PLACE / "manifest.0").read_bytes().splitlines(keepends=True)
    assert (PLACE / "device.mldsa.pub").read_text() == MLDSA.text + "\n"
    assert verify_chain(lines, device) == verify_chain(lines, device, MLDSA) == ()
    assert tuple(step.signed.record for step in read_chain(lines) if step.signed) == RECORDS
    for chapters in ((0, 1), (1,)):
        steps = list(follow(chapter_lines(*chapters), key=device, mldsa=MLDSA))
        assert [step.fault for step in steps] == [None] * len(steps)
        assert [step.carried for step in steps][-4:] == [False, True, True, False]
    assert split_media((PLACE / "plaintext.mp4").read_bytes())[1].label == "button"
    assert split_media((PLACE / "plaintext.mp4").read_bytes())[1].seen is None
    assert split_media((PLACE / "plaintext_seen.mp4").read_bytes())[1].seen == (ObjectLabel.PERSON, ObjectLabel.VEHICLE)
    assert split_poster((PLACE / "poster.jpg").read_bytes())[1].seen == (ObjectLabel.PERSON,)


@pytest.mark.parametrize("name", BAD)
def test_a_bad_one_is_refused(name: str) -> None:
    path: Path = PLACE / "bad" / name
    if name.endswith((".mp4", ".jpg")):
        with pytest.raises(FormatError):
            (split_poster if name.endswith(".jpg") else split_media)(path.read_bytes())
    else:
        device = parse_public_key((PLACE / "device.pub").read_text().strip())
        number = int(name.startswith("chapter_"))
        steps = list(follow(split_lines([path.read_bytes()], chapter_start(number)), key=device, mldsa=MLDSA))
        assert any(step.fault for step in steps) or not steps[-1].rests


@pytest.mark.parametrize("name", [name for name in BAD if name.endswith("_signed_once")])
def test_only_the_line_that_lacks_its_second_signature_is_refused(name: str) -> None:
    """The lines before it just need none."""
    device = parse_public_key((PLACE / "device.pub").read_text().strip())
    lines = (PLACE / "bad" / name).read_bytes().splitlines(keepends=True)
    steps = list(read_chain(lines, key=device, mldsa=MLDSA))
    assert [step.refused for step in steps] == [False] * (len(steps) - 1) + [True]
    assert [step.fault.problem for step in steps if step.fault] == [
        "The line lacks the second signature, by ML-DSA-44."
    ]


def chapter_lines(*chapters: int) -> Iterator[RawLine]:
    for number in chapters:
        yield from split_lines([(PLACE / f"manifest.{number}").read_bytes()], chapter_start(number))
