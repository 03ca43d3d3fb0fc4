"""The files of the card recipe, and what their X-Env metadata declares."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
CARD = ROOT / "scripts" / "card"
LAYERS = sorted((CARD / "layer").glob("*.yaml"))
CONFIGURATIONS = sorted((CARD / "config").glob("*.yaml"))


def metadata(layer: Path) -> dict[str, str]:
    """Returns the X-Env fields of a layer (deb822 in comments), with continuation lines joined."""
    inside = layer.read_text().partition("# METABEGIN\n")[2].partition("# METAEND")[0]
    found: dict[str, str] = {}
    name = ""
    for line in inside.splitlines():
        text = line.removeprefix("#").removeprefix(" ")
        if begins := re.fullmatch(r"(X-Env-[A-Za-z0-9_-]+):\s*(.*)", text):
            name = begins[1]
            assert name not in found, f"{layer.name}: {name} twice"
            found[name] = begins[2]
        elif text.strip():
            assert name, f"{layer.name}: {line}"
            found[name] += f"\n{text.strip()}"
    return found


def declared(layer: Path) -> set[str]:
    """Returns the variables that a layer declares."""
    fields = metadata(layer)
    prefix = fields.get("X-Env-VarPrefix", "")
    own = (re.fullmatch(r"X-Env-Var-([a-z0-9_]+)", name) for name in fields)
    return {f"IGconf_{prefix}_{match[1]}" for match in own if match}


def hooks(document: dict[str, dict[str, list[str]]]) -> Iterator[str]:
    """Yields the shell text of each hook."""
    for name, values in (document.get("mmdebstrap") or {}).items():
        if name.endswith("-hooks"):
            yield from values


def recipe(name: str) -> tuple[list[str], list[str]]:
    """Returns the customize-hooks and the cleanup-hooks of a layer."""
    found = yaml.safe_load((CARD / "layer" / f"{name}.yaml").read_text())["mmdebstrap"]
    return list(found.get("customize-hooks", [])), list(found.get("cleanup-hooks", []))


def packages(name: str) -> list[str]:
    """Returns Debian's packages that a layer names."""
    return list(yaml.safe_load((CARD / "layer" / f"{name}.yaml").read_text())["mmdebstrap"].get("packages", []))
