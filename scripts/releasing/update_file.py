"""An update as one file, for doorbells without a network: the metadata and one package in a plain tar.

The same repository state gives the same bytes. The file is good until its timestamp expires (docs/decisions/0051).
"""

from __future__ import annotations

import tarfile
from pathlib import Path

from installation.words import fail

from releasing.package_rules import package_name
from releasing.update_repository import UpdateRepository

__all__ = ["update_file_name", "write_update_file"]


def update_file_name(version: str, architecture: str) -> str:
    return f"doorward_{version}_{architecture}.update"


def write_update_file(repository: UpdateRepository, version: str, architecture: str, out: Path) -> Path:
    """Writes the file into the folder `out`."""
    timestamp, snapshot, targets = (
        repository.current_timestamp(), repository.current_snapshot(), repository.current_targets(),
    )  # fmt: skip
    name = package_name(version, architecture)
    if timestamp is None or snapshot is None or targets is None or name not in targets.signed.targets:
        fail(f"{name} is not published.", "look at `show`.")
    members = [f"metadata/{root.signed.version}.root.json" for root in repository.roots()]
    members += ["metadata/timestamp.json", f"metadata/{snapshot.signed.version}.snapshot.json"]
    members += [f"metadata/{targets.signed.version}.targets.json"]
    members += [f"targets/{targets.signed.targets[name].get_prefixed_paths()[0]}"]
    out.mkdir(parents=True, exist_ok=True)
    made = out / update_file_name(version, architecture)
    part = made.with_name(f".{made.name}.part")
    with tarfile.open(part, "w", format=tarfile.USTAR_FORMAT) as tar:
        for member in members:
            path = repository.folder / member
            # With TarInfo's defaults, no owner and no time, the bytes depend on the repository only.
            entry = tarfile.TarInfo(member)
            entry.size, entry.mode = path.stat().st_size, 0o644
            with path.open("rb") as file:
                tar.addfile(entry, file)
    part.replace(made)
    return made
