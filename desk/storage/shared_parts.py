"""The sealed parts of an organisation: in the bucket that `[storage]` of desk.toml names, otherwise in its folder."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from django.conf import settings

from agent.errors import ConfigurationError, StorageError
from agent.platform import files
from desk.config import Storage

if TYPE_CHECKING:
    from desk.storage.s3_parts import S3Parts

__all__ = ["check_storage", "shared_parts"]

_SECRET_LIMIT_BYTES = 4096
_GIB = 1 << 30


def shared_parts(requester_id: str) -> S3Parts | None:
    """Returns the parts in the bucket, or None if they lie in the folder. Raises `ConfigurationError`."""
    storage: Storage = settings.DESK.storage
    return None if storage.kind == "folder" else _opened(storage, requester_id)


def check_storage(storage: Storage) -> None:
    """Raises `ConfigurationError` if the bucket cannot take parts, and `NetworkError` if its store does not answer."""
    if storage.kind == "s3":
        _opened(storage, "desk").check()


@functools.cache
def _opened(storage: Storage, requester_id: str) -> S3Parts:
    """Returns one client for each organisation and process: it keeps connections open, and any thread may use it."""
    # Most desks keep parts in a folder. The client's library would take a sixth of each start.
    from desk.storage.s3_parts import S3Parts

    assert storage.secret_key_file is not None  # noqa: S101 (`config.cross_field_errors` demands it)
    try:
        secret_key = files.read_private(storage.secret_key_file, _SECRET_LIMIT_BYTES).decode("utf-8", "replace").strip()
    except StorageError as error:
        raise ConfigurationError(error.message, remedy="Correct secret_key_file in desk.toml, [storage].") from error
    return S3Parts(
        storage.endpoint,
        storage.bucket,
        f"{storage.prefix}/{requester_id}" if storage.prefix else requester_id,
        storage.access_key,
        secret_key,
        region=storage.region,
        lock=storage.object_lock,
        capacity_bytes=storage.capacity_gib * _GIB,
        authority=storage.authority,
    )
