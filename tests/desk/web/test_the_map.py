"""The map's modules in node, and the files that a browser gets: built from the sources, without another host."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from desk.asking.shapes import circle_from_text, position_from_text
from desk.neighbourhood.submissions import coarse

pytestmark = pytest.mark.interop

HERE = Path(__file__).parent
WEB = HERE.parents[2] / "desk" / "web"
BUILT = WEB.parent / "static" / "asking"


def node(*command: str | Path, folder: Path) -> str:
    if shutil.which("node") is None or not (WEB / "node_modules" / "esbuild").is_dir():
        pytest.skip("esbuild is not installed: run `npm ci` in desk/web")
    done = subprocess.run(["node", *command], cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_map_reads_positions_as_the_desk_does_and_gives_back_the_circle_that_was_typed() -> None:
    found = json.loads(node("map_modules.mjs", folder=HERE))
    good, south, spaced, *bad = found["positions"]
    for text, position in (("52.0907, 5.1214", good), ("-33.9;18.4", south), (" 52 5 ", spaced)):
        assert [position_from_text(text).lon, position_from_text(text).lat] == position
    assert bad == [None] * 4
    assert found["written"] == "52.090712, 5.121412"
    assert found["corners"] == [[[5.1, 52.1], [5.2, 52.2]], None]
    assert found["again"] == {"shape": "circle", "centre": [5.1214, 52.0907], "radius_m": 300}
    assert circle_from_text("52.0907, 5.1214", "300").radius_m == 300
    assert found["ring"][0] == found["ring"][-1]
    places = [[5.1214, 52.0907], [-70.65149, -33.44951], [5.121, 52.091]]
    assert found["coarse"] == [[coarse(each) for each in place] for place in places], "the page rounds as the desk does"
    assert found["coarse"][:2] == [[5.121, 52.091], [-70.651, -33.45]]


def test_the_grid_has_a_handful_of_round_degrees_at_each_scale() -> None:
    found = json.loads(node("map_modules.mjs", folder=HERE))
    assert found["street"] == [5.121, 5.122, 5.123, 5.124, 5.125]
    assert 4 <= found["world"] <= 40


def test_prepared_minutes_reach_back_over_midnight_and_keep_the_end_of_the_window() -> None:
    """An hour after midnight, the two hours of a preset became the coming night, which the desk refused."""
    found = json.loads(node("map_modules.mjs", folder=HERE))
    assert found["beginnings"] == [
        {"day": "2026-11-29", "since": "12:20"},
        {"day": "2026-11-28", "since": "23:20"},
        {"day": "2026-11-29", "since": "00:20"},
        {"day": "2026-12-31", "since": "12:20"},
    ]


def test_the_shipped_files_are_what_the_sources_make(tmp_path: Path) -> None:
    node("build.mjs", tmp_path, folder=WEB)
    made = {str(path.relative_to(tmp_path)): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    asking = {f"asking/{name}" for name in ("asking.js", "asking.css", "map-worker.js", "LICENSES.txt")}
    neighbourhood = ("tip.js", "tip_work.js", "neighbour.js", "mine.js", "LICENSES.txt")
    assert asking | {f"neighbourhood/{name}" for name in neighbourhood} == made.keys()
    for name, data in made.items():
        assert data == (BUILT.parent / name).read_bytes(), f"{name}: run `make desk-page`"


def test_our_own_modules_write_no_markup_and_name_no_host() -> None:
    for path in WEB.glob("*.js"):
        text = path.read_text()
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text), path.name
        assert "http" not in text, path.name


def test_each_library_in_the_files_has_its_licence_beside_them() -> None:
    lock = json.loads((WEB / "package-lock.json").read_text())
    shipped = {
        name.removeprefix("node_modules/") for name, each in lock["packages"].items() if name and not each.get("dev")
    }
    named = set(re.findall(r"^(\S+) \(", (BUILT / "LICENSES.txt").read_text(), re.MULTILINE))
    assert shipped <= named
