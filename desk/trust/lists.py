"""Reads the text of a list of requesters, which people write or upload.

listed = read(text)                                what `doorward requester bundle` reads from a file
with as_file(text) as path: …                      the same text for functions that take a file
"""

from __future__ import annotations

import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.clients.requester.trust_bundles import RequesterList, read_list
from agent.errors import ConfigurationError

__all__ = ["as_file", "read"]


def read(text: str) -> RequesterList:
    """Returns the list. Raises `ConfigurationError` that names line and key."""
    with as_file(text) as path:
        return read_list(path)


@contextmanager
def as_file(text: str) -> Iterator[Path]:
    """Yields the list as a file, which `read_list` takes. Its errors name it `list.toml`."""
    _refuse_file_names(text)
    with tempfile.TemporaryDirectory(prefix="doorward-list-") as folder:
        path = Path(folder) / "list.toml"
        path.write_text(text, encoding="utf-8")
        try:
            yield path
        except ConfigurationError as error:
            raise ConfigurationError(error.message.replace(f"{folder}/", ""), remedy=error.remedy) from error


def _refuse_file_names(text: str) -> None:
    """Raises `ConfigurationError` for `tips = "a file"`: an uploaded list must not read files of the desk."""
    try:
        listed = tomllib.loads(text.removeprefix("\ufeff")).get("requesters", [])  # as `read_list` reads it
    except tomllib.TOMLDecodeError:
        return  # `read_list` says where
    for entry in listed if isinstance(listed, list) else []:
        tips = entry.get("tips") if isinstance(entry, dict) else None
        if isinstance(tips, str) and not tips.startswith("age1"):
            raise ConfigurationError("tips: a file name.", remedy="Put the recipient itself here: age1…")
