"""Sealed parts of answers, as several receivers share them: in a folder, or in a store that speaks S3.

A receiver assembles a part on its own disk and puts it here when its hash fits. A part never changes after that, so a
second receiver that puts the same part does no harm. A receipt may name a part once `put` has returned.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Protocol

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from agent.clients.requester.folder_index import is_id
from agent.errors import ConfigurationError, NetworkError, StorageError
from agent.platform import files

__all__ = ["FolderParts", "S3Parts", "SealedParts"]

_NAME: Final = re.compile(r"(0|[1-9][0-9]{0,5})\.age")
_READ_BYTES: Final = 1 << 20
_TRIES: Final = 4
_PATIENCE_S: Final = 20
_MOST_DELETED: Final = 1000
"""Objects in one call (S3, DeleteObjects)."""


class SealedParts(Protocol):
    """Parts by disclosure and number. Any thread may use it.

    All methods raise `StorageError` or `NetworkError`, and `ConfigurationError` for what is no id of a disclosure.
    """

    def put(self, disclosure: str, number: int, source: Path) -> None:
        """Stores the file durably. Raises `StorageError` if another part of that name is there."""
        ...

    def get(self, disclosure: str, number: int, target: Path) -> None:
        """Writes the part into a new file at `target`. Raises `StorageError` if it is not there, or is not as it was
        put."""
        ...

    def numbers(self, disclosure: str) -> frozenset[int]:
        """Returns the parts that are here."""
        ...

    def remove(self, disclosure: str) -> None:
        """Deletes all parts of a disclosure. It may be repeated."""
        ...


class FolderParts:
    """Parts in a folder, one folder for each disclosure."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, disclosure: str, number: int, source: Path) -> None:
        path = files.make_folder(self._of(disclosure)) / f"{number}.age"
        unfinished = path.with_name(f"{path.name}.{secrets.token_hex(8)}.new")
        with files.storage_errors(path):
            try:
                with source.open("rb") as data, unfinished.open("xb") as copy:
                    shutil.copyfileobj(data, copy, _READ_BYTES)
                    copy.flush()
                    os.fsync(copy.fileno())
                try:
                    os.link(unfinished, path)  # fails if the part is there, as a put to S3 does
                except FileExistsError:
                    _require_same(_digest(path), _digest(source), path)
                files.sync_folder(path.parent)
            finally:
                unfinished.unlink(missing_ok=True)

    def get(self, disclosure: str, number: int, target: Path) -> None:
        with files.storage_errors(target):
            shutil.copyfile(self._of(disclosure) / f"{number}.age", target)

    def numbers(self, disclosure: str) -> frozenset[int]:
        return _numbers(files.names_in(self._of(disclosure)))

    def remove(self, disclosure: str) -> None:
        with files.storage_errors(self._folder), contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self._of(disclosure))

    def _of(self, disclosure: str) -> Path:
        return self._folder / _checked(disclosure)


class S3Parts:
    """Parts in a bucket, below `prefix`. The bucket's own settings say if and for how long objects are locked."""

    def __init__(self, endpoint: str, bucket: str, prefix: str, access_key: str, secret_key: str) -> None:
        self._bucket = bucket
        self._prefix = prefix
        self._client: Any = boto3.client(
            "s3",
            endpoint_url=endpoint,
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            region_name="us-east-1",
            config=Config(
                retries={"total_max_attempts": _TRIES, "mode": "standard"},
                connect_timeout=_PATIENCE_S,
                read_timeout=_PATIENCE_S,
                s3={"addressing_style": "path"},
            ),
        )

    def put(self, disclosure: str, number: int, source: Path) -> None:
        key, digest = self._key(disclosure, number), _digest(source)
        with self._errors(key), files.storage_errors(source), source.open("rb") as data:
            try:
                self._client.put_object(
                    Bucket=self._bucket, Key=key, Body=data, IfNoneMatch="*", Metadata={"sha256": digest}
                )
            except ClientError as error:
                if _code(error) not in ("PreconditionFailed", "ConditionalRequestConflict", "412", "409"):
                    raise
                there = self._client.head_object(Bucket=self._bucket, Key=key)
                _require_same(there["Metadata"].get("sha256", ""), digest, source)

    def get(self, disclosure: str, number: int, target: Path) -> None:
        key, digest = self._key(disclosure, number), hashlib.sha256()
        with self._errors(key), files.storage_errors(target):
            found = self._client.get_object(Bucket=self._bucket, Key=key)
            try:
                with target.open("xb") as copy:
                    for piece in found["Body"].iter_chunks(_READ_BYTES):
                        digest.update(piece)
                        copy.write(piece)
                _require_same(digest.hexdigest(), found["Metadata"].get("sha256", ""), target)
            except BaseException:
                target.unlink(missing_ok=True)
                raise
            finally:
                found["Body"].close()

    def numbers(self, disclosure: str) -> frozenset[int]:
        return _numbers(key.rpartition("/")[2] for key in self._keys(disclosure))

    def remove(self, disclosure: str) -> None:
        keys = [{"Key": key} for key in self._keys(disclosure)]
        with self._errors(disclosure):
            for at in range(0, len(keys), _MOST_DELETED):
                done = self._client.delete_objects(
                    Bucket=self._bucket, Delete={"Objects": keys[at : at + _MOST_DELETED], "Quiet": True}
                )
                for failed in done.get("Errors", ()):
                    raise StorageError(
                        f"{failed['Key']} could not be deleted ({failed.get('Code')}).",
                        remedy="It may be locked until a legal hold ends. Delete again later.",
                    )

    def close(self) -> None:
        self._client.close()

    def _keys(self, disclosure: str) -> list[str]:
        prefix = f"{self._prefix}/{_checked(disclosure)}/"
        with self._errors(prefix):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
            return [each["Key"] for page in pages for each in page.get("Contents", ())]

    def _key(self, disclosure: str, number: int) -> str:
        return f"{self._prefix}/{_checked(disclosure)}/{number}.age"

    @contextlib.contextmanager
    def _errors(self, name: str) -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            raise StorageError(
                f"The S3 store refused {name} ({_code(error)}).", remedy="Check the bucket and the rights of the key."
            ) from error
        except BotoCoreError as error:
            raise NetworkError(
                f"The S3 store does not answer: {error}.", remedy="Check that it runs, and its address."
            ) from error


def _checked(disclosure: str) -> str:
    if not is_id(disclosure):
        raise ConfigurationError(f"'{disclosure}' is not the id of a disclosure.", remedy="Give 32 hex digits.")
    return disclosure


def _numbers(names: Iterator[str] | list[str]) -> frozenset[int]:
    return frozenset(int(found[1]) for name in names if (found := _NAME.fullmatch(name)))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _require_same(one: str, other: str, path: Path) -> None:
    if one != other:
        raise StorageError(
            f"{path}: the stored part differs from this one.", remedy="Keep both and ask for help: no part may change."
        )


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
