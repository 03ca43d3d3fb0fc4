"""A sealed file that is swapped, removed or added after its arrival is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from agent.clients.requester.disclosure_folder import AnswerFolder
from desk.custody.answers import sealed_in
from desk.custody.audit import FindingKind
from desk.custody.sealed_files import check_answer, list_sealed_files

ONE = "1" * 32


@pytest.fixture
def folder(answer: AnswerFolder) -> Path:
    return answer.path


@pytest.fixture
def answer(tmp_path: Path) -> AnswerFolder:
    answer = AnswerFolder(tmp_path, ONE)
    answer.path.mkdir(parents=True)
    for name in ("0.age", "1.age", "2.age", "10.age", "request.dsse", "origin.json"):
        (answer.path / name).write_bytes(name.encode() * 50)
    (answer.path / "outcome.json").write_bytes(b"{}")
    (answer.path / "3.part").write_bytes(b"arriving")
    return answer


def _swap(folder: Path) -> None:
    (folder / "1.age").write_bytes(b"another")


def _exchange(folder: Path) -> None:
    first, second = (folder / "1.age").read_bytes(), (folder / "2.age").read_bytes()
    (folder / "1.age").write_bytes(second)
    (folder / "2.age").write_bytes(first)


def _remove(folder: Path) -> None:
    (folder / "2.age").unlink()


def _add(folder: Path) -> None:
    (folder / "4.age").write_bytes(b"more")


CHANGES = (
    (_swap, FindingKind.FILE_CHANGED, "1.age was changed"),
    (_exchange, FindingKind.FILE_CHANGED, "1.age, 2.age were changed"),
    (_remove, FindingKind.FILE_MISSING, "2.age was removed"),
    (_add, FindingKind.FILE_CHANGED, "4.age was added"),
)


def test_a_listing_is_what_sha256sum_writes_and_leaves_out_what_changes_later(
    answer: AnswerFolder, folder: Path
) -> None:
    listing = list_sealed_files(sealed_in(answer))
    names = [line.split("  ")[1] for line in listing.text.decode().splitlines()]
    assert names == ["0.age", "1.age", "2.age", "10.age", "origin.json", "request.dsse"]
    assert (listing.count, listing.size_bytes) == (6, sum((folder / name).stat().st_size for name in names))
    (folder / "receipt.dsse").write_bytes(b"later")
    assert check_answer(sealed_in(answer), "answer", listing.sha256, listing.text) == []


@pytest.mark.parametrize(("change", "kind", "said"), CHANGES)
def test_a_changed_file_is_named_if_the_listing_is_there(
    answer: AnswerFolder, folder: Path, change: Callable[[Path], None], kind: FindingKind, said: str
) -> None:
    listing = list_sealed_files(sealed_in(answer))
    change(folder)
    [finding] = check_answer(sealed_in(answer), "answer", listing.sha256, listing.text, 7)
    assert (finding.kind, finding.number) == (kind, 7)
    assert finding.said.startswith(f"answer: {said}")


@pytest.mark.parametrize("known", [None, b"a listing that was changed too\n"])
def test_without_the_listing_the_answer_is_named(answer: AnswerFolder, folder: Path, known: bytes | None) -> None:
    listing = list_sealed_files(sealed_in(answer))
    _swap(folder)
    [finding] = check_answer(sealed_in(answer), "answer 5", listing.sha256, known)
    assert (finding.kind, finding.said) == (
        FindingKind.FILE_CHANGED,
        "answer 5: its sealed files differ from those that arrived.",
    )


def test_a_folder_that_is_gone_is_missing(answer: AnswerFolder, folder: Path) -> None:
    listing = list_sealed_files(sealed_in(answer))
    [finding] = check_answer(sealed_in(AnswerFolder(folder, ONE)), "answer", listing.sha256, None)
    assert finding.kind is FindingKind.FILE_MISSING
