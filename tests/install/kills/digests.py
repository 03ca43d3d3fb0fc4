"""One hash over the files that a version has of its release. Imported on both sides."""

import hashlib
from pathlib import Path


def digest(tree: Path) -> str:
    total = hashlib.sha256()
    for part in ("agent", "config", "systemd", "requirements", "scripts"):
        for path in sorted((tree / part).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                total.update(f"{path.relative_to(tree)}\0".encode() + path.read_bytes())
    return total.hexdigest()
