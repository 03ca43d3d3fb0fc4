"""Rules for the targets of a release: names, fields of `custom` and their values (docs/decisions/0051).

A doorbell checks them as well. A release that breaks one is not signed here, so no doorbell has to refuse it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tuf.api.metadata import TargetFile, Targets

__all__ = ["ARCHITECTURES", "KINDS", "custom_of", "numbers", "package_name", "versions_of", "violations"]

ARCHITECTURES = ("amd64", "arm64")
KINDS = ("notes", "page", "provenance", "sbom", "sums", "vex", "wheel")
"""Everything of a release but its packages."""
MAX_PACKAGE_BYTES = 1 << 30
MAX_NOTES_BYTES = 4096
MAX_ROLLOUT_HOURS = 168
_VERSION = re.compile(r"(0|[1-9][0-9]{0,4})(\.(0|[1-9][0-9]{0,4})){2}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}")
_FIELDS = {
    "kind", "version", "architecture", "debian", "released", "security_below", "upgrade_from", "rollout_hours", "notes",
}  # fmt: skip


def numbers(version: str) -> tuple[int, ...]:
    """Returns a version as numbers, to compare."""
    if not _VERSION.fullmatch(version):
        raise ValueError(f"{version!r} is not three numbers like 0.2.1")
    return tuple(int(part) for part in version.split("."))


def package_name(version: str, architecture: str) -> str:
    return f"doorward_{version}_{architecture}.deb"


def custom_of(target: TargetFile) -> Mapping[str, Any]:
    found = target.custom
    return found if isinstance(found, dict) else {}


def versions_of(targets: Targets) -> dict[str, list[TargetFile]]:
    """Returns the files of each version, highest version first."""
    found: dict[str, list[TargetFile]] = {}
    for _, target in sorted(targets.targets.items()):
        found.setdefault(str(custom_of(target).get("version", "?")), []).append(target)
    return dict(sorted(found.items(), key=lambda each: _sortable(each[0]), reverse=True))


def violations(targets: Targets) -> list[str]:
    """Returns a sentence for each broken rule."""
    found = [] if targets.delegations is None else ["It delegates to other roles."]
    for path, target in sorted(targets.targets.items()):
        custom = custom_of(target)
        if not _NAME.fullmatch(path):
            found.append(f"{path!r}: its name is not plain.")
        if set(target.hashes) != {"sha256"}:
            found.append(f"{path}: it has other hashes than sha256.")
        faults = _of_package(path, target) if _is_package(custom) else _of_other(custom)
        found += [f"{path}: {each}" for each in faults]
    for version, files in versions_of(targets).items():
        packages = {custom_of(each).get("architecture") for each in files if _is_package(custom_of(each))}
        if packages != set(ARCHITECTURES):
            found.append(f"{version}: it needs a package for each of {', '.join(ARCHITECTURES)}.")
    return found


def _is_package(custom: Mapping[str, Any]) -> bool:
    return custom.get("kind") == "package"


def _of_other(custom: Mapping[str, Any]) -> list[str]:
    found = [] if custom.get("kind") in KINDS else [f"kind is {custom.get('kind')!r}."]
    if set(custom) != {"kind", "version"}:
        found.append("custom has other fields than kind and version.")
    return found + _version_faults(custom, "version")


def _of_package(path: str, target: TargetFile) -> list[str]:
    custom = custom_of(target)
    if set(custom) != _FIELDS:
        return [f"custom lacks or adds {', '.join(sorted(set(custom) ^ _FIELDS))}."]
    found = [each for name in ("version", "security_below", "upgrade_from") for each in _version_faults(custom, name)]
    if custom["architecture"] not in ARCHITECTURES:
        found.append(f"architecture is {custom['architecture']!r}.")
    if path != package_name(custom["version"], custom["architecture"]):
        found.append("its name is not that of its version and architecture.")
    if not 0 < target.length <= MAX_PACKAGE_BYTES:
        found.append(f"it has {target.length} bytes, and {MAX_PACKAGE_BYTES} are the limit.")
    return found + _value_faults(custom) + _order_faults(custom, found)


def _value_faults(custom: Mapping[str, Any]) -> list[str]:
    found = []
    debian, notes, hours = custom["debian"], custom["notes"], custom["rollout_hours"]
    if not (isinstance(debian, list) and debian and all(isinstance(each, str) for each in debian)):
        found.append("debian is not a list of releases.")
    if not re.fullmatch(r"20\d\d-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])", str(custom["released"])):
        found.append("released is not a date like 2026-12-01.")
    if type(hours) is not int or not 0 <= hours <= MAX_ROLLOUT_HOURS:
        found.append(f"rollout_hours is not 0 to {MAX_ROLLOUT_HOURS}.")
    if not (isinstance(notes, dict) and "en" in notes and all(isinstance(each, str) for each in notes.values())):
        found.append("notes lack English text.")
    elif sum(len(each.encode()) for each in notes.values()) > MAX_NOTES_BYTES:
        found.append(f"notes are longer than {MAX_NOTES_BYTES} bytes.")
    return found


def _order_faults(custom: Mapping[str, Any], found: list[str]) -> list[str]:
    if found:
        return []
    version = numbers(custom["version"])
    faults = []
    if custom["security_below"] and numbers(custom["security_below"]) > version:
        faults.append("security_below is higher than the version, which would then be unsafe itself.")
    if custom["upgrade_from"] and numbers(custom["upgrade_from"]) >= version:
        faults.append("upgrade_from is not below the version.")
    return faults


def _version_faults(custom: Mapping[str, Any], name: str) -> list[str]:
    value = custom.get(name)
    if value is None and name != "version":
        return []
    return [] if isinstance(value, str) and _VERSION.fullmatch(value) else [f"{name} is {value!r}."]


def _sortable(version: str) -> tuple[int, ...]:
    return numbers(version) if _VERSION.fullmatch(version) else ()
