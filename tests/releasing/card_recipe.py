"""`python -m tests.releasing.card_recipe RPI_IMAGE_GEN [RPI_IMAGER]`: asks the real tools if they take our files.

RPI_IMAGE_GEN is a folder with its source, and its Python packages (python3-debian, python3-yaml) must be there. The
tool lints each layer, reads each configuration, and resolves layers and variables for each board, as `rpi-image-gen
build` does before it fetches its first package. Nothing is fetched and no image is built. RPI_IMAGER is a folder with
the source of Raspberry Pi Imager: its JSON schema judges a list that our command writes (jsonschema). The result goes
into RESULTS.md.
"""

from __future__ import annotations

import datetime
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.releasing.card_files import CARD, CONFIGURATIONS, LAYERS, ROOT

RESULTS = ROOT / "tests" / "releasing" / "RESULTS.md"
BOARDS = {
    "doorward-card": ("rpizero2w", "rpi3", "rpi4", "rpi5", "rpi-cm4", "rpi-cm5"),
    "doorward-slots": ("rpi4", "rpi5", "rpi-cm4", "rpi-cm5"),
}
REFUSED = {"doorward-slots": ("rpizero2w", "rpi3")}
"""Boards that the tool itself must refuse, because their boot loader cannot try a slot."""
_DEB = "IGconf_doorward_deb=/nowhere/doorward.deb"


class Tool:
    """The command `ig` of a source tree."""

    def __init__(self, source: Path) -> None:
        self._source = source

    def version(self) -> str:
        words = ["git", "-C", str(self._source), "log", "-1", "--format=%h of %cs"]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()

    def run(self, *words: str) -> str:
        command = [sys.executable, str(self._source / "bin" / "ig"), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise AssertionError(f"{' '.join(words)}: {done.returncode}\n{done.stdout[-1500:]}\n{done.stderr[-1500:]}")
        return done.stdout

    def resolve(self, configuration: str, *overrides: str) -> tuple[list[str], dict[str, str]]:
        """Returns the layers in the order of the build, and all variables."""
        top = self._source
        with tempfile.TemporaryDirectory(prefix="doorward-card-") as folder:
            work = Path(folder)
            path = f"{CARD / 'config'}:{top / 'config'}"
            (work / "overrides").write_text("".join(f"{each}\n" for each in overrides))
            (work / "registry").write_text(self.run("metadata", "--emit", str(top / "registry.defs")))
            self.run("config", "--path", path, str(CARD / "config" / f"{configuration}.yaml"),
                     "--overrides", str(work / "overrides"), "--write-to", str(work / "user"))  # fmt: skip
            text = (work / "registry").read_text() + (work / "user").read_text()
            text += f'IGTOP="{top}"\nIGROOT="{top}"\nSRCROOT="{CARD}"\nDYNROOT="{work}"\n'
            text += f'LAYER_HOOKS="{top}/layer-hooks"\nRPI_TEMPLATES="{top}/templates/rpi"\nTOOLCHAIN_MODE="cross"\n'
            text += 'DEB_BUILD_ARCH="amd64"\nDEB_BUILD_GNU_TYPE="x86_64-linux-gnu"\n'
            text += 'DEB_HOST_ARCH="arm64"\nDEB_HOST_GNU_TYPE="aarch64-linux-gnu"\n'
            (work / "in").write_text(text)
            asked = re.findall(r'(?m)^IGconf_(?:device_layer|image_layer|layer_\w+)="?([^"\n]+)"?$', text)
            search = ":".join([f"DYNlayer={work}", f"SRClayer={CARD / 'layer'}", *(
                f"IG{name}={top / name}" for name in ("layer", "device", "image"))])  # fmt: skip
            self.run("pipeline", "--env-in", str(work / "in"), "--layers", "essential", *asked,
                     "--path", search, "--env-out", str(work / "out"), "--plan-out", str(work / "plan"))  # fmt: skip
            plan = [
                line.split(":")[0] for line in (work / "plan").read_text().splitlines() if line[:1] not in ("", "#")
            ]
            resolved = dict(line.split("=", 1) for line in (work / "out").read_text().splitlines() if "=" in line)
        return plan, resolved


def main(arguments: list[str]) -> int:
    tool = Tool(Path(arguments[0]).resolve())
    rows = []
    for layer in LAYERS:
        tool.run("metadata", "--lint", str(layer))
        rows.append(("lint", layer.name, "OK"))
    for configuration in CONFIGURATIONS:
        for board in BOARDS[configuration.stem]:
            plan, _ = tool.resolve(configuration.stem, _DEB, f"IGconf_device_layer={board}")
            assert "openssh-server" not in plan, plan
            rows.append((configuration.stem, board, f"{len(plan)} layers in order, all variables resolved"))
        for board in REFUSED.get(configuration.stem, ()):
            refusal = _refusal(tool, configuration.stem, _DEB, board)
            rows.append((configuration.stem, board, refusal))
    both = _refusal(tool, "doorward-card", f"{_DEB}\nIGconf_doorward_sources=/nowhere/doorward.sources", "rpi4")
    rows.append(("doorward-card", "a package and a repository at once", both))
    rows.append(("doorward-card", "neither of the two", _refusal(tool, "doorward-card", "", "rpi4")))
    versions = f"rpi-image-gen {tool.version()}"
    if arguments[1:]:
        imager = Tool(Path(arguments[1]).resolve())
        rows.append(("os-list-schema.json", "a list of an image for each board", _judge_list(Path(arguments[1]))))
        versions += f", Raspberry Pi Imager {imager.version()}"
    for row in rows:
        print("  ".join(row))
    _write(versions, rows)
    return 0


def _judge_list(imager: Path) -> str:
    from jsonschema import Draft7Validator  # of the tools' surroundings, not of ours

    sys.path.insert(0, str(ROOT / "scripts"))
    from releasing.imager_list import BOARDS, write_cards

    schema = json.loads((imager / "doc/json-schema/os-list-schema.json").read_text())
    with tempfile.TemporaryDirectory(prefix="doorward-cards-") as folder:
        image = Path(folder, "card.img")
        image.write_bytes(bytes(510) + b"\x55\xaa" + bytes(1 << 20))
        for read_only in (False, True):
            made = write_cards(
                dict.fromkeys(BOARDS, image), Path(folder, "out"), icon=ROOT / "agent/web/static/icon-192.png",
                version="0.2.0", date="2026-12-01", address="https://cards.example", read_only=read_only,
            )  # fmt: skip
            written = json.loads(made.read_text())
            Draft7Validator(schema).validate(written)
            for entry in written["os_list"]:  # anyOf alone would take a bad image for a link
                Draft7Validator(schema["properties"]["os_list"]["items"]["anyOf"][0]).validate(entry)
    return "valid, each entry as an image"


def _refusal(tool: Tool, configuration: str, overrides: str, board: str) -> str:
    try:
        tool.resolve(configuration, *overrides.splitlines(), f"IGconf_device_layer={board}")
    except AssertionError as error:
        said = re.findall(r"\[FAIL\] (.*)", str(error))
        if not said:
            raise
        return f"refused: {said[-1].strip()[:120].replace('|', '/')}"
    raise AssertionError(f"{configuration} on {board} with {overrides!r} was not refused.")


def _write(version: str, rows: list[tuple[str, str, str]]) -> None:
    begin, end = "<!-- card recipe -->", "<!-- /card recipe -->"
    today = datetime.datetime.now(datetime.UTC).date()
    section = f"{begin}\n{version}. {today}.\n\n| what | of what | result |\n|---|---|---|\n"
    section += "".join(f"| {' | '.join(row)} |\n" for row in rows) + end
    text = RESULTS.read_text()
    if begin not in text:
        text = f"{text.rstrip()}\n\n## The card recipe, by rpi-image-gen itself\n\n{begin}\n{end}\n"
    before, _, rest = text.partition(begin)
    RESULTS.write_text(before + section + rest.partition(end)[2])


if __name__ == "__main__":
    os.environ.setdefault("PYTHONDONTWRITEBYTECODE", "1")
    raise SystemExit(main(sys.argv[1:]))
