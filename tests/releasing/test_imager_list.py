"""The list for Raspberry Pi Imager: sizes and hashes are those of real bytes, and fields are those that it reads."""

from __future__ import annotations

import hashlib
import json
import lzma
import re
from pathlib import Path
from typing import Any

import pytest

from tests.releasing.release_folders import ROOT

# isort: split
from releasing import __main__ as releasing
from releasing import imager_list

ADDRESS = "https://cards.example/doorward"
FIELDS: dict[str, type] = {
    "name": str, "description": str, "icon": str, "url": str, "extract_size": int, "extract_sha256": str,
    "image_download_size": int, "image_download_sha256": str, "release_date": str, "devices": list, "website": str,
    "init_format": str, "architecture": str, "capabilities": list,
}  # fmt: skip
"""Of an entry, as os-list-schema.json and os-sublist-example.json of Raspberry Pi Imager 2 document them."""
FORMATS = {"", "systemd", "cloudinit", "cloudinit-rpi", "rpi-preseed", "none"}


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """As much of a disk as the command looks at: 3 MB, and a signature in the first sector."""
    path = tmp_path / "doorward-card.img"
    path.write_bytes(bytes(510) + b"\x55\xaa" + b"footage?" * 400_000 + bytes(512 - 8 * 400_000 % 512))
    return path


def run(*words: str) -> int:
    return releasing.main(["cards", *words])


def entries(out: Path) -> list[dict[str, Any]]:
    found = json.loads(next(out.glob("*.rpi-imager-manifest")).read_text())
    assert set(found) == {"os_list"}
    return list(found["os_list"])


def test_sizes_and_hashes_are_those_of_the_image_and_of_what_imager_downloads(image: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run(f"rpizero2w={image}", f"rpi5={image}", "--address", f"{ADDRESS}/", "--out", str(out)) == 0
    for entry in entries(out):
        packed = out / entry["url"].removeprefix(f"{ADDRESS}/")
        data = packed.read_bytes()
        assert lzma.decompress(data) == image.read_bytes()
        assert entry["image_download_size"] == len(data)
        assert entry["image_download_sha256"] == hashlib.sha256(data).hexdigest()
        assert entry["extract_size"] == image.stat().st_size
        assert entry["extract_sha256"] == hashlib.sha256(image.read_bytes()).hexdigest()
        assert (out / entry["icon"].removeprefix(f"{ADDRESS}/")).read_bytes()[:4] == b"\x89PNG"
    assert not list(out.glob("*.making"))


def test_every_field_is_one_that_imager_documents(image: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(f"rpizero2w={image}", f"rpi4={image}", "--address", ADDRESS, "--out", str(out))
    for entry in entries(out):
        assert {name: type(value) for name, value in entry.items()} == FIELDS
        assert entry["init_format"] in FORMATS
        assert re.fullmatch(r"20\d\d-\d\d-\d\d", entry["release_date"])
        assert re.fullmatch(r"pi[345]-64bit", *entry["devices"])
        assert entry["extract_size"] % 512 == 0


def test_imager_may_change_a_card_and_not_a_read_only_system(image: Path, tmp_path: Path) -> None:
    for words, expected in (([], "cloudinit"), (["--read-only"], "none")):
        out = tmp_path / expected
        run(f"rpi4={image}", "--address", ADDRESS, "--out", str(out), *words)
        assert [entry["init_format"] for entry in entries(out)] == [expected]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rpi4={image}", "--address", "http://cards.example"], "no address with https"),
        (["rpi1={image}", "--address", ADDRESS], "no board with a card"),
        (["rpi4={image}", "rpi4={image}", "--address", ADDRESS], "twice"),
        (["{image}", "--address", ADDRESS], "no BOARD=IMAGE"),
        (["rpi4={packed}", "--address", ADDRESS], "no image of a disk"),
    ],
    ids=["plain http", "a board without a card", "a board twice", "no board", "a compressed image"],
)
def test_a_mistake_is_explained_and_leaves_no_list(
    words: list[str], said: str, image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    packed = tmp_path / "packed.img"
    packed.write_bytes(lzma.compress(image.read_bytes()))
    given = [word.format(image=image, packed=packed) for word in words]
    assert run(*given, "--out", str(tmp_path / "out")) == 1
    assert said in capsys.readouterr().err
    assert not list((tmp_path / "out").glob("*.rpi-imager-manifest"))


def test_each_board_of_the_recipe_has_a_place_in_the_list() -> None:
    """The list refused the images of two boards that the recipe builds."""
    texts = [path.read_text() for path in (ROOT / "scripts" / "card" / "config").glob("*.yaml")]
    named = [re.search(r"(?m)^# Boards: (.*)\.$", text) for text in texts]
    assert {board for each in named if each for board in each[1].split(", ")} == set(imager_list.BOARDS)
    assert all(named)
