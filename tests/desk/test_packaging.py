"""The distribution of the desk has each package of its folder. A package that is left out fails at a start only."""

from __future__ import annotations

import configparser
from pathlib import Path

DESK = Path(__file__).resolve().parents[2] / "desk"


def test_each_folder_with_python_files_is_packaged() -> None:
    setup = configparser.ConfigParser()
    setup.read(DESK / "setup.cfg")
    listed = setup["options"]["packages"].split()
    folders = {path.parent for path in DESK.rglob("*.py") if not {"node_modules", "build"} & set(path.parts)}
    found = {".".join(("desk", *folder.relative_to(DESK).parts)) for folder in folders}
    assert set(listed) == found
    assert listed == sorted(listed)
